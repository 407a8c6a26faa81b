"""The terminal relay, with real programs, on real terminals, under a real interactive shell."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest

FRONT = Path(__file__).with_name("terminal_peer.py")
SOURCE = Path(__file__).parents[2] / "src"
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


@pytest.fixture(name="screen")
def _screen(tmp_path):
    program = tmp_path / "screen.py"
    program.write_text(FULL_SCREEN)
    return f"/usr/bin/python3 -IS {program}"


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


@pytest.fixture(name="front")
def _front(tmp_path):
    return Front(f"front-of-{os.getpid()}-{tmp_path.name}")


@pytest.fixture(name="environment")
def _environment(tmp_path):
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(SOURCE),
        "PEER_LOG": str(tmp_path / "peer.log"),
        "TERM": "xterm",
        "HOME": str(tmp_path),
        "PS1": "shell$ ",
        "HISTFILE": "",
    }


@pytest.fixture(name="spawn")
def _spawn(environment):
    """Start programs on terminals of their own; all of them end with the test."""
    started = []

    def spawn(argv, **options):
        options = {"env": environment, "timeout": 10, "echo": True, "encoding": None, **options}
        started.append(pexpect.spawn(argv[0], argv[1:], **options))
        started[-1].delaybeforesend = None
        return started[-1]

    yield spawn
    for process in started:
        process.close(force=True)


@pytest.fixture(name="shell")
def _shell(spawn):
    # Wide, since readline draws its prompt again when a line wraps.
    shell = spawn(BASH, dimensions=(30, 500))
    shell.expect_exact("shell$ ")
    # Bracketed paste is bash's own and would blur what the tests look for.
    ask(shell, "bind 'set enable-bracketed-paste off'")
    return shell


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


def test_keys_output_and_exit_code_pass(shell, screen, front):
    before = ask(shell, "stty -g")
    shell.sendline(front(screen))
    shell.expect_exact("ready 500")
    shell.send("x")
    shell.expect_exact("key b'x'")
    shell.send("\x03")  # Ctrl-C is the program's
    shell.expect_exact("key b'\\x03'")
    shell.send("q")
    shell.expect_exact("shell$ ")
    assert ask(shell, "echo code $?").startswith("code 7")
    assert ask(shell, "stty -g") == before


def test_a_resize_reaches_the_program(shell, screen, front):
    shell.sendline(front(screen))
    shell.expect_exact("ready 500")
    shell.setwinsize(40, 111)
    shell.expect_exact("size 111x40")
    shell.send("q")
    shell.expect_exact("shell$ ")


def test_what_a_crashed_program_left_on_is_switched_off(shell, screen, front):
    before = ask(shell, "stty -g")
    shell.sendline(front(screen))
    shell.expect_exact("ready")
    [pid] = [p for p in running(screen.split()[-1]) if p not in running(front.mark)]
    os.kill(pid, signal.SIGKILL)
    shell.expect_exact("shell$ ")
    for sequence in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?2004l", b"\x1b[<1u", b"\x1b[?25h"):
        assert sequence in shell.before
    assert ask(shell, "echo code $?").startswith("code 137")
    assert ask(shell, "stty -g") == before


def test_a_lost_helper_is_an_error_on_a_restored_terminal(shell, screen, front):
    before = ask(shell, "stty -g")
    shell.sendline("PEER_GONE=1 " + front(screen))
    shell.expect_exact("ready")
    shell.send("q")
    shell.expect_exact("error: the helper is gone\r\n")
    shell.expect_exact("shell$ ")
    assert ask(shell, "stty -g") == before


def test_nothing_is_added_to_plain_output(shell, front):
    shell.sendline(front("echo plain"))
    shell.expect_exact("\r\nplain\r\n")
    shell.expect_exact("shell$ ")
    assert shell.before == b""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_terminal_is_restored_however_the_front_end_dies(shell, screen, number, front):
    before = ask(shell, "stty -g")
    shell.sendline(front(screen) + " ; echo code $?")
    shell.expect_exact("ready")
    time.sleep(0.05)
    pid = front.pid()
    os.kill(pid, number)
    shell.expect(rb"code (\d+)")
    assert int(shell.match[1]) == 128 + number
    shell.expect_exact("shell$ ")
    assert front.is_gone()
    assert ask(shell, "stty -g") == before


def test_the_screen_is_left_when_the_front_end_is_killed(shell, screen, front):
    shell.sendline(front(screen))
    shell.expect_exact("ready")
    os.kill(front.pid(), signal.SIGKILL)
    for sequence in ("\x1b[<1u", "\x1b[?1049l", "\x1b[?25h", "\x1b[?1000l", "\x1b[?2004l"):
        shell.expect_exact(sequence)
    assert front.is_gone()


def test_ctrl_z_stops_and_fg_goes_on(shell, screen, environment, front):
    before = ask(shell, "stty -g")
    shell.sendline(front(screen))
    shell.expect_exact("ready")
    shell.send("\x1a")
    shell.expect_exact("suspended")
    shell.expect("Stopped")
    shell.expect_exact("shell$ ")
    assert ask(shell, "stty -g") == before
    shell.setwinsize(25, 77)
    shell.sendline("fg")
    shell.expect_exact("ready 77")
    shell.send("x")
    shell.expect_exact("key b'x'")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect_exact("shell$ ")
    shell.sendline("fg")
    shell.expect_exact("ready 77")
    shell.send("q")
    shell.expect_exact("shell$ ")
    assert ask(shell, "stty -g") == before
    assert Path(environment["PEER_LOG"]).read_text().split() == ["CONT", "CONT"]


def test_ctrl_z_inside_a_script_stops_the_script_too(shell, screen, tmp_path, front):
    script = tmp_path / "script"
    script.write_text(f"{front(screen)}\necho after $?\n")
    shell.sendline(f"sh {script}")
    shell.expect_exact("ready")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect_exact("shell$ ")
    shell.sendline("fg")
    shell.expect_exact("ready")
    shell.send("q")
    shell.expect_exact("after 7")


def test_bg_stops_again_and_kill_ends_it(shell, screen, front):
    before = ask(shell, "stty -g")
    shell.sendline(front(screen))
    shell.expect_exact("ready")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect_exact("shell$ ")
    ask(shell, "bg")
    deadline = time.monotonic() + 8
    while "Stopped" not in ask(shell, "jobs"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ask(shell, "kill %1")
    assert front.is_gone()
    ask(shell, "")
    assert ask(shell, "stty -g") == before


def test_kill_ends_a_suspended_one_at_once(shell, screen, front):
    shell.sendline(front(screen))
    shell.expect_exact("ready")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect_exact("shell$ ")
    shell.sendline("kill %1")
    assert front.is_gone()


def test_kill_while_suspended_leaves_the_shell_its_terminal(shell, screen, front):
    shell.sendline(front(screen))
    shell.expect_exact("ready")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect_exact("shell$ ")
    shell.sendline("kill -9 %1")
    assert front.is_gone()
    shell.expect_exact("shell$ ")
    assert b"\x1b[?1049l" not in shell.before
    assert "fine" in ask(shell, "echo fi''ne")


def test_ctrl_z_stops_a_plain_program_too(shell, front):
    shell.sendline(front("sh -c 'echo on; exec cat'"))
    shell.expect_exact("\r\non\r\n")
    shell.send("line\n")
    shell.expect_exact("line\r\nline\r\n")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect_exact("shell$ ")
    shell.sendline("fg")
    shell.expect_exact("exec cat'\r\n")
    time.sleep(0.2)
    shell.send("more\n")
    shell.expect_exact("more\r\nmore\r\n")
    shell.send("\x04")
    shell.expect_exact("shell$ ")


@pytest.mark.parametrize("inner", ["bash --norc --noprofile -i", "dash -i"])
def test_a_shell_in_the_box_keeps_ctrl_z_for_itself(shell, front, inner):
    """Bash has a line editor, whose terminal is never canonical; dash has none."""
    shell.sendline(front("env PS1=inner: " + inner))
    shell.expect_exact("inner:")
    shell.sendline("sh -c 'echo go; exec sleep 300'")
    shell.expect_exact("go\r\n")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect_exact("inner:")
    shell.sendline("kill -9 %1; sleep 0.1; jobs; exit 5")
    shell.expect_exact("shell$ ")
    assert ask(shell, "echo code $?").startswith("code 5")


def test_ctrl_z_without_a_shell_does_not_freeze(spawn, screen, front):
    """As the first program of a terminal window nobody could continue us."""
    process = spawn(front(screen).split())
    process.expect_exact("ready")
    process.send("\x1a")
    process.expect_exact("ready")
    process.send("q")
    process.expect(pexpect.EOF)


def test_a_closed_terminal_ends_everything(spawn, screen, front):
    process = spawn(front(screen).split())
    process.expect_exact("ready")
    process.ptyproc.fileobj.close()
    assert front.is_gone()
    assert gone(screen.split()[-1])


def test_a_terminal_that_ends_without_a_signal_ends_us_too(environment, front, screen):
    """It is not our controlling terminal, so there is no SIGHUP."""
    master, slave = os.openpty()
    argv = front(screen).split()
    with subprocess.Popen(
        argv, stdin=slave, stdout=slave, env=environment, start_new_session=True
    ) as process:
        try:
            os.close(slave)
            while b"ready" not in os.read(master, 1000):
                pass
            os.close(master)
            assert process.wait(10) == 129
        finally:
            process.kill()
    assert front.is_gone()


def test_type_ahead_goes_to_the_program_first_and_the_rest_to_the_shell(shell, front):
    shell.sendline(front("bash -c 'read a; sleep 0.3; echo got:$a'"))
    time.sleep(0.2)
    shell.send("early\n")
    shell.expect_exact("got:early")
    shell.expect_exact("shell$ ")
    assert "fine" in ask(shell, "echo fi''ne")


def test_a_large_paste_passes_while_the_program_writes_a_lot(spawn):
    """Both directions are full at once: nothing may wait for the other."""
    code = (
        "import os,sys,tty;tty.setraw(0);print('go',flush=True);n=0\n"
        "while n<300000: n+=len(os.read(0,65536)); os.write(1,b'y'*20000)\n"
        "print('all',n)"
    )
    process = spawn([sys.executable, str(FRONT), "--", "/usr/bin/python3", "-c", code])
    process.expect_exact("go")
    os.set_blocking(process.child_fd, False)
    left = 300000
    received = b""
    deadline = time.monotonic() + 20
    while b"all 300000" not in received and time.monotonic() < deadline:
        if left:
            with suppress(BlockingIOError):
                left -= os.write(process.child_fd, b"x" * min(left, 65536))
        try:
            received = received[-100:] + os.read(process.child_fd, 65536)
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            break
    assert b"all 300000" in received


def test_the_shells_terminal_does_not_become_non_blocking(shell, screen, front):
    shell.sendline(front(screen))
    shell.expect_exact("ready")
    flags = Path(f"/proc/{shell.pid}/fdinfo/0").read_text()
    assert not int(re.search(r"flags:\s+(\d+)", flags)[1], 8) & os.O_NONBLOCK
    shell.send("q")


def test_output_written_just_before_the_end_is_shown(shell, front):
    shell.sendline(front("bash -c 'seq 20000; echo the-last-line'"))
    shell.expect_exact("the-last-line\r\n")
    shell.expect_exact("shell$ ")
    lines = shell.before.split()
    assert not lines


def test_the_attributes_given_are_those_restored(shell, front):
    """What sudo did to the terminal before the relay began is not what is restored."""
    before = ask(shell, "stty -g")
    shell.sendline(front("true", "--spoilt"))
    shell.expect_exact("shell$ ")
    assert ask(shell, "stty -g") == before


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_ctrl_z_and_fg_in_zsh(spawn, screen, front):
    shell = spawn([shutil.which("zsh"), "-f", "-i"])
    shell.sendline("PS1='shell$ '; unsetopt zle prompt_sp prompt_cr")
    shell.expect_exact("shell$ ")
    shell.sendline(front(screen))
    shell.expect_exact("ready")
    shell.send("\x1a")
    shell.expect("suspended.*suspended")
    shell.sendline("fg")
    shell.expect_exact("ready")
    shell.send("q")
    shell.expect_exact("shell$ ")
