"""Where a project is found, and what git is told about it."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from gitworld import git, write

from clsecure.errors import UserError
from clsecure.git import Git, clean_environment, discover


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "with space",
        "new\nline",
        'quo"te',
        "back\\slash",
        os.fsdecode(b"\xff"),
        "-x",
        "a:b",
    ],
)
def test_any_directory_name_works(world, name):
    top = world.tmp_path / name
    world.top.rename(top)
    write(top / "sub" / name / "file", "x")
    for place in (top, top / "sub" / name):
        found = discover(place)
        assert (found.top, found.git_dir, found.common_dir) == (top, top / ".git", top / ".git")
        assert (found.head.commit, found.head.branch) == (world.base, "main")
    world.top = top
    session = world.start()
    write(session.top / "new", "x\n")
    world.bring(session)
    assert "new" in world.names("claude/x")


def test_a_worktree_and_a_separate_git_directory(world):
    world.git("worktree", "add", "-q", "-b", "feature/x", world.tmp_path / "wt")
    found = discover(world.tmp_path / "wt")
    assert found.git_dir == world.top / ".git/worktrees/wt"
    assert found.common_dir == world.top / ".git"
    assert found.head.branch == "feature/x"
    elsewhere = world.tmp_path / "elsewhere.git"
    world.git("init", "-q", f"--separate-git-dir={elsewhere}")
    assert discover(world.top / "src").git_dir == elsewhere


def test_variables_of_the_caller_do_not_lead_astray(world, monkeypatch):
    git(world.tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(world.tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(world.tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(world.tmp_path / "index"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(world.tmp_path))
    assert discover(world.top).top == world.top
    kept = [name for name in clean_environment() if name.startswith("GIT_")]
    assert sorted(kept) == [
        "GIT_ALLOW_PROTOCOL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_EDITOR",
        "GIT_NO_LAZY_FETCH",
        "GIT_OPTIONAL_LOCKS",
        "GIT_PAGER",
        "GIT_TERMINAL_PROMPT",
    ]


def place(world, kind: str) -> Path:
    where = world.tmp_path / "place"
    if kind == "nothing":
        where.mkdir()
    elif kind == "empty":
        git(world.tmp_path, "init", "-q", where)
    elif kind == "bare":
        git(world.tmp_path, "init", "-q", "--bare", where)
    elif kind == "inside":
        return world.top / ".git"
    elif kind == "broken":
        write(where / ".git", "gitdir: /nowhere\n")
    return where


@pytest.mark.parametrize(
    ("kind", "message", "hint", "code"),
    [
        ("nothing", "not a git repository", "git init", 2),
        ("empty", "has no commit yet", "--allow-empty", 2),
        ("bare", "bare repository", "git worktree add", 2),
        ("inside", "inside a git directory", "cd", 2),
        ("gone", "no such directory", "cd", 2),
        ("broken", "not a git repository", "git init", 2),
    ],
)
def test_places_that_cannot_be_worked_in(world, kind, message, hint, code):
    with pytest.raises(UserError, match=message) as caught:
        discover(place(world, kind))
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message
    assert caught.value.code == code


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
def test_another_users_repository(world):
    for path in (world.top, world.top / ".git"):
        shutil.chown(path, 12345)
    with pytest.raises(UserError, match="another user") as caught:
        discover(world.top)
    assert "safe.directory" in caught.value.hint
    assert caught.value.code == 3


def test_git_is_missing(world, monkeypatch):
    repository = world.repository
    monkeypatch.setenv("PATH", str(world.tmp_path))
    for call in (lambda: discover(world.top), lambda: Git(repository).run("status")):
        with pytest.raises(UserError, match="git is not installed") as caught:
            call()
        assert caught.value.code == 4


def test_no_hook_or_monitor_runs(world):
    ran = world.tmp_path / "ran"
    for name in ("reference-transaction", "post-checkout", "fsmonitor"):
        write(world.top / ".git/hooks" / name, f"#!/bin/sh\ntouch {ran}\n", 0o755)
    world.git("config", "core.fsmonitor", world.top / ".git/hooks/fsmonitor")
    safe = Git(world.repository)
    safe.run("status")
    safe.run("branch", "quiet")
    safe.run("switch", "quiet")
    assert not ran.exists()
    world.git("branch", "loud")  # the control
    assert ran.exists()


def test_discovery_is_one_call(world, monkeypatch):
    calls, real = world.tmp_path / "calls", shutil.which("git")
    write(world.tmp_path / "bin/git", f'#!/bin/sh\necho >>{calls}\nexec {real} "$@"\n', 0o755)
    monkeypatch.setenv("PATH", f"{world.tmp_path}/bin", prepend=":")
    assert discover(world.top).top == world.top
    assert calls.read_text() == "\n"


def test_a_call_that_is_broken_off_leaves_no_lock(world):
    lock = world.top / ".git/refs/x/base.lock"
    given, ours = os.pipe2(os.O_CLOEXEC)
    commit = world.git("rev-parse", "HEAD").strip()
    os.write(ours, f"start\nupdate refs/x/base {commit}\nprepare\n".encode())
    seen = []

    def end(*_):
        if lock.exists():
            seen.append(lock)
            raise SystemExit(143)

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(SystemExit):
            Git(world.repository).run("update-ref", "--stdin", stdin=given)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(ours)
        os.close(given)
    assert seen
    assert not lock.exists()
