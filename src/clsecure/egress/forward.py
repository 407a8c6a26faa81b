"""Carry connections made in the box to one address outside each, in a process of their own.

The listening sockets were made inside the box's network namespace, so the box can connect to
them; this process lives in the host's, and dials from there. Bytes are passed on as they are.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from clsecure import child

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from types import TracebackType

DIAL_SECONDS = 10.0
_END_SECONDS = 1.0
_START_SECONDS = 0.5  # after which the agent has most likely started
_CHUNK = 65536
_BACKLOG = 128
_DESCRIPTORS = 4096  # two for each connection
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: socket(7), tcp(7)


class Forward(NamedTuple):
    """Connections to the socket `listener` go to `host`:`port`, as seen from outside the box."""

    listener: int  # descriptor of a listening TCP socket
    host: str
    port: int


class Started:
    """The running process; as a context manager it ends with the context."""

    def __init__(self, pid: int, lifeline: int) -> None:
        self.pid = pid
        self._lifeline: int | None = lifeline

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and every connection; it is gone when this returns."""
        if self._lifeline is None:
            return
        os.close(self._lifeline)
        self._lifeline = None
        child.reap(self.pid, seconds=_END_SECONDS)


def start(forwards: Sequence[Forward]) -> Started:
    """Serve `forwards` in a child process, which ends with this one, however that is.

    The listeners stay open here and may be closed at once. To be called in the main thread: the
    parent-death signal is sent when the thread that forked ends.
    """
    parent = os.getpid()
    read, write = os.pipe2(os.O_CLOEXEC)

    def main() -> None:
        child.die_with_parent(parent)
        serve(forwards, read)

    pid = child.fork(main, keep=(read, *(forward.listener for forward in forwards)))
    os.close(read)
    return Started(pid, write)


def serve(forwards: Sequence[Forward], lifeline: int) -> None:
    """Serve until `lifeline` (a pipe or socket) is at its end. Takes over the listeners."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the agent
    _let_the_agent_start((lifeline, *(forward.listener for forward in forwards)))
    import asyncio
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    asyncio.run(_serve(forwards, lifeline))


def _let_the_agent_start(sources: Sequence[int]) -> None:
    # asyncio takes 50 ms of a processor to load, which the agent's start has more use for.
    poll = select.poll()
    for source in sources:
        poll.register(source, select.POLLIN)
    poll.poll(_START_SECONDS * 1000)


async def _serve(forwards: Sequence[Forward], lifeline: int) -> None:
    import asyncio

    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(lifeline, ended.set)
    servers = [await _listen(forward) for forward in forwards]
    await ended.wait()
    for server in servers:
        server.close()


async def _listen(forward: Forward) -> asyncio.Server:
    import asyncio

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _carry(reader, writer, forward)

    listener = socket.socket(fileno=forward.listener)
    return await asyncio.start_server(connected, sock=listener, backlog=_BACKLOG, limit=_CHUNK)


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, forward: Forward
) -> None:
    """Carry one connection to its end; any error on one side resets the other."""
    import asyncio

    writers = [writer]
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            answers, outside = await asyncio.open_connection(
                forward.host, forward.port, limit=_CHUNK
            )
        writers.append(outside)
        outside.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, outside))
            both.create_task(_pump(answers, writer))
    except* (OSError, UnicodeError):  # no answer, no such name, a name that cannot be one
        for each in writers:
            _reset(each)
    finally:
        for each in writers:
            each.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on one direction, and its end: the other direction may stay open for long."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees an error (RST) and not an end."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE
        )
    writer.transport.abort()
