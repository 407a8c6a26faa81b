"""What every relay between the human and the box stands on: the peer, signals, patient writing."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, TracebackType

READ_SIZE = 65536


class Exited(NamedTuple):
    """The command in the box has ended: exit code 0-255 (128+n: by signal n)."""

    code: int
    timed_out: bool = False


class Peer(Protocol):
    """The session's side of a relay: tells of the command's end, takes signals for it."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when an event is pending."""

    def next_event(self) -> Exited | None:
        """Take the pending event; None when it is not for the relay.

        Raises UserError when the helper is gone.
        """

    def send_signal(self, name: str) -> None:
        """Send "INT", "TERM", "HUP", "QUIT" or "CONT" to the command's processes in the box."""


class Signals:
    """A context in which some signals are queued, and a descriptor that wakes a poll for them."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._queue: list[int] = []
        self._previous: list[tuple[signal.Signals, object]] = []

    def __enter__(self) -> Self:
        self._wake, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._previous_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._previous = [(n, signal.signal(n, self._note)) for n in self._numbers]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous:
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._previous_wakeup)
        os.close(self._wake)
        os.close(self._write)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._queue.append(number)

    def fileno(self) -> int:
        """Readable when a signal has come."""
        return self._wake

    def take(self) -> list[int]:
        """Return the signals that came since the last call, in order."""
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)
        taken, self._queue = self._queue, []
        return taken


class Outlet:
    """Bytes on their way to a descriptor which may not take them at once.

    `piece` is the most that is written after one "ready": what a blocking descriptor takes without
    blocking, or READ_SIZE for one that does not block.
    """

    def __init__(self, descriptor: int, *, piece: int = READ_SIZE, limit: int = READ_SIZE) -> None:
        self.descriptor = descriptor
        self._piece = piece
        self._limit = limit
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        """Queue `data`."""
        self._bytes += data

    @property
    def empty(self) -> bool:
        """Whether everything has been written."""
        return not self._bytes

    @property
    def has_room(self) -> bool:
        """Whether more should be read for it now."""
        return len(self._bytes) < self._limit

    def discard(self) -> None:
        """Forget what has not been written."""
        self._bytes.clear()

    def write(self) -> None:
        """Write one piece. Raises OSError when the other side is gone."""
        with suppress(BlockingIOError):
            del self._bytes[: os.write(self.descriptor, self._bytes[: self._piece])]

    def write_while_ready(self, seconds: float = 0) -> bool:
        """Write pieces as long as they are taken within `seconds` each; True when all is out."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        while self._bytes and poll.poll(seconds * 1000):
            self.write()
        return not self._bytes


def wait(reading: Sequence[int], writing: Sequence[int], seconds: float | None) -> dict[int, int]:
    """Poll once; the result maps each ready descriptor to its events. None: as long as it takes."""
    masks = dict.fromkeys(reading, select.POLLIN)
    for descriptor in writing:
        masks[descriptor] = masks.get(descriptor, 0) | select.POLLOUT
    poll = select.poll()
    for descriptor, mask in masks.items():
        poll.register(descriptor, mask)
    return dict(poll.poll(None if seconds is None else max(0, seconds * 1000)))
