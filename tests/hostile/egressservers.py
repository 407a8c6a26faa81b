"""More servers for the tests' internet, which note whatever bytes arrive: what gets out shows here.

A resolver at 127.0.0.53 (the one of the host), raw TCP sinks, and a TLS server that notes the names
it was asked for. Run in the namespace; notes are JSON lines in DIRECTORY/heard.
"""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import struct
import sys
import threading
from pathlib import Path

RESOLVER, SINK_PORT, TLS_PORT = "127.0.0.53", 8000, 9444
ADDRESSES = ("11.0.0.1", "11.0.0.2", "10.9.9.9", "127.0.0.1")
# What a name's first, second... query for an address is answered with; the last one stays.
BOXES = ("user", "firejail", "podman")
ANSWERS = {
    **{f"turning-{box}.test": ["11.0.0.1", "127.0.0.1"] for box in (*BOXES, "none")},
    **{f"turning-back-{box}.test": ["127.0.0.1", "11.0.0.1"] for box in BOXES},
    "both.test": ["11.0.0.1 10.9.9.9"],
    "synthetic.test": ["198.18.0.1"],
}
DIRECTORY = Path(sys.argv[1])
LOCK = threading.Lock()
ASKED: dict[str, int] = {}


def note(**heard: object) -> None:
    with LOCK, (DIRECTORY / "heard").open("a") as file:
        file.write(json.dumps(heard) + "\n")


class Resolver(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        query, answering = self.request
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        kind = struct.unpack_from("!H", query, at + 1)[0]
        name = ".".join(labels)
        note(query=name, kind=kind)
        answers = ANSWERS.get(name.lower())
        found = []
        if answers and kind == 1:
            with LOCK:
                turn = ASKED[name] = ASKED.get(name, -1) + 1
            found = answers[min(turn, len(answers) - 1)].split()
        flags = 0x8180 if answers else 0x8183
        said = query[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0) + query[12 : at + 5]
        for address in found:
            said += b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
        answering.sendto(said, self.client_address)


class Sink(socketserver.BaseRequestHandler):
    """Notes all bytes, and answers each end of a head as a forgiving server does."""

    def handle(self) -> None:
        at = "{}:{}".format(*self.request.getsockname()[:2])
        data = b""
        try:
            while more := self.request.recv(65536):
                data += more
                note(at=at, bytes=more.decode("latin-1"))
                if data.replace(b"\r", b"").endswith((b"\n\n", b"\n", b"SM\n\n")):
                    self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except OSError:
            pass


class Tls(socketserver.BaseRequestHandler):
    """Shakes hands, and says which server name it was asked for."""

    def handle(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(DIRECTORY / "cert.pem", DIRECTORY / "key.pem")
        context.sni_callback = lambda _, name, __: note(server_name=name or "")
        try:
            with context.wrap_socket(self.request, server_side=True) as wrapped:
                wrapped.recv(100)
        except (OSError, ValueError):
            pass


class Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512


class Threads6(Threads):
    """At every IPv6 address that the namespace has."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


def main() -> None:
    servers: list[socketserver.BaseServer] = [socketserver.UDPServer((RESOLVER, 53), Resolver)]
    servers.append(Threads6(("::", 80), Sink))
    for address in ADDRESSES:
        servers += [Threads((address, SINK_PORT), Sink), Threads((address, TLS_PORT), Tls)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


main()
