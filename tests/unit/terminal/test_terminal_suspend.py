"""Ctrl-Z, fg, bg and kill, in real interactive shells."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pexpect
import pytest
from terminalworld import ask


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
    assert before in ask(shell, "stty -g")  # and perhaps that the job has ended


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
