"""Pushing and signing at import: with the human's remotes and key, outside of any box."""

from __future__ import annotations

import json

import pytest

from e2e.screen import open_terminal
from world.human import PROGRAM


def git(human, top, *words):
    return human.run("git", *words, cwd=top).stdout.strip()


@pytest.fixture
def project(human, request):
    """A project with a remote, and a session of it with one commit."""
    name = request.node.name.translate(str.maketrans("[]", "--"))
    remote = human.home / f"{name}.git"
    human.run("git", "init", "-q", "--bare", remote)
    top = human.repository(f"src/{name}")
    git(human, top, "remote", "add", "origin", remote)
    human.agent("echo 1 > made; git add made; git commit -qm work")
    human.clsecure(cwd=top)
    return top


def pushed(human, top):
    remote = git(human, top, "remote", "get-url", "origin")
    listed = human.run("git", "for-each-ref", "--format=%(refname:short)", cwd=remote).stdout
    return listed.split()


@pytest.fixture(scope="module")
def key(human):
    human.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "signing", cwd=human.home)
    public = (human.home / "signing.pub").read_text()
    human.write("signers", f"human@example.org {public}")
    for name, value in {
        "gpg.format": "ssh",
        "user.signingkey": human.home / "signing",
        "gpg.ssh.allowedSignersFile": human.home / "signers",
    }.items():
        human.run("git", "config", "--global", name, value)


def test_an_answer_pushes_the_branch(human, project):
    screen = open_terminal(human, PROGRAM, "import", "--branch", "claude/x", cwd=project)
    screen.answer("Push it to origin?", "y")
    screen.answer("Switch to claude/x?", "n")
    screen.answer("Remove the worker", "n")
    assert screen.end() == 0
    assert pushed(human, project) == ["claude/x"]


def test_a_flag_pushes_it_without_a_question(human, project):
    human.clsecure("import", "--branch", "claude/x", "--push", cwd=project)
    assert pushed(human, project) == ["claude/x"]
    assert git(human, project, "rev-parse", "claude/x@{upstream}") == git(
        human, project, "rev-parse", "claude/x"
    )


def test_with_json_there_is_one_document(human, project):
    ran = human.clsecure("import", "--branch", "claude/x", "--push", "--json", cwd=project)
    assert json.loads(ran.stdout)["pushed"] == "origin"
    assert pushed(human, project) == ["claude/x"]


def test_unasked_nothing_is_pushed(human, project):
    human.clsecure("import", "--branch", "claude/x", "--yes", cwd=project)
    assert pushed(human, project) == []


@pytest.mark.parametrize("where", ["flag", "config", "project"])
def test_where_it_is_never_nobody_is_asked(human, project, where):
    flags = ("--no-push",) if where == "flag" else ()
    own = human.home / ".config/clsecure/config"
    if where != "flag":
        human.write(project / ".clsecure/config" if where == "project" else own, "push = never\n")
    try:
        words = ("import", "--branch", "claude/x", *flags)
        refused = human.clsecure(*words, "--push", cwd=project, code=2)
        assert "--push is not possible with push = never" in refused.stderr
        assert git(human, project, "branch", "--list", "claude/x") == ""
        screen = open_terminal(human, PROGRAM, *words, cwd=project)
        screen.answer("Switch to claude/x?", "n")
        assert "Push it" not in screen.text
        screen.answer("Remove the worker", "n")
        assert screen.end() == 0
    finally:
        own.unlink(missing_ok=True)
    assert pushed(human, project) == []


def test_what_cannot_be_pushed_is_an_error_and_the_branch_is_there(human, project):
    git(human, project, "remote", "set-url", "origin", "/nonexistent")
    failed = human.clsecure("import", "--branch", "claude/x", "--push", cwd=project, code=6)
    assert "try it yourself: git push origin claude/x" in failed.stderr
    git(human, project, "rev-parse", "claude/x")
    git(human, project, "remote", "remove", "origin")
    refused = human.clsecure("import", "--branch", "claude/y", "--push", cwd=project, code=2)
    assert "there is no remote to push to" in refused.stderr
    assert git(human, project, "branch", "--list", "claude/y") == ""


def test_the_remote_is_the_one_that_git_would_take(human, project):
    git(human, project, "remote", "add", "aaa", "/nonexistent")
    git(human, project, "config", "remote.pushDefault", "origin")
    git(human, project, "remote", "add", "zzz", "/nonexistent")
    human.clsecure("import", "--branch", "claude/x", "--push", cwd=project)
    git(human, project, "config", "branch.main.pushRemote", "aaa")
    human.clsecure("import", "--branch", "claude/y", "--push", cwd=project, code=6)
    assert pushed(human, project) == ["claude/x"]


def signature(human, top, revision):
    return git(human, top, "log", "-1", "--format=%G?", revision)


def test_who_signs_commits_is_asked_and_the_session_never_has_the_key(human, key, project):
    git(human, project, "config", "commit.gpgsign", "true")
    original = git(human, project, "for-each-ref", "--format=%(objectname)", "refs/clsecure")
    screen = open_terminal(human, PROGRAM, "import", "--branch", "claude/x", cwd=project)
    screen.answer("Sign the session's commits with your key?", "y")
    screen.wait("signed with your key: 1 commit")
    screen.answer("Push it to origin?", "y")
    screen.answer("Switch to claude/x?", "n")
    screen.answer("Remove the worker", "n")
    assert screen.end() == 0
    assert signature(human, project, "claude/x") == "G"
    assert git(human, project, "rev-parse", "claude/x") not in original
    assert pushed(human, project) == ["claude/x"]
    listed = human.clsecure(
        "exec", "--", "sh", "-c", "git config --list; ls -a ~; cat ~/signing; true", cwd=project
    ).stdout
    assert "gpgsign" not in listed
    assert "PRIVATE KEY" not in listed


def test_without_a_terminal_it_says_how(human, key, project):
    git(human, project, "config", "commit.gpgsign", "true")
    ran = human.clsecure("import", "--branch", "claude/x", cwd=project)
    assert "not signed: --sign does it with your key" in ran.stderr
    assert signature(human, project, "claude/x") == "N"
    ran = human.clsecure("import", "--branch", "claude/y", "--no-sign", cwd=project, code=None)
    assert "not signed" not in ran.stderr


def test_a_flag_or_setting_signs_without_a_question(human, key, project):
    human.clsecure("import", "--branch", "claude/x", "--sign", cwd=project)
    assert signature(human, project, "claude/x") == "G"


def test_a_setting_signs_at_the_end_of_a_run(human, key, project):
    own = human.write(".config/clsecure/config", "sign = always\n")
    human.agent("echo 2 > more; git add more; git commit -qm more")
    words = ("--resume", "--on-exit", "import", "--branch", "claude/x")
    try:
        ran = human.clsecure(*words, cwd=project)
        assert "signed with your key: 2 commits" in ran.stderr
        human.run("mv", "signing", "away", cwd=human.home)
        git(human, project, "branch", "-qD", "claude/x")
        git(human, project, "update-ref", "-d", _signed(human, project))
        failed = human.clsecure("import", "--branch", "claude/y", cwd=project, code=6)
        assert "--no-sign imports them as they are" in failed.stderr
        human.clsecure("import", "--branch", "claude/y", "--no-sign", cwd=project)
    finally:
        own.unlink()
        human.run("mv", "away", "signing", cwd=human.home, code=None)


def _signed(human, project):
    listed = git(human, project, "for-each-ref", "--format=%(refname)", "refs/clsecure").split()
    (found,) = [name for name in listed if name.endswith("/signed")]
    return found
