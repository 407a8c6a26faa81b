"""An API that says back what it was sent: what arrives there has left the box, with its real key."""

from __future__ import annotations

import gzip
import http.server
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from world.listening import serving

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from world.listening import Server


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        fields = {name.lower(): value for name, value in self.headers.items()}
        self.server.heard.append(
            {"method": self.command, "path": self.path, "headers": fields, "body": body}
        )
        said = json.dumps(fields).encode()
        if self.path.endswith("/quiet") or self.command == "POST":
            self._say(b'{"ok": true}')
        elif self.path.endswith("/coded"):
            self._say(gzip.compress(said), ("content-encoding", "gzip"))
        elif self.path.endswith("/field"):
            self._say(b"{}", ("x-echo", fields.get("x-api-key", "")))
        elif self.path.endswith("/pieces"):
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for at in range(0, len(said), 7):
                part = said[at : at + 7]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._say(said)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - the library's names

    def _say(self, body: bytes, *more: tuple[str, str]) -> None:
        self.send_response(200)
        for name, value in (("content-length", str(len(body))), *more):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def echo_api(listening: socket.socket, certificates: Path) -> Iterator[Server]:
    """Serve on that socket by TLS until the context ends."""
    certificate = certificates / "cert.pem", certificates / "key.pem"
    with serving(listening, Handler, certificate) as server:
        yield server
