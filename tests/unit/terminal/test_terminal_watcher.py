"""The watcher: what it does when the relay dies without a word, and what it leaves alone."""

from __future__ import annotations

import os
import select
import termios
import time
from pathlib import Path

import pytest

from clsecure.terminal.human import raw_attributes
from clsecure.terminal.watcher import Watcher

UNDO = b"\x1b[?1049l"


@pytest.fixture(name="terminal")
def _terminal():
    master, slave = os.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def line_editor(attributes):
    """Change them as a shell's line editor does."""
    changed = [*attributes]
    changed[3] &= ~(termios.ICANON | termios.ECHO)
    return changed


def die(watcher):
    """End the relay's side of it as `kill -9` would, and wait for the watcher."""
    os.close(watcher._pipe)
    deadline = time.monotonic() + 5
    while os.waitpid(watcher._pid, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def written(master):
    return os.read(master, 1000) if select.select([master], [], [], 0)[0] else b""


def test_it_restores_and_undoes(terminal):
    master, slave = terminal
    saved = termios.tcgetattr(slave)
    watcher = Watcher(slave, saved)
    watcher.tell(b"\x1b[?25h")
    watcher.tell(UNDO)
    termios.tcsetattr(slave, termios.TCSANOW, raw_attributes(saved))
    die(watcher)
    assert termios.tcgetattr(slave) == saved
    assert written(master) == UNDO


def test_it_leaves_the_modes_of_a_shell_that_was_faster(terminal):
    _, slave = terminal
    saved = termios.tcgetattr(slave)
    watcher = Watcher(slave, saved)
    watcher.tell(UNDO)
    termios.tcsetattr(slave, termios.TCSANOW, line_editor(saved))
    edited = termios.tcgetattr(slave)
    die(watcher)
    assert termios.tcgetattr(slave) == edited != saved


@pytest.mark.parametrize("undo", [None, b""])
def test_it_writes_nothing_when_there_is_nothing_to_undo(terminal, undo):
    master, slave = terminal
    watcher = Watcher(slave, termios.tcgetattr(slave))
    watcher.tell(UNDO)
    watcher.tell(undo)
    die(watcher)
    assert written(master) == b""


def test_it_leaves_the_terminal_alone_while_the_relay_is_suspended(terminal):
    _, slave = terminal
    saved = termios.tcgetattr(slave)
    watcher = Watcher(slave, saved)
    watcher.tell(UNDO)
    watcher.tell(None)
    termios.tcsetattr(slave, termios.TCSANOW, raw_attributes(saved))  # another program's
    die(watcher)
    assert termios.tcgetattr(slave) == raw_attributes(saved)


def test_it_does_nothing_after_an_ordinary_end(terminal):
    master, slave = terminal
    saved = termios.tcgetattr(slave)
    watcher = Watcher(slave, saved)
    watcher.tell(UNDO)
    termios.tcsetattr(slave, termios.TCSANOW, raw_attributes(saved))
    watcher.close()
    assert termios.tcgetattr(slave) == raw_attributes(saved)
    assert written(master) == b""


def test_it_survives_signals_and_does_not_hang_on_a_closed_terminal():
    master, slave = os.openpty()
    watcher = Watcher(slave, termios.tcgetattr(slave))
    watcher.tell(UNDO)
    links = Path(f"/proc/{watcher._pid}/fd")
    deadline = time.monotonic() + 5
    while os.getsid(watcher._pid) != watcher._pid or len(list(links.iterdir())) != 5:
        assert time.monotonic() < deadline  # standard streams, the pipe, the terminal
        time.sleep(0.005)
    time.sleep(0.05)
    for number in (1, 2, 3, 15, 20):
        os.kill(watcher._pid, number)
    os.close(slave)
    os.close(master)
    die(watcher)
