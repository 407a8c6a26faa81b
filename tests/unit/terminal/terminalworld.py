"""What the tests of the terminal share: the front end, a full-screen program, a shell to ask."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

FRONT = Path(__file__).with_name("terminal_peer.py")
SOURCE = Path(__file__).parents[3] / "src"
BASH = ["/bin/bash", "--norc", "--noprofile", "-i"]

# Full-screen, with all that an agent switches on; answers keys; stops itself at ^Z as agents do.
FULL_SCREEN = r"""
import os, signal, sys, termios, tty
saved = termios.tcgetattr(0)
ON = "\x1b[?1049h\x1b[?1000h\x1b[?2004h\x1b[>1u\x1b[?25l"
OFF = "\x1b[<u\x1b[?2004l\x1b[?1000l\x1b[?25h\x1b[?1049l"
def show(text):  # print may not be called again by a signal handler while it runs
    os.write(1, text.encode())
def enter(*_):
    tty.setraw(0)
    show(ON + "ready %s\r\n" % os.get_terminal_size(0).columns)
def leave():
    show(OFF)
    termios.tcsetattr(0, termios.TCSADRAIN, saved)
signal.signal(signal.SIGCONT, enter)
def resized(*_):
    show("size %dx%d\r\n" % os.get_terminal_size(0))
signal.signal(signal.SIGWINCH, resized)
enter()
while True:
    key = os.read(0, 100)
    if b"q" in key:
        leave()
        sys.exit(7)
    elif b"\x1a" in key:
        leave()
        show("suspended\n")
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        show("key %r\r\n" % key)
"""


class Front:
    """Command lines of the front end; the mark tells its processes from other tests'."""

    def __init__(self, mark):
        self.mark = mark

    def __call__(self, command, *options):
        return f"{sys.executable} {FRONT} {' '.join(options)} --mark={self.mark} -- {command}"

    def pid(self):
        """The relay's own process, and not the watcher."""
        return min(running(self.mark))

    def is_gone(self):
        return gone(self.mark)


def ask(shell, command):
    """Run a command in the shell; what it printed."""
    shell.sendline(command)
    shell.expect_exact(command + "\r\n")
    shell.expect_exact("shell$ ")
    return shell.before.decode()


def gone(path, seconds=5.0):
    """Wait until no process runs with `path` on its command line."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not running(path):
            return True
        time.sleep(0.02)
    return False


def running(path):
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(path) in process.read_bytes():
                found.append(int(process.parent.name))
        except OSError:
            continue
    return found
