"""For scripts: nothing is asked, stdout is the agent's, codes and JSON are as written down."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pexpect
import pytest

from e2e.boxes import BOXES, OVERLAY
from e2e.screen import CTRL_C, CTRL_D, Terminal, open_terminal, program

_NEVER_READ = "DO NOT READ ME\n"


@pytest.mark.parametrize("kind", BOXES[:3], ids=str, indirect=True)
def test_the_agents_own_code_and_streams(human, kind):
    top = human.repository(f"codes-{kind}")
    for script, code in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill $$", 143)):
        human.agent(f"echo out; echo err >&2; cat; {script}")
        ran = human.clsecure(*kind.flags, cwd=top, stdin="in\n", code=code)
        assert ran.stdout == "out\nin\n"
        assert "\nerr\n" in ran.stderr
    ran = human.clsecure(
        "exec", *kind.flags, "--", "sh", "-c", "echo 'a b'; exit 5", cwd=top, code=5
    )
    assert ran.stdout == "a b\n"
    ran = human.clsecure("exec", "--", "no-such-program", cwd=top, code=127)
    assert "no-such-program cannot be run in the box: No such file or directory" in ran.stderr


def test_words_reach_the_agent_as_they_are(human):
    top = human.repository("words")
    human.agent('for word; do printf "[%s]" "$word"; done')
    words = ("-p", "", "two words", "--mode", 'q"q', "it's", "$HOME", "new\nline", "*", "--")
    ran = human.clsecure("--", *words, cwd=top)
    expected = "".join(f"[{word}]" for word in ("--dangerously-skip-permissions", *words))
    assert ran.stdout == expected
    assert human.clsecure("run", "-s", "b", "--", *words, cwd=top).stdout == expected
    resumed = human.clsecure("--", "x", cwd=top).stdout
    assert resumed == "[--dangerously-skip-permissions][x]"  # no conversation to continue
    conversation = "0" * 8 + "-1111-2222-3333-" + "4" * 12
    place = '~/.claude/projects/"$(pwd | tr -c "a-zA-Z0-9\\n" -)"'
    human.agent(f'mkdir -p {place}; touch {place}/{conversation}.jsonl; echo "$@"')
    human.clsecure(cwd=top)
    resumed = human.clsecure(cwd=top).stdout
    assert resumed == f"--dangerously-skip-permissions --resume {conversation}\n"


def test_nothing_is_asked_without_a_terminal(human):
    top = human.repository("quiet")
    human.agent("echo x >> made")
    for words in ((), ("--no-input",)):
        ran = human.clsecure(*words, cwd=top, stdin=_NEVER_READ)
        assert ran.stdout == ""
        assert "kept: `clsecure` resumes" in ran.stderr
    ran = human.clsecure("discard", cwd=top, code=2)
    assert ran.stderr.splitlines()[-1] == "hint: give --yes"
    ran = human.clsecure("--fresh", cwd=top, code=3)
    assert "a fresh start would throw kept work away" in ran.stderr
    assert json.loads(human.clsecure("show", "--json", cwd=top).stdout)["uncommitted"] == 1


def test_on_exit(human):
    top = human.repository("on-exit")
    human.agent("echo x >> made; git add made; git commit -qm made; echo y > loose")
    ran = human.clsecure("--on-exit", "import", "--branch", "a/b", cwd=top)
    assert "imported: branch a/b, 2 commits, 2 files" in ran.stderr
    ran = human.clsecure("--fresh", "--yes", "--on-exit", "discard", cwd=top)
    assert "removed: claude-worker-on-exit-" in ran.stderr
    human.clsecure("--on-exit", "keep", cwd=top)
    ran = human.clsecure("--on-exit", "import", "--branch", "a/b", cwd=top, code=6)
    assert "clsecure: the branch a/b exists already" in ran.stderr
    assert "kept: `clsecure` resumes" in ran.stderr
    refs = human.run("git", "for-each-ref", "--format=%(refname)", "refs/heads", cwd=top).stdout
    assert refs.split() == ["refs/heads/a/b", "refs/heads/main"]
    ran = human.clsecure("import", cwd=top, stdin=_NEVER_READ)
    assert "imported: branch claude/on-exit-2" in ran.stdout


def test_documents(human):
    top = human.repository("documents", {"gone": "1\n", "kept": "1\n"})
    human.agent(
        "git rm -q gone; git commit -qm 'x\ty'; git tag v1; git branch other; git switch -q other;"
        "git commit -q --allow-empty -m other; git switch -q main; echo 2 > kept; git stash -q;"
        "echo new > '.envrc'; exit 3"
    )
    human.clsecure("-s", "doc", cwd=top, code=3)
    (listed,) = [
        one
        for one in json.loads(human.clsecure("list", "--json").stdout)
        if one["project"] == str(top)
    ]
    worker = listed.pop("worker")
    assert worker.startswith("claude-worker-documents-")
    assert 10_000 < listed.pop("disk") < 10_000_000
    assert time.time() - 120 < _seconds(listed.pop("created")) < time.time() + 1
    assert listed == {
        "session": "doc",
        "project": str(top),
        "mode": "namespace",
        "status": "kept",
        "commits": 1,
        "changes": 2,
        **dict.fromkeys(("memory", "processes")),  # it does not run
    }
    shown = json.loads(human.clsecure("show", "-s", "doc", "--json", cwd=top).stdout)
    assert {name: shown[name] for name in ("session", "branch", "commits", "uncommitted")} == {
        "session": "doc",
        "branch": "main",
        "commits": 1,
        "uncommitted": 1,
    }
    assert [(one["status"], one["path"]) for one in shown["changes"]] == [
        ("A", ".envrc"),
        ("D", "gone"),
    ]
    assert shown["branches"] == {"other": 2}
    assert shown["tags"] == ["v1"]
    assert len(shown["stashes"]) == 1
    assert [one["path"] for one in shown["runs_on_host"]] == [".envrc"]
    differs = json.loads(human.clsecure("diff", "-s", "doc", "--json", cwd=top).stdout)
    assert set(differs) == {"base", "tip", "files", "diff"}
    assert "+new" in differs["diff"]
    made = json.loads(
        human.clsecure("import", "-s", "doc", "--branch", "doc", "--yes", "--json", cwd=top).stdout
    )
    assert set(made) == {"branch", "commits", "files", "signed", "pushed", "settings", "warnings"}
    info = json.loads(human.clsecure("info", "-s", "doc", "--json", cwd=top).stdout)
    assert info["worker"] == worker
    assert info["project"] == str(top)
    settings = json.loads(human.clsecure("config", "--json", cwd=top).stdout)
    assert settings["mode"] == {"value": "namespace", "layer": "default", "origins": ["default"]}


def _seconds(stamp):
    from datetime import datetime

    return datetime.fromisoformat(stamp).timestamp()


def test_flags_of_old_do_the_same(human):
    top = human.repository("old")
    human.agent("echo x > made")
    human.clsecure(cwd=top)
    for flag, command in (
        (("--list",), ("list",)),
        (("-l",), ("list",)),
        (("--info",), ("info",)),
        (("--config",), ("config",)),
    ):
        one, other = (human.clsecure(*words, cwd=top).stdout for words in (flag, command))
        assert one == other != ""
    ran = human.run(_program(), "--shell", cwd=top, stdin="cat made; exit 4\n", code=4)
    assert ran.stdout == "x\n"
    human.clsecure("--full-clone", "--no-docker", "--skip-setup", "--no-network", cwd=top)
    human.clsecure("--cleanup", "--yes", cwd=top)
    assert f"~/{top.name}" not in human.clsecure("--list").stdout
    human.clsecure(cwd=top)
    human.clsecure("-s", "b", cwd=top)
    human.clsecure("--cleanup-all", "--yes", cwd=top)
    assert human.workers() == []


def _program():
    return program()[0]


def test_busy(human):
    top = human.repository("busy")
    human.agent("echo ready; cat")
    running = human.start(cwd=top, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"ready\n"
    for words in ((), ("exec", "--", "true"), ("import", "--yes"), ("discard", "--yes")):
        ran = human.clsecure(*words, cwd=top, code=5)
        assert ran.stderr.startswith("clsecure: this session is running already")
    human.clsecure("cleanup", "--all", "--yes", code=5)
    listed = json.loads(human.clsecure("list", "--json").stdout)
    assert [one["status"] for one in listed if one["project"] == str(top)] == ["running"]
    said, _ = running.communicate(b"unharmed\n", timeout=30)
    assert said == b"unharmed\n"
    assert running.returncode == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 9), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_without_a_terminal(human, number, code):
    top = human.repository(f"signal-{number}")
    human.agent(
        "trap 'echo got it; exit 9' INT TERM HUP; echo x > made; echo ready; sleep 30 & wait"
    )
    running = human.start(cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"ready\n"
    human.run("pkill", f"-{number.value}", "-u", human.name, "-f", "bin/clsecure$")
    said, _ = running.communicate(timeout=30)
    assert said == b"got it\n"
    assert running.returncode == code
    shown = human.clsecure("show", "--json", cwd=top)
    assert json.loads(shown.stdout)["uncommitted"] == 1


@pytest.mark.parametrize("kind", [OVERLAY], ids=str, indirect=True)
def test_interrupted_questions_keep_the_work(human, kind):
    top = human.repository("interrupted")
    human.agent("echo x >> made")
    asked = ("What now?", "Branch:", "Commit the uncommitted work", "Message:", "Switch to")
    for number, last in enumerate(asked):
        for key in (CTRL_C, CTRL_D):
            screen = open_terminal(human, *program("--resume"), cwd=top)
            for question in asked[:number]:
                branch = f"b{number}{ord(key)}" if question == "Branch:" else ""
                screen.answer(question, "i" if question == "What now?" else branch)
            screen.wait(last)
            screen.type(key)
            screen.wait("kept: `clsecure` resumes")
            assert screen.end() == 130
    assert json.loads(human.clsecure("show", "--json", cwd=top).stdout)["uncommitted"] == 1
    screen = open_terminal(human, *program(), cwd=top)
    screen.wait("There is a kept session")
    screen.type(CTRL_C)
    screen.wait("clsecure: interrupted")
    assert screen.end() == 130


def test_interrupted_while_it_starts(human):
    top = human.repository("starting")
    human.agent("sleep 5")
    for delay in (0.05, 0.15, 0.3):
        screen = open_terminal(human, *program(), cwd=top)
        time.sleep(delay)
        screen.type(CTRL_C)
        assert screen.end() == 130
        assert "Traceback" not in screen.raw
    human.agent("echo works")
    assert human.clsecure(cwd=top).stdout == "works\n"


def test_what_a_killed_session_made_is_not_taken_for_nothing(human):
    top = human.repository("killed")
    human.agent("true")
    human.clsecure(cwd=top)
    human.agent("echo x > made; echo ready; sleep 30")
    running = human.start(cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"ready\n"
    human.run("pkill", "-KILL", "-u", human.name, "-f", "bin/clsecure$")
    running.wait(30)
    ran = human.clsecure("--fresh", cwd=top, code=None)
    for _ in range(50):
        if ran.returncode != 5:  # root's side ends a moment later
            break
        time.sleep(0.1)
        ran = human.clsecure("--fresh", cwd=top, code=None)
    assert ran.returncode == 3
    assert "a fresh start would throw kept work away" in ran.stderr
    human.clsecure("import", "--branch", "saved", "--yes", cwd=top)
    assert human.run("git", "show", "saved:made", cwd=top).stdout == "x\n"
    human.agent("echo fresh")
    assert human.clsecure("--fresh", cwd=top).stdout == "fresh\n"  # all of it is at home


@pytest.mark.parametrize(("agents", "code"), [(7, 7), (0, 6)])
def test_an_export_that_fails_does_not_hide_the_agents_code(human, agents, code):
    top = human.repository(f"unexported-{agents}")
    human.agent(f"rm -rf .git/*; exit {agents}")
    ran = human.clsecure(cwd=top, code=code)
    assert "clsecure: " in ran.stderr
    assert "kept: " in ran.stderr


def test_ctrl_c_while_the_box_is_checked_ends_the_session(human):
    top = human.repository("checked")
    human.agent("echo started")
    slow = human.write("slow", '#!/bin/sh\nsleep 8\nexec /usr/bin/yes "$@"\n', mode=0o755)
    changes = f"mount --bind /usr/bin/bwrap /usr/bin/yes; mount --bind {slow} /usr/bin/bwrap"
    argv = human.argv(program("--engine", "bubblewrap"))
    script = f'{changes}; exec "$@"'
    spawned = pexpect.spawn(
        "unshare",
        ["--mount", "--propagation", "private", "sh", "-c", script, "sh", *argv],
        cwd=str(top),
        encoding="utf-8",
        timeout=30,
    )
    screen = Terminal(spawned)
    screen.wait("namespace mode (bubblewrap)")
    time.sleep(1)
    screen.type(CTRL_C)
    screen.wait("clsecure: interrupted", seconds=4)
    assert screen.end() == 130
    assert "started" not in screen.raw
