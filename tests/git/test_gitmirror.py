"""A mirror between a session and a remote, with real git and no box."""

import asyncio
import os
import shlex
import socket
import subprocess
import sys

import pytest
from gitworld import git, write

from clsecure.choices import Network
from clsecure.egress.gateway import Gateway
from clsecure.egress.git import githook
from clsecure.egress.git.githosts import GitHosts
from clsecure.egress.git.gitmirror import Mirror, Refused
from clsecure.egress.git.gitpush import Pushing
from clsecure.egress.git.gitrefs import Update
from clsecure.egress.journal import Journal
from clsecure.egress.log import Log
from clsecure.egress.rules import Policy
from clsecure.workspace import gitremotes

BRANCH = "refs/heads/claude/x"


@pytest.fixture
def mirror(world, tmp_path):
    git(tmp_path, "init", "-q", "--bare", "remote")
    world.git("remote", "add", "origin", "../remote")
    world.git("push", "-q", "origin", "main", f"main:{BRANCH}")
    found = gitremotes.look(world.repository)
    place = tmp_path / "mirrors"
    place.mkdir()
    hosts = GitHosts(
        remotes=tuple((one.name, one.address) for one in found.remotes),
        settings=found.settings,
        object_format=found.object_format,
        alternates=found.alternates,
        shallow=found.shallow,
        directory=place,
        branches=("claude/*",),
        may_force=True,
    )
    return Mirror(hosts, *hosts.remotes[0], str(world.top))


def commit(world, parent, message):
    return world.git("commit-tree", "-p", parent, "-m", message, f"{parent}^{{tree}}")


def at(tmp_path, ref=BRANCH):
    return git(tmp_path / "remote", "rev-parse", ref)


def test_what_the_remote_has_comes_and_goes(world, tmp_path, mirror):
    asyncio.run(mirror.refresh(may_grow=True))
    listed = git(mirror.directory, "for-each-ref", "--format=%(refname)").splitlines()
    assert listed == [BRANCH, "refs/heads/main"]
    world.git("push", "-q", "origin", f":{BRANCH}", "main:refs/heads/claude/x/y", "main:v1")
    asyncio.run(mirror.refresh(may_grow=False))
    listed = git(mirror.directory, "for-each-ref", "--format=%(refname)").splitlines()
    assert listed == [f"{BRANCH}/y", "refs/heads/main", "refs/heads/v1"]
    packs = list((tmp_path / "mirrors/0/objects").rglob("*.pack"))
    assert packs == []  # nothing came that the human's repository has


@pytest.mark.parametrize("is_forced", [False, True])
def test_a_remote_that_moves_between_look_and_push_is_not_overwritten(
    world, tmp_path, mirror, is_forced
):
    asyncio.run(mirror.refresh(may_grow=True))
    mine, theirs = (commit(world, world.base, name) for name in ("mine", "theirs"))
    world.git("push", "-q", "origin", f"{theirs}:{BRANCH}")
    update = Update(world.base, mine, BRANCH)
    forced = [update] if is_forced else []
    with pytest.raises(Refused, match="stale info" if is_forced else "non-fast-forward"):
        asyncio.run(mirror.push([update], forced, {}))
    assert at(tmp_path) == theirs
    asyncio.run(mirror.push([Update(theirs, commit(world, theirs, "on top"), BRANCH)], [], {}))
    assert at(tmp_path) != theirs  # the control


def test_force_is_for_the_ref_that_was_seen(world, tmp_path, mirror):
    theirs = commit(world, world.base, "theirs")
    world.git("push", "-q", "origin", f"{theirs}:{BRANCH}")
    asyncio.run(mirror.refresh(may_grow=True))
    update = Update(theirs, commit(world, world.base, "mine"), BRANCH)
    assert asyncio.run(mirror.force_pushes([update], {})) == [update]
    asyncio.run(mirror.push([update], [update], {}))
    assert at(tmp_path) == update.new


def test_several_refs_are_pushed_all_or_none(world, tmp_path, mirror):
    asyncio.run(mirror.refresh(may_grow=True))
    theirs = commit(world, world.base, "theirs")
    world.git("push", "-q", "origin", f"{theirs}:{BRANCH}")
    updates = [
        Update("0" * 40, world.base, "refs/heads/claude/new"),
        Update(world.base, commit(world, world.base, "mine"), BRANCH),
    ]
    with pytest.raises(Refused):
        asyncio.run(mirror.push(updates, [], {}))
    listed = git(tmp_path / "remote", "for-each-ref", "--format=%(refname)").splitlines()
    assert listed == [BRANCH, "refs/heads/main"]


def test_a_session_that_pushed_too_much_pushes_no_more(world, tmp_path, mirror):
    asyncio.run(mirror.refresh(may_grow=True))
    pack = tmp_path / "mirrors/0/objects/pack/large.keep"
    pack.parent.mkdir(exist_ok=True)
    with pack.open("wb") as file:
        file.truncate(4 << 30)
    with pytest.raises(Refused, match="pushed too much"):
        asyncio.run(mirror.refresh(may_grow=True))
    asyncio.run(mirror.refresh(may_grow=False))


def test_a_repository_that_borrows_objects_itself(world, tmp_path, mirror):
    """Alternates of the human's own: a clone with --shared, in a place with an odd name."""
    odd = tmp_path / 'o"d d'
    git(tmp_path, "clone", "-q", "--shared", world.top, odd)
    world.top = odd
    found = gitremotes.look(world.repository)
    assert len(found.alternates.splitlines()) == 2
    place = tmp_path / "second"
    place.mkdir()
    hosts = mirror.hosts._replace(alternates=found.alternates, directory=place)
    second = Mirror(hosts, "origin", "../remote", str(tmp_path / "project"))
    asyncio.run(second.refresh(may_grow=True))
    assert git(second.directory, "rev-parse", "refs/heads/main") == world.base
    assert list(place.rglob("*.pack")) == []


@pytest.mark.parametrize(("limit", "is_taken"), [("1000", False), (str(1 << 30), True)])
def test_a_push_that_is_too_large_is_refused(world, mirror, limit, is_taken):
    """The limit of a GiB, or for once a kilobyte, as git is told it for the box."""
    asyncio.run(mirror.refresh(may_grow=True))
    words, env = mirror.command("git-receive-pack", 5)
    env |= {"GIT_ALLOW_PROTOCOL": "file"}  # for the push, which is the test's
    ours = f"receive.maxInputSize={1 << 30}"
    assert ours in words
    words = [word.replace(ours, f"receive.maxInputSize={limit}") for word in words[2:-1]]
    write(world.top / "large", os.urandom(10_000))
    world.git("add", "large")
    world.git("commit", "-qm", "Large")
    without_hook = ("git", "-c", "core.hooksPath=/dev/null")
    program = f"--receive-pack={shlex.join([*without_hook, *words])}"
    world.git("push", "-q", program, mirror.directory, f"main:{BRANCH}", check=is_taken, **env)
    taken = git(mirror.directory, "rev-parse", BRANCH) == world.git("rev-parse", "main")
    assert taken is is_taken


@pytest.mark.parametrize("has_git", [True, False])
def test_a_hook_that_gets_no_answer_refuses(world, tmp_path, mirror, monkeypatch, has_git):
    """The service fails at the question, here since git is gone: nothing is pushed."""
    asyncio.run(mirror.refresh(may_grow=True))
    new = commit(world, world.base, "mine")
    journal = Journal(Log(tmp_path / "log"), {}, lambda *_: None)
    pushing = Pushing(Gateway(Policy(Network.FILTERED, [], None), journal), mirror.hosts, mirror)
    answers, asks = socket.socketpair()
    answers.settimeout(0)
    with answers, asks:
        hook = subprocess.Popen(
            [sys.executable, "-IS", githook.__file__],
            env={"CLSECURE_CHANNEL": str(asks.fileno())},
            pass_fds=(asks.fileno(),),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        hook.stdin.write(f"{world.base} {new} {BRANCH}\n".encode())
        hook.stdin.close()
        if has_git:
            asyncio.run(pushing.answer(answers))
        else:
            monkeypatch.setenv("PATH", "/nonexistent")
            with pytest.raises(FileNotFoundError):
                asyncio.run(pushing.answer(answers))
            monkeypatch.undo()
        code = hook.wait(timeout=10)
        said = hook.stderr.read()
    assert (code, at(tmp_path)) == ((0, new) if has_git else (1, world.base)), said
    assert said == (b"" if has_git else b"no answer")
