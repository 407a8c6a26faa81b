#!/usr/bin/env python3
"""What the door of the agent's API adds to a request, beside a reverse proxy that does as much.

Run with the checkout's `.venv/bin/python bench/apidoor.py [--rounds N] [--proxies DIR]`. All is on
loopback: a server that answers at once, our egress service with one route, and mitmproxy, which
puts a header in (`--mode reverse:`, `--modify-headers`; installed by pip into DIR or for this run
alone). Requests of one size follow each other on one connection, as those of an agent do.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from egress import install, percentile

from clsecure.agents import Dialect
from clsecure.choices import Network, Secret
from clsecure.egress import service
from clsecure.egress.api.routes import Credential, Route

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS = 100  # a round
SIZES = (10_000, 1_000_000)  # bytes: a first prompt, and a long conversation
KEY, STAND_IN = "sk-real-0123456789abcdef", "sk-clsecure-in-place-of-KEY"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000
_SECONDS = 30


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--proxies", type=Path)
    given = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clsecure-t-")))
        proxies = given.proxies or directory / "proxies"
        install(proxies)
        far = stack.enter_context(far_end())
        subjects = {
            "direct": (far, "/v1/messages"),
            "clsecure": (stack.enter_context(ours(directory, far)), "/api/v1/messages"),
            "mitmproxy": (stack.enter_context(mitmproxy(directory, proxies, far)), "/v1/messages"),
        }
        waits: dict[tuple[str, int], list[float]] = {}
        for _ in range(given.rounds):
            for size in SIZES:
                for name, (port, path) in subjects.items():
                    waits.setdefault((name, size), []).extend(ask(port, path, size))
    return report(waits, list(subjects))


@contextmanager
def far_end() -> Iterator[int]:
    """A server that answers each POST at once; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(ANSWER)

    async def serve() -> None:
        server = await asyncio.start_server(quietly, sock=listening, limit=1 << 22)
        async with server:
            await server.serve_forever()

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (OSError, EOFError):
            writer.close()

    listening = socket.create_server(("127.0.0.1", 0), backlog=100)
    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    yield listening.getsockname()[1]


@contextmanager
def ours(directory: Path, far: int) -> Iterator[int]:
    """Our service with its door; yields the door's port."""
    held = Credential("KEY", Secret(STAND_IN), Secret(KEY))
    route = Route("api", "http", "127.0.0.1", far, "", Dialect.ANTHROPIC, (held,))
    settings = service.Settings(
        Network.FILTERED, (), None, directory, "bench", {"session": "bench"}, routes=(route,)
    )
    with socket.create_server(("127.0.0.1", 0)) as door:
        running = service.start(settings, [("api", door.fileno())])
        port = door.getsockname()[1]
    with closing(running):
        yield port


@contextmanager
def mitmproxy(directory: Path, proxies: Path, far: int) -> Iterator[int]:
    """Mitmproxy in front of the server, which puts a key in; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = (
        f"--mode=reverse:http://127.0.0.1:{far}",
        f"--listen-port={port}",
        f"--set=confdir={directory}",
        f"--modify-headers=/~q/x-api-key/{KEY}",
    )
    argv = (proxies / "python/bin/mitmdump", "--quiet", "--listen-host=127.0.0.1", *words)
    with subprocess.Popen(argv) as running:
        deadline = time.monotonic() + _SECONDS
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline or running.poll() is not None:
                raise RuntimeError("mitmproxy does not start")
            time.sleep(0.1)
        try:
            yield port
        finally:
            running.send_signal(signal.SIGTERM)


def ask(port: int, path: str, size: int) -> list[float]:
    """Return the seconds of each request on one connection, but for the first, which opens it."""
    text = json.dumps({"messages": [{"role": "user", "content": "x" * size}], "tools": []})
    asking, found = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS), []
    with closing(asking):
        for _ in range(REQUESTS + 1):
            began = time.perf_counter()
            asking.request("POST", path, text, {"x-api-key": STAND_IN})
            answer = asking.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"{port}: {answer.status}")
            found.append(time.perf_counter() - began)
    return found[1:]


def report(waits: dict[tuple[str, int], list[float]], names: list[str]) -> int:
    """Print the table; returns the status to exit with.

    That is 1 where a request by ours takes half as long again as one by mitmproxy.
    """
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"ms of a request, p50 and p99; {os.cpu_count()} processors, load {load}")
    print(f"{'':12}" + "".join(f"{f'{size // 1000} kB':>20}" for size in SIZES))
    for name in names:
        cells = [
            "".join(f"{percentile(waits[name, size], part) * 1000:10.2f}" for part in (50, 99))
            for size in SIZES
        ]
        print(f"{name:12}" + "".join(cells))
    medians = {each: statistics.median(found) for each, found in waits.items()}
    limits = {size: 1.5 * medians["mitmproxy", size] for size in SIZES}
    return int(any(medians["clsecure", size] > limits[size] for size in SIZES))


if __name__ == "__main__":
    sys.exit(main())
