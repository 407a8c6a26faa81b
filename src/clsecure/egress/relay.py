"""Carry bytes between two connected sockets without copying them: splice(2) through a pipe.

An idle connection holds no pipe: one is borrowed while there is something to carry.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
from contextlib import suppress

_SIZE = 1 << 20  # bytes of a pipe, the most that one without rights may have: pipe(7)
_F_SETPIPE_SZ = 1031
_MOVE, _NONBLOCK = 1, 2  # splice(2)
_FLAGS = _MOVE | _NONBLOCK
_TURN = 8 << 20  # bytes after which other connections have their turn
_POOLED = 16
_DISCARD_SECONDS = 1.0
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: socket(7), tcp(7)


class Count:
    """How many bytes one direction has carried so far."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Pipes:
    """Pipes between two uses; all of them are empty."""

    def __init__(self) -> None:
        self._free: list[tuple[int, int]] = []

    def take(self) -> tuple[int, int]:
        """Return a pipe, non-blocking; raises OSError."""
        if self._free:
            return self._free.pop()
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with suppress(OSError):  # all that this user may have is taken: a smaller one does
            fcntl.fcntl(write, _F_SETPIPE_SZ, _SIZE)
        return read, write

    def give_back(self, pipe: tuple[int, int]) -> None:
        """Take an empty pipe back."""
        if len(self._free) < _POOLED:
            self._free.append(pipe)
        else:
            self.discard(pipe)

    @staticmethod
    def discard(pipe: tuple[int, int]) -> None:
        """Close a pipe that may still hold something."""
        for descriptor in pipe:
            os.close(descriptor)


async def readable(source: socket.socket) -> None:
    """Wait until something can be read, or the end of it."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    number = source.fileno()  # of an unknown socket, selectors would format the whole of it
    loop.add_reader(number, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(number)


async def writable(target: socket.socket) -> None:
    """Wait until there is room to write."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    number = target.fileno()
    loop.add_writer(number, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_writer(number)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def pump(source: socket.socket, target: socket.socket, pipes: Pipes, count: Count) -> None:
    """Carry one direction to its end, and pass that end on. Raises OSError."""
    turn = 0
    while True:
        await readable(source)
        pipe = pipes.take()
        try:
            ended, turn = await _drain(source, target, pipe, count, turn)
        except BaseException:
            pipes.discard(pipe)
            raise
        pipes.give_back(pipe)
        if ended:
            target.shutdown(socket.SHUT_WR)
            return


async def _drain(
    source: socket.socket, target: socket.socket, pipe: tuple[int, int], count: Count, turn: int
) -> tuple[bool, int]:
    """Carry what is there now; True when that was the end."""
    while True:
        try:
            filled = os.splice(source.fileno(), pipe[1], _SIZE, flags=_FLAGS)
        except BlockingIOError:
            return False, turn
        if not filled:
            return True, turn
        count.bytes += filled
        turn += filled
        while filled:
            try:
                filled -= os.splice(pipe[0], target.fileno(), filled, flags=_FLAGS)
            except BlockingIOError:
                await writable(target)
        if turn >= _TURN:
            turn = 0
            await asyncio.sleep(0)


async def both_ways(
    inside: socket.socket, outside: socket.socket, pipes: Pipes, counts: tuple[Count, Count]
) -> None:
    """Carry both directions until both have ended; `counts` are of what was sent and received.

    Raises OSError as soon as one of them fails.
    """
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(pump(inside, outside, pipes, counts[0]))
            both.create_task(pump(outside, inside, pipes, counts[1]))
    except BaseExceptionGroup as group:
        for error in group.exceptions:
            if isinstance(error, OSError):
                raise error from None
        raise


async def discard(source: socket.socket) -> None:
    """Read to the end, for a moment at most, what nobody wants.

    A socket closed with bytes unread resets its connection, and what was sent last may be lost.
    """
    with suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(_DISCARD_SECONDS):
            while await asyncio.get_running_loop().sock_recv(source, _SIZE):
                pass


def reset(connection: socket.socket) -> None:
    """Close so that the other side sees an error (RST) and not an end."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    connection.close()
