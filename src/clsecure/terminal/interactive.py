"""Relay between the human's terminal and the pty of a command in the box."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from clsecure.terminal.base import READ_SIZE, Exited, Outlet, Peer, Signals, wait
from clsecure.terminal.human import HangupError, HumanTerminal
from clsecure.terminal.standard import IN, terminal_attributes
from clsecure.terminal.suspend import POLL_SECONDS, Mode, SuspendKey, SuspendWatch

if TYPE_CHECKING:
    from clsecure.terminal.watcher import Attributes

_WINSIZE = bytes(8)  # struct winsize: four unsigned shorts
_REOPEN_SECONDS = 0.05  # between two looks at a pty that no process holds open
_DRAIN_SECONDS = 0.3  # without a byte, after the command's end
_STUCK_SECONDS = 2.0  # without a byte taken by the human's terminal, after the command's end


def relay_terminal(master: int, peer: Peer, attributes: Attributes | None = None) -> int:
    """Give the human's terminal to the pty `master` until the command ends; its exit code.

    `master` becomes non-blocking and stays open. `attributes` are those to restore, by default the
    present ones. The terminal is restored however this ends, `kill -9` included. Raises SystemExit
    with 128+n at SIGTERM and SIGHUP (a closed terminal counts as SIGHUP), UserError when the
    helper is gone.
    """
    os.set_blocking(master, False)
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
    saved = terminal_attributes() if attributes is None else attributes
    with Signals(*numbers) as signals, HumanTerminal(saved) as terminal:
        try:
            return _TerminalRelay(master, peer, signals, terminal).run()
        except HangupError:
            raise SystemExit(128 + signal.SIGHUP) from None


class _TerminalRelay:
    def __init__(self, master: int, peer: Peer, signals: Signals, terminal: HumanTerminal) -> None:
        self._master = master
        self._peer = peer
        self._signals = signals
        self._terminal = terminal
        self._typed = Outlet(master)
        self._key = SuspendKey()
        self._suspend = SuspendWatch()
        self._exited: Exited | None = None
        self._reopen_at: float | None = None
        self._last_output = self._last_shown = 0.0

    def run(self) -> int:
        self._take_over()
        while self._exited is None or not self._drained():
            self._step()
        return self._exited.code

    def _step(self) -> None:
        ready = wait(self._reading(), self._writing(), self._seconds())
        self._take_signals()
        if self._terminal.outlet.descriptor in ready:
            self._show()
        if self._master in ready:
            self._move()
        if IN in ready:
            self._read_keys()
        if self._exited is None and self._peer.fileno() in ready:
            self._take_event()
        if self._suspend.watching and self._suspend.observe(
            Mode.of(self._master), time.monotonic()
        ):
            self._stop_ourselves()

    def _reading(self) -> list[int]:
        reading = [self._signals.fileno()]
        if self._exited is None:
            reading.append(self._peer.fileno())
            if self._typed.has_room:
                reading.append(IN)
        if self._terminal.outlet.has_room and self._opened():
            reading.append(self._master)
        return reading

    def _writing(self) -> list[int]:
        writing = [] if self._terminal.outlet.empty else [self._terminal.outlet.descriptor]
        if not self._typed.empty and self._exited is None and self._opened():
            writing.append(self._master)
        return writing

    def _seconds(self) -> float | None:
        """How long nothing need happen."""
        if self._exited is not None or self._suspend.watching or not self._opened():
            return POLL_SECONDS
        return None

    def _opened(self) -> bool:
        """Whether to look at the pty: one that no process has open is ready without an end."""
        if self._reopen_at is not None and time.monotonic() >= self._reopen_at:
            self._reopen_at = None
        return self._reopen_at is None

    def _drained(self) -> bool:
        """After the command's end: whether all its output has been shown, or cannot be."""
        now = time.monotonic()
        if not self._terminal.outlet.empty:
            return now - self._last_shown > _STUCK_SECONDS
        return self._reopen_at is not None or now - self._last_output > _DRAIN_SECONDS

    def _take_event(self) -> None:
        self._exited = self._peer.next_event()
        self._last_output = self._last_shown = time.monotonic()

    def _take_signals(self) -> None:
        for number in self._signals.take():
            if number in {signal.SIGTERM, signal.SIGHUP}:
                raise SystemExit(128 + number)
            if number == signal.SIGWINCH:
                self._resize()
            elif number == signal.SIGTSTP:
                self._stop_ourselves()
            else:
                self._take_over()

    def _read_keys(self) -> None:
        data = self._terminal.read()
        if self._key.in_input(data):
            self._suspend.key_typed(Mode.of(self._master), time.monotonic())
        self._typed.add(data)
        with suppress(OSError):
            self._typed.write()

    def _move(self) -> None:
        """Bytes between the pty and the buffers."""
        if not self._typed.empty:
            with suppress(OSError):
                self._typed.write()
        data = self._read_output()
        if data:
            self._terminal.show(data)
            self._last_output = time.monotonic()
            self._show()

    def _read_output(self) -> bytes:
        """Read what is there, up to READ_SIZE: the kernel gives about 4 KiB at a time."""
        data = b""
        while len(data) < READ_SIZE:
            try:
                data += os.read(self._master, READ_SIZE)
            except BlockingIOError:
                break
            except OSError:  # EIO: no process has the other side open at present
                self._reopen_at = time.monotonic() + _REOPEN_SECONDS
                break
        return data

    def _show(self) -> None:
        try:
            self._terminal.outlet.write()
        except OSError as error:
            raise HangupError from error
        self._last_shown = time.monotonic()

    def _take_over(self) -> None:
        """Make the terminal raw and the pty as large as it is."""
        while not self._terminal.raw():
            self._take_signals()
        self._resize()

    def _resize(self) -> None:
        with suppress(OSError):  # one of the two is gone: another event says so
            size = fcntl.ioctl(IN, termios.TIOCGWINSZ, _WINSIZE)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def _stop_ourselves(self) -> None:
        """Stop as an ordinary program does at Ctrl-Z, and go on at `fg`.

        SIGTSTP goes to the whole process group, since a script may have started us and the shell
        waits for that one. The kernel does not deliver it to an orphaned group, where nobody could
        continue us; then this goes on at once.
        """
        with suppress(OSError):
            self._terminal.outlet.write_while_ready(_STUCK_SECONDS)
        self._terminal.restore()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.killpg(0, signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        for number in self._signals.take():
            if number in {signal.SIGTERM, signal.SIGHUP}:  # as with `kill %1`
                raise SystemExit(128 + number)
        self._take_over()
        if self._exited is None:
            self._peer.send_signal("CONT")
