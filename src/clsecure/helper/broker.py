"""Hands out connections to what listens in the box, to whoever holds the other end: the human.

A request is a port, 2 bytes in network byte order. The answer is one byte: 0, and a descriptor of a
TCP socket connected to 127.0.0.1 at that port in the box; or the number of an error. One request is
dealt with at a time, in their order; the others wait in the socket. Nothing here ever blocks.
"""

from __future__ import annotations

import errno
import select
import time

from .lean import send_message, socket

SECONDS = 2.0  # for a connection: only a server whose queue is full lets one wait
_BUSY = (errno.EAGAIN, errno.EINTR)
_CLOSED = select.POLLHUP | select.POLLRDHUP | select.POLLERR


class Broker:
    """Init's end; `waits_for` and `step` belong into a loop around poll(2)."""

    def __init__(self) -> None:
        ours, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(0)
        self._channel: socket.socket | None = ours
        self._asked: socket.socket | None = None  # the connection that is being made
        self._deadline = 0.0
        self._answer: tuple[int, socket.socket | None] | None = None

    def waits_for(self) -> tuple[int, int]:
        """Return the descriptor to watch, and for what; -1: nothing."""
        if self._channel is None:
            return -1, 0
        if self._asked is not None:
            return self._asked.fileno(), select.POLLOUT
        if self._answer is not None:
            return self._channel.fileno(), select.POLLOUT
        return self._channel.fileno(), select.POLLIN | select.POLLRDHUP

    def remaining(self) -> float | None:
        """Return the seconds after which `step` is due without an event; None: it never is."""
        return max(0.0, self._deadline - time.monotonic()) if self._asked is not None else None

    def step(self, event: int) -> None:
        """Go on; `event` is what poll told of the descriptor, 0 if nothing."""
        if self._channel is None:
            return
        try:
            if self._asked is not None:
                self._connected(self._asked, event)
            elif self._answer is None and event:
                self._take(self._channel, event)
            if self._answer is not None:
                self._reply(self._channel, *self._answer)
        except OSError as error:
            if error.errno not in _BUSY:
                self._close()

    def _take(self, channel: socket.socket, event: int) -> None:
        said = channel.recv(3)
        if not said and event & _CLOSED:
            self._close()
            return
        port = int.from_bytes(said, "big") if len(said) == 2 else 0  # noqa: PLR2004 - of a port
        if port == 0:
            self._answer = errno.EINVAL, None
            return
        try:
            self._connect(port)
        except OSError as error:
            self._answer = error.errno or errno.EIO, None

    def _connect(self, port: int) -> None:
        asked = socket.socket(
            socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        self._asked, self._deadline = asked, time.monotonic() + SECONDS
        result = asked.connect_ex(("127.0.0.1", port))
        if result != errno.EINPROGRESS:
            self._conclude(asked, result)

    def _connected(self, asked: socket.socket, event: int) -> None:
        if event:
            self._conclude(asked, asked.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        elif time.monotonic() >= self._deadline:
            self._conclude(asked, errno.ETIMEDOUT)

    def _conclude(self, asked: socket.socket, error: int) -> None:
        self._asked = None
        # Where nobody listens, the port given to our own end may be the very one: TCP then connects
        # the socket to itself.
        if not error and asked.getsockname() == asked.getpeername():
            error = errno.ECONNREFUSED
        if error:
            asked.close()
            self._answer = error, None
            return
        asked.settimeout(None)
        self._answer = 0, asked

    def _reply(self, channel: socket.socket, error: int, connection: socket.socket | None) -> None:
        rights = (connection.fileno(),) if connection is not None else ()
        send_message(channel, bytes((error,)), rights)
        if connection is not None:
            connection.close()
        self._answer = None

    def _close(self) -> None:
        held = (self._channel, self._asked, self._answer[1] if self._answer else None)
        for each in held:
            if each is not None:
                each.close()
        self._channel = self._asked = self._answer = None
