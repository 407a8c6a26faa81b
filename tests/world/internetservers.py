"""The servers of the tests' internet: HTTP, HTTPS, one that speaks first, one of UDP."""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
import ssl
import sys
import threading
from pathlib import Path

import internetfiles

ADDRESSES = (
    "11.0.0.1",
    "11.0.0.2",
    "11.0.0.3",
    "10.9.9.9",
    "10.9.9.10",
    "169.254.169.254",
    "127.0.0.1",
)
DIRECTORY = Path(sys.argv[1])
LOCK = threading.Lock()


def note(**asked: object) -> None:
    with LOCK, (DIRECTORY / "asked").open("a") as file:
        file.write(json.dumps(asked) + "\n")


class Web(http.server.BaseHTTPRequestHandler):
    """Says which host, path and address it was asked for."""

    protocol_version = "HTTP/1.1"
    is_secure = False

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
        said = {
            "host": self.headers.get("Host"),
            "path": self.path,
            "method": self.command,
            "at": "{}:{}".format(*self.connection.getsockname()[:2]),
            "body": body.decode(errors="replace"),
            "fields": {name.lower(): value for name, value in self.headers.items()},
        }
        note(**said)
        if internetfiles.answer(self, body, DIRECTORY):
            return
        answer = json.dumps(said).encode()
        if self.path.startswith("/large/"):
            answer = b"x" * int(self.path.rpartition("/")[2])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_POST = do_HEAD = do_PUT = do_OPTIONS = _answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""


class Quiet(socketserver.BaseServer):
    """Says nothing of connections that break off."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing on stderr."""


class Threads(Quiet, socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512


class Banner(socketserver.BaseRequestHandler):
    """Speaks first, then repeats what it hears."""

    def handle(self) -> None:
        note(banner="{}:{}".format(*self.request.getsockname()[:2]))
        self.request.sendall(b"banner\n")
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Secure(Threads):
    """TLS on each connection, in its own thread."""

    context: ssl.SSLContext

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        with self.context.wrap_socket(request, server_side=True) as wrapped:
            self.RequestHandlerClass(wrapped, client_address, self)


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DIRECTORY / "cert.pem", DIRECTORY / "key.pem")
    Secure.context = context
    servers: list[socketserver.BaseServer] = []
    for address in ADDRESSES:
        servers += [Threads((address, port), Web) for port in (80, 8080)]
        servers += [Secure((address, port), Web) for port in (443, 8443)]
        banner = socketserver.ThreadingTCPServer((address, 5432), Banner)
        banner.daemon_threads = True
        servers.append(banner)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("0.0.0.0", 9953))
        while True:
            data, sender = udp.recvfrom(2048)
            note(udp=data.decode(errors="replace"))
            udp.sendto(data, sender)


main()
