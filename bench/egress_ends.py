#!/usr/bin/env python3
"""Both ends of the connections that bench/egress.py measures, and the service between them.

`serve ADDRESS` is the far end, `service DIRECTORY ALLOW` runs our egress service alone; the other
words measure, and print JSON. A route is `direct` or the port of a proxy on 127.0.0.1.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

SOURCE_PORT, ECHO_PORT = 9000, 9001
PROXY_PORT = 3128
_CHUNK = 1 << 20
_BACKLOG = 1024
_CONCURRENT_BYTES = 1 << 18
_SECONDS = 60.0


def main() -> None:
    """Do what the first word says."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    verb, *words = sys.argv[1:]
    {
        "serve": serve,
        "service": service,
        "throughput": throughput,
        "latency": latency,
        "concurrent": concurrent,
        "idle": idle,
    }[verb](*words)


def serve(address: str) -> None:
    """Send as many bytes as are asked for at one port, repeat what is heard at the other."""
    source = socket.create_server((address, SOURCE_PORT), backlog=_BACKLOG)
    echo = socket.create_server((address, ECHO_PORT), backlog=_BACKLOG)
    threading.Thread(target=_repeat, args=(echo,), daemon=True).start()
    print("ready", flush=True)
    content = memoryview(bytes(_CHUNK))
    while True:
        connection, _ = source.accept()
        with connection:
            asked = connection.recv(8, socket.MSG_WAITALL)
            left = int.from_bytes(asked, "big")
            while left:
                left -= connection.send(content[:left])


def _repeat(listening: socket.socket) -> None:
    with selectors.EpollSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is listening:
                    selector.register(listening.accept()[0], selectors.EVENT_READ)
                    continue
                try:
                    heard = ready.recv(_CHUNK)
                    ready.sendall(heard)
                except OSError:
                    heard = b""
                if not heard:
                    selector.unregister(ready)
                    ready.close()


def service(directory: str, allow: str) -> None:
    """Run the egress service with one door, the explicit proxy, until this one's input ends."""
    from clsecure.choices import Network
    from clsecure.egress import service as egress

    with socket.create_server(("127.0.0.1", PROXY_PORT), backlog=_BACKLOG) as door:
        settings = egress.Settings(
            Network.FILTERED, (allow,), None, Path(directory), "bench", {"session": "bench"}
        )
        running = egress.start(settings, [("proxy", door.fileno())])
    with closing(running):
        print(running.pid, flush=True)
        sys.stdin.read()


def connect(route: str, name: str, port: int) -> socket.socket:
    """Return a connection to the far end; raises OSError."""
    if route == "direct":
        connection = socket.create_connection((name, port), _SECONDS)
    else:
        connection = socket.create_connection(("127.0.0.1", int(route)), _SECONDS)
        target = f"{name}:{port}"
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            more = connection.recv(4096)
            if not more:
                raise ConnectionResetError("no answer to CONNECT")
            answer += more
        if b" 200 " not in answer.partition(b"\r\n")[0]:
            raise ConnectionRefusedError(answer.decode(errors="replace"))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def throughput(route: str, name: str, size: str) -> None:
    """Print the bytes a second of one download."""
    wanted, room = int(size), bytearray(_CHUNK)
    with connect(route, name, SOURCE_PORT) as connection:
        began = time.perf_counter()
        connection.sendall(wanted.to_bytes(8, "big"))
        got = 0
        while more := connection.recv_into(room):
            got += more
        seconds = time.perf_counter() - began
    if got != wanted:
        raise ConnectionResetError(f"{got} of {wanted} bytes came")
    print(json.dumps(wanted / seconds))


def latency(route: str, name: str, times: str) -> None:
    """Print the seconds from connecting to the first byte that comes back, of each connection."""
    found = []
    for _ in range(int(times)):
        began = time.perf_counter()
        with connect(route, name, ECHO_PORT) as connection:
            _echoed(connection, b"\0")
            found.append(time.perf_counter() - began)
    print(json.dumps(found))


def concurrent(route: str, name: str, count: str) -> None:
    """Print the seconds that so many connections at once take, and the errors among them."""
    start, errors = threading.Barrier(int(count) + 1), list[str]()

    def one(number: int) -> None:
        start.wait()
        try:
            with connect(route, name, ECHO_PORT) as connection:
                _echoed(connection, bytes([192 + number % 64]) * _CONCURRENT_BYTES)
        except (OSError, ValueError) as error:
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(int(count))]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    print(json.dumps([time.perf_counter() - began, errors]))


def _echoed(connection: socket.socket, said: bytes) -> None:
    step = 1 << 14  # fits every buffer on the way, so that neither end waits for the other
    for place in range(0, len(said), step):
        part = said[place : place + step]
        connection.sendall(part)
        heard = b""
        while len(heard) < len(part):
            more = connection.recv(len(part) - len(heard))
            if not more:
                raise ConnectionResetError("closed before the echo")
            heard += more
        if heard != part:
            raise ValueError("something else came back")


def idle(route: str, name: str, count: str) -> None:
    """Hold so many tunnels, each of which has carried a byte; ends with the input."""
    held = []
    for _ in range(int(count)):
        held.append(connect(route, name, ECHO_PORT))
        _echoed(held[-1], b"\0")
    print(json.dumps(len(held)), flush=True)
    sys.stdin.read()
    for connection in held:
        _echoed(connection, b"\1")


if __name__ == "__main__":
    main()
