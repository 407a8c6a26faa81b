"""Carry bytes between two connected sockets without copying them: splice(2) through a pipe.

An idle connection holds no pipe: one is borrowed while there is something to carry.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
from collections.abc import Callable
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


class _Direction:
    """One direction of a connection, carried by the event loop's callbacks.

    No task is woken for each part: that would take longer than to move it. The loop tells again of
    what is still to be read, so a turn may end at any time.
    """

    def __init__(
        self, source: socket.socket, target: socket.socket, pipes: Pipes, count: Count
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source, self._target = source.fileno(), target.fileno()
        self._pipes, self._count = pipes, count
        self._pipe: tuple[int, int] | None = None
        self._filled = 0  # bytes in the pipe
        self.done = self._loop.create_future()
        self._loop.add_reader(self._source, self._guarded, self._read)

    def stop(self) -> None:
        """Carry no more; what is in the pipe is lost."""
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)
        if not self.done.cancel() and not self.done.cancelled():
            self.done.exception()  # is known now, whoever waits for it or does not any more
        if self._pipe:
            self._pipes.discard(self._pipe)
            self._pipe = None

    def _guarded(self, step: Callable[[], None]) -> None:
        if self.done.done():  # in the same turn of the loop as its end
            return
        try:
            step()
        except OSError as error:
            self._loop.remove_reader(self._source)
            self._loop.remove_writer(self._target)
            self.done.set_exception(error)

    def _read(self) -> None:
        pipe = self._pipe = self._pipe or self._pipes.take()
        turn = 0
        while turn < _TURN:
            try:
                self._filled = os.splice(self._source, pipe[1], _SIZE, flags=_FLAGS)
            except BlockingIOError:
                self._give_back()
                return
            if not self._filled:
                self._give_back()
                self._loop.remove_reader(self._source)
                self.done.set_result(None)
                return
            self._count.bytes += self._filled
            turn += self._filled
            if not self._emptied(pipe):
                self._loop.remove_reader(self._source)
                self._loop.add_writer(self._target, self._guarded, self._write)
                return

    def _write(self) -> None:
        if self._pipe and self._emptied(self._pipe):
            self._loop.remove_writer(self._target)
            self._loop.add_reader(self._source, self._guarded, self._read)

    def _emptied(self, pipe: tuple[int, int]) -> bool:
        while self._filled:
            try:
                self._filled -= os.splice(pipe[0], self._target, self._filled, flags=_FLAGS)
            except BlockingIOError:
                return False
        return True

    def _give_back(self) -> None:
        if self._pipe:
            self._pipes.give_back(self._pipe)
            self._pipe = None


async def pump(source: socket.socket, target: socket.socket, pipes: Pipes, count: Count) -> None:
    """Carry one direction to its end, and pass that end on. Raises OSError."""
    direction = _Direction(source, target, pipes, count)
    try:
        await direction.done
    finally:
        direction.stop()
    target.shutdown(socket.SHUT_WR)


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


def unpaced(listening: socket.socket) -> None:
    """Let what is sent into the box go at once, on the connections that come here.

    The box is on this host: no line on the way is shared, and an algorithm that paces itself by
    timers, as BBR does, only waits. Everybody may have Reno: tcp(7), TCP_CONGESTION.
    """
    with suppress(OSError):  # no TCP, or a kernel without it: the host's default does
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


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
