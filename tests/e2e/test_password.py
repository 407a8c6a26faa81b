"""A human whose sudo asks for a password: one question, and a way out of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from e2e.screen import CTRL_C, open_terminal, program


@pytest.fixture
def asked(human):
    """sudo asks this human for the password "secret"."""
    human.agent("echo it runs; echo x > made")
    rule = Path(f"/etc/sudoers.d/{human.name}")
    before = rule.read_text()
    subprocess.run(["chpasswd"], input=f"{human.name}:secret", text=True, check=True)
    rule.write_text(f"Defaults:{human.name} timestamp_timeout=0\n{human.name} ALL=(root) ALL\n")
    yield human
    rule.write_text(before)


def test_the_password_is_asked_once(asked):
    top = asked.repository("asked")
    screen = open_terminal(asked, *program("--mode", "user"), cwd=top)
    screen.answer("password for", "secret")
    screen.wait("it runs")
    screen.answer("What now?", "i")
    screen.answer("Branch:", "b")
    screen.answer("Commit", "n")
    screen.wait("there are no commits to import, only uncommitted work")
    assert screen.end() == 6
    assert screen.raw.count("password for") == 1


def test_interrupted_at_the_password(asked):
    top = asked.repository("asked-interrupted")
    screen = open_terminal(asked, *program(), cwd=top)
    screen.wait("password for")
    screen.type(CTRL_C)
    assert screen.end() == 130
    assert "Traceback" not in screen.raw


def test_a_wrong_password(asked):
    top = asked.repository("asked-wrong")
    screen = open_terminal(asked, *program(), cwd=top)
    for _ in range(3):
        screen.answer("password for", "wrong")
    screen.wait("clsecure: sudo did not allow it", "clsecure setup")
    assert screen.end() == 4
