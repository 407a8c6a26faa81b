"""An API that says back what it was sent: what arrives there has left the box, with its real key."""

from __future__ import annotations

import gzip
import http.server
import json
import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.heard: list[dict[str, Any]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def echo_api(listening: socket.socket, certificates: Path | None) -> Iterator[Server]:
    """Serve on that socket, by TLS where there are certificates, until the context ends."""
    if certificates:
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        listening = secure.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
    with Server(listening) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
