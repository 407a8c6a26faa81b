"""A second process of the human's that puts the terminal right when clsecure dies without a word.

`kill -9` leaves a terminal in raw mode, on the alternate screen, with mouse reports on. The
watcher waits on a pipe whose only other end clsecure holds, so that its end shows at once, and
restores the terminal then, unless somebody else (the shell) has already.
"""

from __future__ import annotations

import os
import select
import signal
import termios
from typing import Any

from clsecure import child

Attributes = list[Any]  # as of termios.tcgetattr

_OFLAG, _LFLAG = 1, 3
_WRITE_SECONDS = 1
_GIVE_UP_SECONDS = 5
_ON, _OFF, _BYE = b"+", b"-", b"."  # first byte of a message


def is_raw(attributes: Attributes) -> bool:
    """Whether a terminal is in raw mode proper; a shell's line editor keeps OPOST and ISIG."""
    cooked_local = termios.ICANON | termios.ECHO | termios.ISIG
    return not (attributes[_OFLAG] & termios.OPOST or attributes[_LFLAG] & cooked_local)


class Watcher:
    """The watcher as seen by clsecure. Start it before the terminal is changed."""

    def __init__(self, terminal: int, saved: Attributes) -> None:
        read, self._pipe = os.pipe2(os.O_CLOEXEC | os.O_DIRECT)  # keeps messages apart

        def main() -> None:
            _watch(read, terminal, saved)

        self._pid = child.fork(main, keep=(read, terminal))
        os.close(read)
        os.set_blocking(self._pipe, False)

    def tell(self, undo: bytes | None) -> None:
        """Say what to write if we die now; None when the terminal is not ours (suspended)."""
        self._send(_OFF if undo is None else _ON + undo)

    def close(self) -> None:
        """End the watcher; it does nothing."""
        self._send(_BYE)
        os.close(self._pipe)
        child.reap(self._pid, seconds=_GIVE_UP_SECONDS)

    def _send(self, message: bytes) -> None:
        try:
            os.write(self._pipe, message)
        except OSError:
            return  # it was killed: there is no watcher any more, and nothing to be done about it


def _watch(read: int, terminal: int, saved: Attributes) -> None:
    for number in (signal.SIGTERM, signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, signal.SIG_IGN)  # it ends with clsecure, and never before
    last = b""
    while message := os.read(read, select.PIPE_BUF):
        last = message
    if last.startswith(_ON):
        _restore(terminal, saved, last.removeprefix(_ON))


def _restore(terminal: int, saved: Attributes, undo: bytes) -> None:
    signal.alarm(_GIVE_UP_SECONDS)  # a terminal that takes no output must not keep us here
    try:
        if is_raw(termios.tcgetattr(terminal)):
            termios.tcsetattr(terminal, termios.TCSANOW, saved)
    except termios.error:
        return  # the terminal is gone
    if undo and select.select([], [terminal], [], _WRITE_SECONDS)[1]:
        os.write(terminal, undo)
