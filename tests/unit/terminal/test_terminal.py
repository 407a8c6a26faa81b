"""The terminal relay, with real programs, on real terminals, under a real interactive shell."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from terminalworld import FRONT, ask, gone, running


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
