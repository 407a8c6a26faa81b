"""A terminal that a test can read as a person would: what is on it, after every escape sequence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pexpect
import pyte

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = 30
DOWN, CTRL_C, CTRL_D, CTRL_Z = "\x1b[B", "\x03", "\x04", "\x1a"


class Terminal:
    """A program on a terminal, and its screen."""

    def __init__(self, process: pexpect.spawn, size: tuple[int, int] = (30, 100)) -> None:
        self.process = process
        self._screen = pyte.HistoryScreen(size[1], size[0], history=2000)
        self._stream = pyte.Stream(self._screen)
        self.raw = ""

    @property
    def text(self) -> str:
        """What the screen shows now."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def wait(self, *texts: str, seconds: float = _SECONDS) -> str:
        """Read until the screen shows all of these; returns the screen."""
        end = time.monotonic() + seconds
        while not all(text in self.text for text in texts):
            assert time.monotonic() < end, f"no {texts} on:\n{self.text}"
            if not self._read():
                missing = [text for text in texts if text not in self.text]
                assert not missing, f"ended without {missing}:\n{self.text}"
        return self.text

    def settle(self, quiet: float = 0.4) -> str:
        """Read until nothing has come for a while; returns the screen."""
        while self._read(quiet):
            pass
        return self.text

    def type(self, text: str) -> None:
        """Type, without a newline at the end."""
        self.process.send(text)

    def enter(self, text: str = "") -> None:
        """Type a line."""
        self.process.send(f"{text}\r")

    def answer(self, question: str, text: str = "") -> None:
        """Wait for a question below what was answered so far, and answer it with a line."""
        self.wait(question)
        self.settle(0.05)
        self._screen.reset()
        self.enter(text)

    def resize(self, rows: int, columns: int) -> None:
        """Make the window another size."""
        self._screen.resize(rows, columns)
        self.process.setwinsize(rows, columns)

    def end(self) -> int:
        """Read to the end, and return the exit code (128+n: signal n)."""
        while self._read(_SECONDS):
            pass
        self.process.close()
        signal = self.process.signalstatus
        return self.process.exitstatus if signal is None else 128 + signal

    def _read(self, seconds: float = 0.2) -> bool:
        try:
            data = self.process.read_nonblocking(65536, timeout=seconds)
        except pexpect.TIMEOUT:
            return seconds == 0.2
        except pexpect.EOF:
            return False
        self.raw += data
        self._stream.feed(data)
        return True


def open_terminal(human, *words, cwd, env=None, size: tuple[int, int] = (30, 100)) -> Terminal:
    """Start a program on a terminal; without words, clsecure."""
    return Terminal(human.terminal(*words, cwd=cwd, env=env, size=size), size)


def program(*words: str) -> Sequence[str]:
    """clsecure's command line, for `open_terminal`."""
    from world.human import PROGRAM

    return (str(PROGRAM), *words)
