"""The human's terminal: raw while a command in the box has it, and afterwards as it was."""

from __future__ import annotations

import copy
import errno
import os
import signal
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from clsecure.terminal.base import Outlet
from clsecure.terminal.screen import ScreenModes
from clsecure.terminal.standard import IN, OUT
from clsecure.terminal.watcher import Attributes, Watcher, is_raw

if TYPE_CHECKING:
    from types import TracebackType

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
_BLOCKING_PIECE = 256  # what a terminal that poll calls ready takes (WAKEUP_CHARS in n_tty.c)
_STUCK_SECONDS = 2.0  # a terminal that takes no more output is given up
_BUFFERED = 262_144


class HangupError(Exception):
    """The human has closed the terminal."""


class HumanTerminal:
    """A context in which the terminal is watched over; `raw` and `restore` switch it.

    Leaving it restores the attributes, and undoes what the command left switched on on the screen.
    """

    def __init__(self, saved: Attributes) -> None:
        self._saved = saved
        self._screen = ScreenModes()
        self._ours = False

    def __enter__(self) -> Self:
        self.outlet = _own_outlet()
        self._watcher = Watcher(OUT, self._saved)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ours:
            with suppress(OSError):
                self.outlet.add(self._screen.undo())
                self.outlet.write_while_ready(_STUCK_SECONDS)
            self.restore()
        self._watcher.close()
        os.close(self.outlet.descriptor)

    def raw(self) -> bool:
        """Switch to raw mode; False when a signal came first.

        In the background this stops the process (SIGTTOU), until `fg`. What was typed ahead stays.
        Raises HangupError.
        """
        self._watcher.tell(self._screen.undo())
        try:
            termios.tcsetattr(IN, termios.TCSANOW, raw_attributes(self._saved))
        except termios.error as error:
            if error.args[0] == errno.EINTR:
                return False
            raise HangupError from error
        self._ours = True
        return True

    def restore(self) -> None:
        """Switch back to the human's mode; the screen stays as the command left it.

        A mode that somebody else has set since (the shell, while we were stopped) is left alone.
        """
        stops = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with suppress(termios.error):
            if is_raw(termios.tcgetattr(IN)):
                termios.tcsetattr(IN, termios.TCSANOW, self._saved)
        signal.signal(signal.SIGTTOU, stops)
        self._ours = False
        self._watcher.tell(None)

    def show(self, data: bytes) -> None:
        """Queue output of the command."""
        self.outlet.add(data)
        if self._screen.feed(data):
            self._watcher.tell(self._screen.undo())

    def read(self) -> bytes:
        """Read what the human typed. Raises HangupError."""
        try:
            data = os.read(IN, 65536)
        except OSError as error:
            raise HangupError from error
        if not data:
            raise HangupError
        return data


def raw_attributes(attributes: Attributes) -> Attributes:
    """`attributes` with every byte passed on as it is, both ways (cfmakeraw(3))."""
    raw = copy.deepcopy(attributes)
    raw[_IFLAG] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    raw[_OFLAG] &= ~termios.OPOST
    raw[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    raw[_CFLAG] = raw[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    raw[_CC][termios.VMIN] = 1
    raw[_CC][termios.VTIME] = 0
    return raw


def _own_outlet() -> Outlet:
    """Write to the terminal without blocking.

    O_NONBLOCK on the inherited descriptor would reach the shell, so the terminal is opened anew.
    Where that is not allowed (it belongs to another user) it is written in pieces which it takes.
    """
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return Outlet(os.open(os.ttyname(OUT), flags), limit=_BUFFERED)
    except OSError:
        return Outlet(os.dup(OUT), piece=_BLOCKING_PIECE, limit=_BUFFERED)
