"""Decide whether Ctrl-Z, typed to a program in the box, was meant to suspend clsecure.

The program in the box has no shell above it which could take over, so one that stops itself would
freeze its screen. It is recognised by what it does first: it puts its terminal into canonical
mode, and leaves it so. A shell in the box that stops a job of its own is told apart by the
terminal's foreground process group, which changes.
"""

from __future__ import annotations

import os
import re
import termios
from typing import NamedTuple

POLL_SECONDS = 0.03
SETTLED_SECONDS = 0.15
GIVE_UP_SECONDS = 1.0

# ^Z, and what terminals send for it in the kitty keyboard protocol (with Caps or Num Lock, and
# with the event type "press") and under xterm's modifyOtherKeys.
_KEY = re.compile(rb"\x1a|\x1b\[122;(?:5|69|133|197)(?::1)?u|\x1b\[27;5;122~")
_LONGEST_KEY = 12
_LFLAG, _CC = 3, 6


class Mode(NamedTuple):
    """A pty as seen from its master: line discipline and foreground process group."""

    canonical: bool
    suspend_key: bool  # ^Z sends SIGTSTP to the foreground group
    foreground: int  # process group, 0 where it cannot be told

    @classmethod
    def of(cls, master: int) -> Mode:
        """Read the mode; a pty whose other side is gone counts as raw."""
        try:
            attributes = termios.tcgetattr(master)
        except termios.error:
            return cls(canonical=False, suspend_key=False, foreground=0)
        try:
            foreground = os.tcgetpgrp(master)
        except OSError:
            foreground = 0
        return cls(
            canonical=bool(attributes[_LFLAG] & termios.ICANON),
            suspend_key=bool(attributes[_LFLAG] & termios.ISIG)
            and attributes[_CC][termios.VSUSP] == b"\x1a",
            foreground=foreground,
        )


class SuspendKey:
    """Finds the suspend key in what the human types, also when a sequence comes in two pieces."""

    def __init__(self) -> None:
        self._before = b""

    def in_input(self, data: bytes) -> bool:
        """Tell whether `data` completes a suspend key."""
        text = self._before + data
        start = len(self._before)
        self._before = text[-_LONGEST_KEY + 1 :]
        return any(match.end() > start for match in _KEY.finditer(text))


class SuspendWatch:
    """Watches the pty after the key was typed. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._group = 0
        self._settled: float | None = None

    def key_typed(self, mode: Mode, now: float) -> None:
        """Begin to watch; `mode` is the pty's before the key is passed on."""
        if mode.canonical and not mode.suspend_key:
            return  # the program reads ^Z as a character
        self._began = now
        self._group = mode.foreground
        self._settled = now if mode.canonical else None

    @property
    def watching(self) -> bool:
        """Whether `observe` wants to be called every POLL_SECONDS."""
        return self._began is not None

    def observe(self, mode: Mode, now: float) -> bool:
        """Look at the pty again; True: stop now. Ends the watch when the answer is known."""
        if self._began is None:
            return False
        if mode.foreground != self._group:
            self._began = None  # a shell in the box has taken its terminal back
            return False
        if not mode.canonical:
            self._settled = None
        elif self._settled is None:
            self._settled = now
        if self._settled is not None and now - self._settled >= SETTLED_SECONDS:
            self._began = None
            return True
        if self._settled is None and now - self._began >= GIVE_UP_SECONDS:
            self._began = None
        return False
