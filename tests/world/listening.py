"""A server of HTTP in a thread of the test's own process, at a socket that it is handed."""

from __future__ import annotations

import http.server
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path


class Server(http.server.ThreadingHTTPServer):
    """Its handlers note in `heard` what they were asked."""

    daemon_threads = True

    def __init__(
        self, listening: socket.socket, handler: type[http.server.BaseHTTPRequestHandler]
    ) -> None:
        super().__init__(listening.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.heard: list[dict[str, Any]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away."""


@contextmanager
def serving(
    listening: socket.socket,
    handler: type[http.server.BaseHTTPRequestHandler],
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[Server]:
    """Serve until the context ends, by TLS where there is a certificate, with its key."""
    if certificate:
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(*certificate)
        listening = secure.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
    with Server(listening, handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
