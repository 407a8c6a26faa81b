"""The real client on a terminal: its prompt at once, its keys, its size, and what comes after."""

from __future__ import annotations

import subprocess

import pytest

from e2e.boxes import BOXES
from e2e.conftest import KEY
from e2e.screen import CTRL_C, CTRL_Z, open_terminal, program

pytestmark = pytest.mark.client

_READY = "bypass permissions on"
_TALK = {
    "rules": [
        {"when": "make work", "write": {"${cwd}/loose.txt": "loose\n"}},
        {"when": "[Ww]rote|created", "text": "work is made"},
    ],
    "after": "the answer",
}
_NEVER_ASKED = ("theme", "trust", "API key", "Select login", "Bypass Permissions mode")


def prompt(screen):
    """Wait for the client's prompt, which no question stands before."""
    shown = screen.wait(_READY)
    assert not [word for word in _NEVER_ASKED if word in shown]
    return shown


def leave(screen):
    """End the client as a person does."""
    screen.type(CTRL_C)
    screen.wait("again to exit")
    screen.type(CTRL_C)


@pytest.mark.parametrize("kind", BOXES[:3], ids=str, indirect=True)
def test_a_whole_day(human, kind, play):
    top = human.repository(f"day-{kind}")
    _, variables = play(_TALK)
    screen = open_terminal(human, *program(*kind.flags), cwd=top, env=variables)
    shown = prompt(screen)
    assert max(len(line) for line in shown.splitlines()) == 100
    screen.resize(24, 70)
    screen.settle()
    assert max(len(line) for line in screen.text.splitlines()) == 70
    screen.resize(30, 100)
    screen.settle()
    screen.type("make work")
    screen.wait("make work")
    screen.enter()
    screen.wait("work is made")
    leave(screen)
    screen.wait("uncommitted work in 1 file", "A loose.txt", "What now?", "[i]mport", "dis[c]ard")
    screen.answer("What now?", "d")
    screen.wait("+loose")
    screen.answer("What now?", "k")
    assert "clsecure import" in screen.wait("kept")
    assert screen.end() == 0

    screen = open_terminal(human, *program(*kind.flags), cwd=top, env=variables)
    screen.answer("There is a kept session (0 commits, 1 changed file)", "")
    prompt(screen)
    screen.wait("make work")  # the conversation goes on
    leave(screen)
    screen.answer("What now?", "i")
    screen.answer("Branch:", "from/menu")
    screen.answer("Commit the uncommitted work too (1 file)?", "")
    screen.answer("Message:", "my message")
    screen.answer("Switch to from/menu?", "")
    screen.answer("Remove the worker", "y")
    screen.wait("removed: claude-worker-")
    assert screen.end() == 0
    log = human.run("git", "log", "-1", "--format=%s", "from/menu", cwd=top).stdout
    assert log == "my message\n"
    assert f"~/{top.name}" not in human.clsecure("list").stdout


@pytest.mark.parametrize("mode", ["namespace", "container"])
def test_suspend_and_go_on(human, play, mode):
    top = human.repository(f"suspend-{mode}")
    _, variables = play(_TALK)
    screen = open_terminal(human, "bash", "--norc", cwd=top, env=variables)
    screen.enter(" ".join([*program(), "--mode", mode]))
    prompt(screen)
    screen.type(CTRL_Z)
    screen.wait("Stopped")
    screen.enter("stty -a | tr ';' '\\n' | command grep -c -- ' icanon\\| echo '; fg")
    screen.wait(_READY)
    screen.type("still there")
    screen.wait("still there")
    screen.enter()
    screen.wait("the answer")
    leave(screen)
    screen.wait("the session made no changes", "kept")
    screen.enter("exit")
    assert screen.end() == 0


def test_another_key_on_resume_asks_nothing(human, play):
    top = human.repository("keys")
    api, variables = play(_TALK)
    screen = open_terminal(human, *program(), cwd=top, env=variables)
    prompt(screen)
    screen.enter("one")
    screen.wait("the answer")
    leave(screen)
    screen.end()
    other = {**variables, "ANTHROPIC_API_KEY": KEY[::-1]}
    screen = open_terminal(human, *program("--resume"), cwd=top, env=other)
    prompt(screen)
    screen.enter("two")
    screen.wait("\u276f two")  # the prompt's sign
    screen.settle()
    leave(screen)
    screen.end()
    assert api.requests[-1]["headers"]["x-api-key"] == KEY[::-1]


def test_sessions_of_other_names_are_other_worlds(human, play):
    top = human.repository("worlds")
    human.agent('pwd; cat mine 2>/dev/null; echo "$CLSECURE_SESSION" | tee mine')
    names = ("one", "two", "three")
    running = [
        human.start("-s", name, cwd=top, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in names
    ]
    for name, process in zip(names, running, strict=True):
        said, complaints = process.communicate(timeout=60)
        assert said.decode() == f"{top}\n{name}\n", complaints
    assert human.clsecure("-s", "two", cwd=top).stdout == f"{top}\ntwo\ntwo\n"
    for name in names:
        human.clsecure("import", "-s", name, "--branch", f"from-{name}", "--yes", cwd=top)
        assert human.run("git", "show", f"from-{name}:mine", cwd=top).stdout == f"{name}\n"
    human.clsecure("discard", "-s", "one", "--yes", cwd=top)
    assert human.clsecure("list").stdout.count(f"~/{top.name} ") == 2


def test_a_shell_in_the_box(human):
    top = human.repository("shell")
    human.agent("echo x > made")
    human.clsecure("-s", "b", cwd=top)
    screen = open_terminal(human, *program("shell", "-s", "b"), cwd=top)
    screen.wait("namespace mode (firejail) · as claude-worker-shell-", "resumed", ":~/shell$")
    screen.enter("cat made; stty size; exit 3")
    screen.wait("30 100", "kept: `clsecure -s b` resumes")
    assert screen.end() == 3
