"""The control channel of a running session's gateway: a socket in the human's state directory.

One JSON document a line each way. The directory is the human's alone, and is not in any box.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_LIMIT = 65536
_SECONDS = 5.0
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Answer = dict[str, Any]


def listen(directory: Path, name: str) -> socket.socket:
    """Return a listening socket at `directory`/`name`.sock, in place of a dead one's; OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    opened = os.open(directory, _DIRECTORY)
    try:
        os.fchmod(opened, 0o700)
        fresh = f"{name}.new"  # found under its own name only once it answers
        with suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=opened)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # A path through /proc, since one of a socket may have 107 bytes only: unix(7).
            listening.bind(f"/proc/self/fd/{opened}/{fresh}")
            listening.listen(16)
            os.rename(fresh, f"{name}.sock", src_dir_fd=opened, dst_dir_fd=opened)
        except BaseException:
            listening.close()
            raise
        return listening
    finally:
        os.close(opened)


async def serve(listening: socket.socket, act: Callable[[Mapping[str, Any]], Answer]) -> None:
    """Answer what comes, until cancelled."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                line = await reader.readline()
                writer.write(json.dumps(_answer(line, act)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):  # gone, too slow, or a line without end
            return
        finally:
            writer.close()

    server = await asyncio.start_unix_server(connected, sock=listening, limit=_LIMIT)
    async with server:
        await server.serve_forever()


def _answer(line: bytes, act: Callable[[Mapping[str, Any]], Answer]) -> Answer:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return {"error": "not JSON"}
    return act(request) if isinstance(request, dict) else {"error": "not a request"}


def running(directory: Path) -> Iterator[tuple[str, Answer]]:
    """Yield the name and the description of each session whose gateway answers."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        worker, dot, kind = name.rpartition(".")
        if dot and kind == "sock":
            with suppress(OSError, ValueError):
                yield worker, ask(directory, worker, {"do": "describe"})


def ask(directory: Path, name: str, request: Mapping[str, Any]) -> Answer:
    """Ask one session's gateway; raises OSError where none answers, ValueError for nonsense."""
    opened = os.open(directory, _DIRECTORY)
    try:
        if not stat.S_ISSOCK(os.stat(f"{name}.sock", dir_fd=opened, follow_symlinks=False).st_mode):
            raise OSError("not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(_SECONDS)
            asking.connect(f"/proc/self/fd/{opened}/{name}.sock")
            asking.sendall(json.dumps(request).encode() + b"\n")
            with asking.makefile("rb") as stream:
                answer = json.loads(stream.readline(_LIMIT))
    finally:
        os.close(opened)
    if isinstance(answer, dict):
        return answer
    raise ValueError("not an answer")
