"""A git server that asks for a name and a token: git-http-backend(1) behind Python's HTTP server.

Arguments: address, port, directory of the repositories, file with `name:token`, file for a log.
"""

from __future__ import annotations

import base64
import gzip
import http.server
import json
import os
import subprocess
import sys
from pathlib import Path

ADDRESS, PORT, ROOT, SECRET, LOG = sys.argv[1:]
WANTED = "Basic " + base64.b64encode(Path(SECRET).read_bytes().strip()).decode()


class Backend(http.server.BaseHTTPRequestHandler):
    """Hands requests with the right token to git."""

    protocol_version = "HTTP/1.0"

    def _answer(self) -> None:
        is_known = self.headers.get("Authorization") == WANTED
        with Path(LOG).open("a") as log:
            log.write(json.dumps({"path": self.path, "known": is_known}) + "\n")
        if not is_known:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="tests"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": ROOT,
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_USER": "human",
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
        }
        ran = subprocess.run(
            ["git", "http-backend"], input=body, env=env, capture_output=True, check=True
        )
        head, _, content = ran.stdout.partition(b"\r\n\r\n")
        fields = [line.partition(": ")[::2] for line in head.decode().split("\r\n")]
        status = next((value for name, value in fields if name == "Status"), "200")
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""


with http.server.ThreadingHTTPServer((ADDRESS, int(PORT)), Backend) as server:
    print("ready", flush=True)
    server.serve_forever()
