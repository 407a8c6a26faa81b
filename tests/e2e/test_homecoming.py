"""All that a session made comes home, whatever the host did meanwhile; nothing of it runs."""

from __future__ import annotations

import json
import subprocess

import pytest

from e2e.boxes import BOTH_WORKSPACES, OVERLAY
from e2e.footprint import changes, footprint
from e2e.screen import open_terminal, program

_EVERYTHING = r"""
set -e
git mv old/name new-name; git rm -q doomed; chmod +x script; ln -s ../outside link
mkdir -p build dist target; for d in build dist target; do echo $d > $d/file; done
printf x > "$(printf 'odd\nname')"; git add -A; git commit -qm 'all sorts'
git tag light; git tag -a -m annotated heavy
git switch -q -c side HEAD~; echo side > side; git add -A; git commit -qm side
git switch -q main; git branch -D doomed-branch -q
echo stashed > kept; git stash -q -m 'my stash'
echo loose > loose; rm script2; mv moved moved-loose; echo 2 > kept
"""
_FILES = {
    **{name: f"{name}\n" for name in ("old/name", "doomed", "script", "script2", "moved", "kept")},
    ".gitattributes": "*.bin binary\n",
}


def git(human, top, *words, **options):
    return human.run("git", "--no-optional-locks", *words, cwd=top, **options).stdout


@pytest.mark.parametrize("kind", BOTH_WORKSPACES, ids=str, indirect=True)
def test_everything_comes_home(human, kind):
    top = human.repository(f"all-{kind}", _FILES)
    git(human, top, "branch", "doomed-branch")
    before = footprint(top)
    human.agent(_EVERYTHING)
    ran = human.clsecure(*kind.flags, cwd=top)
    assert "1 commit on main, 1 other branch, 2 tags, 1 stash, uncommitted work in 5 files" in (
        ran.stderr
    )
    imported = human.clsecure("import", "--branch", "home", "--yes", cwd=top)
    assert "  branch: refs/heads/home.side" in imported.stdout
    listed = git(human, top, "diff", "--name-status", "-z", "-M", "main", "home").split("\0")
    for expected in (
        ["R100", "old/name", "new-name"],
        ["R100", "moved", "moved-loose"],
        ["D", "doomed"],
        ["D", "script2"],
        ["A", "loose"],
        ["A", "odd\nname"],
        ["A", "build/file"],
        ["A", "dist/file"],
        ["A", "target/file"],
        ["A", "link"],
        ["M", "kept"],
    ):
        at = listed.index(expected[1])
        assert listed[at - 1 : at - 1 + len(expected)] == expected
    modes = {
        line.split("\t")[1]: line.split()[0]
        for line in git(human, top, "ls-tree", "home").splitlines()
    }
    assert (modes["script"], modes["link"]) == ("100755", "120000")
    assert git(human, top, "show", "home.side:side") == "side\n"
    assert git(human, top, "tag").split() == ["heavy", "light"]
    (stash,) = [ref for ref in _refs(human, top) if "/stash/" in ref]
    assert "+stashed" in git(human, top, "show", stash)
    assert "doomed-branch" in git(human, top, "branch")
    touched = set(changes(before, footprint(top)))
    assert all(".git/refs/" in path or ".git/logs/refs/" in path for path in touched), touched
    git(human, top, "fsck", "--strict")


def _refs(human, top):
    return git(human, top, "for-each-ref", "--format=%(refname)").split()


@pytest.mark.parametrize("kind", BOTH_WORKSPACES, ids=str, indirect=True)
def test_the_host_moves_on_meanwhile(human, kind):
    top = human.repository(f"moved-{kind}", {"file": "1\n", "other": "1\n"})
    git(human, top, "switch", "-q", "-c", "work")
    git(human, top, "commit", "-q", "--allow-empty", "-m", "on work")
    human.agent("echo 2 > file; git commit -qam agents; echo 3 > file")
    human.clsecure(*kind.flags, cwd=top)
    git(human, top, "switch", "-q", "main")
    git(human, top, "branch", "-D", "work")
    human.write(top / "other", "human's\n")
    git(human, top, "commit", "-qam", "human's")
    git(human, top, "reflog", "expire", "--expire=now", "--all")
    git(human, top, "gc", "-q", "--prune=now")
    human.write(top / "file", "human's, not committed\n")
    head = git(human, top, "rev-parse", "HEAD")
    made = json.loads(human.clsecure("import", "--branch", "b", "--yes", "--json", cwd=top).stdout)
    told = {"branch": "b", "commits": 2, "files": 1, "signed": 0, "pushed": None}
    assert made == {**told, "settings": [], "warnings": []}
    assert git(human, top, "log", "--format=%s", "main..b").splitlines()[1:] == [
        "agents",
        "on work",
    ]
    assert git(human, top, "show", "b:file") == "3\n"
    assert git(human, top, "rev-parse", "HEAD") == head
    assert git(human, top, "status", "--porcelain") == " M file\n"
    resumed = human.clsecure("exec", "--", "git", "log", "--format=%s", cwd=top).stdout
    assert resumed.splitlines() == ["agents", "on work", "first"]


def test_import_again(human):
    top = human.repository("again")
    human.agent("echo 1 >> made; git add made; git commit -qm work")
    human.clsecure(cwd=top)
    human.clsecure("import", "--branch", "one", "--yes", cwd=top)
    taken = human.clsecure("import", "--branch", "one", "--yes", cwd=top, code=6)
    assert taken.stderr.startswith("clsecure: the branch one exists already")
    for name in ("main", "bad name", "one/below", "-x", "a..b"):
        human.clsecure("import", f"--branch={name}", "--yes", cwd=top, code=6)
    human.clsecure("import", "--branch", "two", "--yes", cwd=top, code=None)
    human.clsecure("--resume", cwd=top)
    made = json.loads(
        human.clsecure("import", "--branch", "three", "--yes", "--json", cwd=top).stdout
    )
    assert made["commits"] == 1
    assert git(human, top, "show", "three:made") == "1\n1\n"


def test_nothing_to_import(human):
    top = human.repository("nothing")
    human.agent("git status")
    ran = human.clsecure("--on-exit", "import", cwd=top)
    assert "the session made no changes" in ran.stderr
    ran = human.clsecure("import", "--yes", cwd=top, code=6)
    assert "there is nothing to import" in ran.stderr
    human.clsecure("discard", "--yes", cwd=top)
    assert [ref for ref in _refs(human, top) if "clsecure" in ref] == []


def test_no_hook_of_the_sessions_runs_at_push_and_switch(human):
    bare = human.home / "remote.git"
    human.run("git", "init", "-q", "--bare", bare)
    top = human.repository("pushed", {"README": "1\n"})
    git(human, top, "remote", "add", "origin", bare)
    git(human, top, "config", "core.hooksPath", ".husky")
    trace = human.home / "hook-ran"
    human.agent(
        "mkdir .husky; for h in pre-push post-checkout reference-transaction post-commit; do "
        f"printf '#!/bin/sh\\ntouch {trace}\\n' > .husky/$h; chmod +x .husky/$h; done; "
        "git add -A; git -c core.hooksPath=/dev/null commit -qm hooks; git status"
    )
    screen = open_terminal(human, *program(), cwd=top)
    screen.wait(".husky/pre-push: ")
    screen.answer("What now?", "i")
    screen.answer("Branch:", "pushed")
    screen.answer("Push it to origin?", "y")
    screen.answer("Switch to pushed?", "y")
    screen.answer("Remove the worker", "y")
    assert screen.end() == 0
    assert git(human, top, "branch", "--show-current") == "pushed\n"
    assert (top / ".husky/pre-push").exists()
    assert human.run("git", "rev-parse", "pushed", cwd=bare).stdout == git(
        human, top, "rev-parse", "pushed"
    )
    assert not trace.exists()


def test_import_asks_what_it_must(human):
    top = human.repository("asks")
    human.agent("echo 1 > made")
    human.clsecure(cwd=top)
    screen = open_terminal(human, *program("import"), cwd=top)
    screen.wait("uncommitted work in 1 file")
    screen.answer("Branch:", "main")
    screen.wait("the branch main exists already")
    screen.answer("Branch:", "mine")
    screen.answer("Commit the uncommitted work too (1 file)?", "y")
    screen.answer("Message:", "said by me")
    screen.answer("Switch to mine?", "n")
    screen.answer("Remove the worker", "n")
    screen.wait("kept: ")
    assert screen.end() == 0
    assert git(human, top, "log", "-1", "--format=%s|%an", "mine") == "said by me|A Human\n"
    assert git(human, top, "branch", "--show-current") == "main\n"


@pytest.mark.parametrize("kind", [OVERLAY], ids=str, indirect=True)
def test_switching_that_would_lose_something_is_refused(human, kind):
    top = human.repository("switch", {"file": "1\n"})
    human.agent("echo 2 > file; git commit -qam two")
    human.clsecure(*kind.flags, cwd=top)
    human.write(top / "file", "mine\n")
    screen = open_terminal(human, *program("import", "--branch", "two"), cwd=top)
    screen.answer("Switch to two?", "y")
    screen.wait("not switched to two")
    screen.answer("Remove the worker", "n")
    screen.end()
    assert (top / "file").read_text() == "mine\n"
    assert git(human, top, "branch", "--show-current") == "main\n"


def test_text_of_the_sessions_is_escaped(human):
    top = human.repository("escaped")
    human.agent(
        r"""set -e; e=$(printf '\033]0;pwned\007\033[2J'); n=$(printf 'f\033[31m\ng')
        echo "$e" > "$n"; git add -A; git commit -qm "subject $e"; git switch -q -c 'ünï'
        echo "$e" > kept; git add kept; git stash -q -m "stash $e"; echo "$e" > loose
        mkdir -p "$n.d/.git-hooks"; echo x > .envrc; exit 0"""
    )
    human.write(top / ".clsecure/on-cleanup", "printf 'hook \\033]0;pwned\\007 says\\n'\n")
    said = human.clsecure(cwd=top)
    texts = [said.stderr]
    for words in (("show",), ("diff",), ("show", "--json"), ("diff", "--json"), ("list",)):
        ran = human.clsecure(*words, cwd=top)
        texts += [ran.stdout, ran.stderr]
    ran = human.clsecure("import", "--yes", cwd=top)
    texts += [ran.stdout, ran.stderr]
    ran = human.clsecure("discard", "--yes", cwd=top)
    texts += [ran.stdout, ran.stderr]
    assert "hook \\x1b]0;pwned\\x07 says" in said.stderr
    assert "f\\x1b[31m\\x0ag" in said.stderr
    assert not [text for text in texts if "\x1b" in text or "\x07" in text]
    assert "\\x1b]0;pwned" in texts[1]  # the subject, in show


def test_ten_at_once(human):
    top = human.repository("ten")
    human.agent("echo $CLSECURE_SESSION > made; git add made; git commit -qm made; sleep 1")
    names = [f"s{number}" for number in range(10)]
    running = [
        human.start(
            *("-s", name, "--on-exit", "import", "--branch", name),
            cwd=top,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in names
    ]
    for name, process in zip(names, running, strict=True):
        _, complaints = process.communicate(timeout=120)
        assert process.returncode == 0, complaints.decode()
        assert git(human, top, "show", f"{name}:made") == f"{name}\n"


def test_what_an_import_left_outlives_the_worker(human):
    top = human.repository("left")
    human.agent("echo 1 > made; git add made; git commit -qm one; echo 2 > loose")
    human.clsecure(cwd=top)
    screen = open_terminal(human, *program("import"), cwd=top)
    screen.answer("Branch:", "partly")
    screen.answer("Commit the uncommitted work too (1 file)?", "n")
    screen.wait("snapshot: refs/clsecure/")
    screen.answer("Switch to partly?", "n")
    screen.answer("Remove the worker", "y")
    screen.wait("removed: ")
    assert screen.end() == 0
    (kept,) = set(_refs(human, top)) - {"refs/heads/main", "refs/heads/partly"}
    assert kept.endswith("/snapshot")
    assert git(human, top, "show", f"{kept}:loose") == "2\n"


def test_a_base_that_nothing_holds_is_held_again(human):
    top = human.repository("based")
    human.agent("true")
    human.clsecure(cwd=top)
    (base,) = [ref for ref in _refs(human, top) if ref.endswith("/base")]
    git(human, top, "update-ref", "-d", base)
    human.clsecure("show", cwd=top)
    assert base in _refs(human, top)


@pytest.mark.parametrize("command", ["cleanup", "discard"])
def test_only_cleaning_up_keeps_what_an_import_left(human, command):
    top = human.repository(f"left-{command}")
    human.agent("echo 1 > made; git add made; git commit -qm one; echo 2 > loose")
    human.clsecure(cwd=top)
    human.clsecure("show", cwd=top)
    human.clsecure(command, "--yes", cwd=top)
    left = {ref for ref in _refs(human, top) if ref.startswith("refs/clsecure/")}
    assert len(left) == (1 if command == "cleanup" else 0)
