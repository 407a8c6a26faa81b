"""Names for imports, and what may be asked for after one: switch, push."""

from datetime import UTC, datetime

import pytest
from gitworld import KEY, git, write

from clsecure.errors import UserError
from clsecure.homecoming.branch import (
    check_branch,
    default_branch,
    discard,
    import_work,
    push,
    switch_to,
)
from clsecure.homecoming.refs import valid_branch

NOON = datetime(2025, 3, 4, 12, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("project", "session", "expected"),
    [
        ("app", None, "claude/app-20250304-120506"),
        ("app", "fix", "claude/app-fix-20250304-120506"),
        ("My App (2)", "", "claude/My-App-2-20250304-120506"),
        ("..", None, "claude/session-20250304-120506"),
        ("-x.lock", "@{", "claude/x-lock-20250304-120506"),
        ("ünï", None, "claude/n-20250304-120506"),
        ("x" * 300, None, "claude/" + "x" * 80 + "-20250304-120506"),
    ],
)
def test_the_default_name(project, session, expected):
    assert default_branch(project, session, NOON) == expected
    assert valid_branch(expected)


@pytest.fixture
def session(world):
    made = world.start()
    write(made.top / "README", "the session's\n")
    made.commit("Second")
    return made


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("main", "exists already"),
        ("main/x", "cannot stand beside"),
        ("topic", "cannot stand beside"),
        ("-x", "not a name"),
        ("a b", "not a name"),
        ("a..b", "not a name"),
        ("HEAD", "not a name"),
        ("", "not a name"),
        ("x\x1b[2J", r"not a name for a branch: x\\x1b"),
    ],
)
def test_names_that_cannot_be(world, session, name, message):
    world.git("branch", "topic/one")
    work = world.fetch(session)
    before = world.git("for-each-ref")
    for call in (
        lambda: check_branch(session.repository, name),
        lambda: import_work(session.repository, work, branch=name, commit_message=None),
    ):
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert caught.value.code == 6
        assert caught.value.hint
    assert world.git("for-each-ref") == before


def test_nothing_is_half_made(world, session):
    session.git("branch", "other", session.git("commit-tree", "HEAD^{tree}", "-m", "Other"))
    work = world.fetch(session)
    write(world.top / ".git/refs/heads/claude/x.other.lock", "")
    before = world.git("for-each-ref")
    with pytest.raises(UserError, match="cannot write the refs") as caught:
        import_work(session.repository, work, branch="claude/x", commit_message=None)
    assert caught.value.code == 6
    assert world.git("for-each-ref") == before


def test_a_branch_made_at_the_same_moment_is_not_overwritten(world, session, monkeypatch):
    work = world.fetch(session)
    world.git("branch", "claude/x")
    monkeypatch.setattr("clsecure.homecoming.branch._check_free", lambda *_: None)
    with pytest.raises(UserError, match="cannot write the refs"):
        import_work(session.repository, work, branch="claude/x", commit_message=None)
    assert world.git("rev-parse", "claude/x") == world.base


def test_the_session_gave_a_branch_the_same_name(world, session):
    session.git("switch", "-q", "main")
    for name in ("a/b", "a-b"):
        oid = session.git("commit-tree", "HEAD^{tree}", "-m", name)
        session.git("branch", name, oid)
    _, done = world.bring(session)
    assert [name for _, name in done.others] == [
        "refs/heads/claude/x.a-b",
        "refs/heads/claude/x.a-b-2",
    ]


def test_a_human_without_a_name(world, hermetic):
    session = world.start()
    write(session.top / "new", "x\n")
    (hermetic / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    _, done = world.bring(session, message="Wörk")
    assert world.git("log", "-1", "--format=%an %s", "claude/x") == "Human Wörk"
    assert any("no user.name" in warning for warning in done.warnings)


def test_only_uncommitted_work_and_no_message(world):
    session = world.start()
    write(session.top / "new", "x\n")
    with pytest.raises(UserError, match="only uncommitted work") as caught:
        world.bring(session, message=None)
    assert f"refs/clsecure/{KEY}/snapshot" in caught.value.hint
    discard(session.repository, KEY)
    assert world.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_switching_is_gits_own_and_runs_no_hook(world, session):
    write(world.top / ".git/hooks/post-checkout", "#!/bin/sh\ntouch ran\n", 0o755)
    world.bring(session)
    write(world.top / "README", "the human's\n")
    with pytest.raises(UserError, match="would be overwritten") as caught:
        switch_to(session.repository, "claude/x")
    assert caught.value.code == 6
    assert (world.top / "README").read_text() == "the human's\n"
    write(world.top / "README", "hello\n")
    switch_to(session.repository, "claude/x")
    assert world.git("branch", "--show-current") == "claude/x"
    assert (world.top / "README").read_text() == "the session's\n"
    assert not (world.top / "ran").exists()


@pytest.mark.parametrize("in_tree", [False, True])
def test_pushing_runs_the_humans_hooks_but_none_of_the_tree(world, session, in_tree):
    git(world.tmp_path, "init", "-q", "--bare", "remote.git")
    world.git("remote", "add", "origin", world.tmp_path / "remote.git")
    world.bring(session)
    hooks = world.top / ("tools" if in_tree else ".git/hooks")
    write(hooks / "pre-push", f"#!/bin/sh\ntouch {world.tmp_path}/ran\n", 0o755)
    if in_tree:
        world.git("config", "core.hooksPath", "tools")
    push(session.repository, "claude/x", "origin")
    pushed = git(world.tmp_path / "remote.git", "rev-parse", "claude/x")
    assert pushed == world.git("rev-parse", "claude/x")
    assert (world.tmp_path / "ran").exists() is not in_tree
    with pytest.raises(UserError, match="could not be pushed") as caught:
        push(session.repository, "claude/x", "nowhere")
    assert caught.value.code == 6


def test_commits_that_the_session_builds_on_are_gone(world):
    write(world.top / "README", "two\n")
    world.git("commit", "-qam", "Two")
    session = world.start()
    session.git("commit", "-q", "--allow-empty", "-m", "Three")
    kept = world.git("rev-parse", "HEAD")
    # A copy of the objects stays with the session, as on a host that kept them longer.
    git(world.tmp_path, "clone", "-q", "--mirror", world.top, "copy.git")
    alternates = f"{world.tmp_path}/copy.git/objects\n"
    write(session.git_dir / "objects/info/alternates", alternates)
    world.git("reset", "-q", "--hard", "HEAD~")
    discard(session.repository, KEY)
    world.git("reflog", "expire", "--expire=now", "--all")
    world.git("gc", "-q", "--prune=now")
    assert world.git("cat-file", "-t", kept, check=False) == ""
    work = world.fetch(session)  # the session's bundle holds them then
    assert work.commits == 1
    assert world.git("cat-file", "-t", kept) == "commit"
