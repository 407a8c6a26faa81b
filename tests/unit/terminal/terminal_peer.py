"""A front end for the terminal tests: a relay of ours, and a child on a real pty as its peer.

    python terminal_peer.py [--pipes | --spoilt] -- COMMAND...

The child leads a session of its own, as a command in the box does, so its process group is
orphaned. Signals sent through the peer are noted in the file named by PEER_LOG.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty

from clsecure import terminal
from clsecure.errors import UserError
from clsecure.terminal.interactive import relay_terminal
from clsecure.terminal.pipes import relay_pipes


class Child:
    def __init__(self, pid):
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.log = os.environ.get("PEER_LOG")

    def fileno(self):
        return self.pidfd

    def next_event(self):
        if os.environ.get("PEER_GONE"):
            raise UserError("the helper is gone")
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return terminal.Exited(status if status >= 0 else 128 - status)

    def send_signal(self, name):
        if self.log:
            with open(self.log, "a", encoding="ascii") as log:
                log.write(f"{name}\n")
        os.killpg(self.pid, signal.Signals[f"SIG{name}"])


def start(argv, descriptors, close=()):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        if os.isatty(0):
            os.close(os.open(os.ttyname(0), os.O_RDWR))  # becomes the controlling terminal
        for descriptor in close:
            os.close(descriptor)
        os.execvp(argv[0], argv)
    return Child(pid)


def main(argv):
    pipes = argv[0] == "--pipes"
    command = argv[argv.index("--") + 1 :]
    if pipes:
        (in_r, in_w), (out_r, out_w), (err_r, err_w) = (os.pipe2(os.O_CLOEXEC) for _ in range(3))
        child = start(command, (in_r, out_w, err_w))
        for descriptor in (in_r, out_w, err_w):
            os.close(descriptor)
        return relay_pipes(in_w, out_r, err_r, child)
    attributes = terminal.terminal_attributes()
    if argv[0] == "--spoilt":
        tty.setraw(0)
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, terminal.terminal_size())
    child = start(command, (slave, slave, slave), close=(master, slave))
    os.close(slave)
    return relay_terminal(master, child, attributes)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error.message}")
