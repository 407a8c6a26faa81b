"""Signing what comes home with the human's key: real ssh-keygen, real gpg."""

import subprocess

import pytest
from gitworld import KEY, git, write

from clsecure.errors import ExitCode, UserError
from clsecure.git import Git
from clsecure.homecoming.branch import discard, import_work
from clsecure.homecoming.signing import is_usual

STRANGER = {
    "GIT_COMMITTER_NAME": "Other",
    "GIT_COMMITTER_EMAIL": "other@example.org",
    "GIT_AUTHOR_NAME": "Other",
    "GIT_AUTHOR_EMAIL": "other@example.org",
}
FACTS = "--format=%an|%ae|%ad|%cn|%ce|%cd|%s|%b"


def by_ssh(home):
    key = home / "key"  # whose signatures differ each time
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text()
    (home / "signers").write_text(f"human@example.org {public}")
    settings = {
        "gpg.format": "ssh",
        "user.signingkey": str(key),
        "gpg.ssh.allowedSignersFile": str(home / "signers"),
        "commit.gpgsign": "true",
    }
    for name, value in settings.items():
        git(home, "config", "--global", name, value)


def by_gpg(home):
    (home / ".gnupg").mkdir(mode=0o700)
    words = (
        "gpg",
        "--batch",
        "--passphrase",
        "",
        "--quick-generate-key",
        "Human <human@example.org>",
    )
    subprocess.run([*words, "ed25519", "sign", "never"], check=True, capture_output=True)
    git(home, "config", "--global", "commit.gpgsign", "true")


@pytest.fixture(params=[by_ssh, by_gpg])
def key(request, hermetic):
    request.param(hermetic)
    yield
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)


@pytest.fixture
def ssh_key(hermetic):
    by_ssh(hermetic)


def bring(world, session, branch="claude/x", message="Work"):
    work = world.fetch(session)
    return work, import_work(
        session.repository, work, branch=branch, commit_message=message, sign=True
    )


def signatures(world, revision):
    return world.git("log", "--format=%G? %s", f"{world.base}..{revision}").splitlines()


def test_every_commit_of_the_session_is_signed(world, key):
    session = world.start()
    dates = {"GIT_AUTHOR_DATE": "2001-02-03T04:05:06+0700"}
    write(session.top / "a", "1\n")
    session.git("add", "-A")
    session.git("commit", "-qm", "One\n\nwith more\n", "--author", "Änn <ann@x>", **dates)
    write(session.top / "a", "2\n")
    session.commit("Two")
    write(session.top / "a", "3\n")
    before = session.git("log", FACTS, "-2")
    work, imported = bring(world, session)
    assert signatures(world, "claude/x") == ["G Work", "G Two", "G One"]
    assert (imported.signed, imported.commits) == (3, 3)
    assert world.git("log", FACTS, "-2", "claude/x~1") == before
    assert world.git("rev-parse", "claude/x~1") != work.head
    for ours, theirs in (("claude/x~1", work.head), ("claude/x", work.snapshot.commit)):
        assert world.names(ours) == world.names(theirs)
        assert world.content(ours, "a") == world.content(theirs, "a")
    assert world.git("merge-base", "claude/x", "main") == world.base


def test_without_being_asked_for_nothing_is_signed(world, ssh_key):
    session = world.start()
    session.git("commit", "-qm", "One", "--allow-empty")
    work, imported = world.bring(session)
    assert world.git("rev-parse", "claude/x") == work.head
    assert imported.signed == 0
    assert signatures(world, "claude/x") == ["N One"]


def test_what_others_made_stays_as_it_is(world, ssh_key):
    session = world.start()
    session.git("switch", "-qc", "theirs")
    session.git("commit", "-qm", "Theirs", "--allow-empty", **STRANGER)
    theirs = session.git("rev-parse", "HEAD")
    session.git("switch", "-q", "main")
    session.git("commit", "-qm", "Mine", "--allow-empty")
    session.git("merge", "-q", "--no-ff", "-m", "Merge", "theirs")
    _, imported = bring(world, session)
    assert imported.signed == 2
    assert world.git("rev-parse", "claude/x^2") == theirs
    assert sorted(signatures(world, "claude/x")) == ["G Merge", "G Mine", "N Theirs"]


def test_what_others_made_on_top_is_carried_along_unsigned(world, ssh_key):
    session = world.start()
    session.git("commit", "-qm", "Mine", "--allow-empty")
    session.git("commit", "-qm", "Theirs", "--allow-empty", **STRANGER)
    facts = session.git("log", FACTS, "-1")
    bring(world, session)
    assert signatures(world, "claude/x") == ["N Theirs", "G Mine"]
    assert world.git("log", FACTS, "-1", "claude/x") == facts


def test_what_is_signed_already_stays_as_it_is(world, ssh_key, hermetic):
    session = world.start()
    options = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={hermetic}/key")
    session.git(*options, "commit", "-S", "-qm", "Signed", "--allow-empty")
    before = session.git("rev-parse", "HEAD")
    session.git("commit", "-qm", "On top", "--allow-empty")
    bring(world, session)
    assert world.git("rev-parse", "claude/x~1") == before
    assert signatures(world, "claude/x") == ["G On top", "G Signed"]


def test_other_branches_and_tags_follow(world, ssh_key):
    session = world.start()
    session.git("commit", "-qm", "Shared", "--allow-empty")
    session.git("tag", "light")
    session.git("tag", "-am", "note", "heavy")
    session.git("branch", "side")
    session.git("commit", "-qm", "Main", "--allow-empty")
    session.git("switch", "-q", "side")
    session.git("commit", "-qm", "Side", "--allow-empty")
    session.git("switch", "-q", "main")
    _, imported = bring(world, session)
    assert world.git("rev-parse", "claude/x.side~1") == world.git("rev-parse", "claude/x~1")
    assert signatures(world, "claude/x.side") == ["G Side", "G Shared"]
    assert world.git("rev-parse", "light") == world.git("rev-parse", "claude/x~1")
    assert world.git("rev-parse", "heavy^{commit}") == session.git("rev-parse", "light")
    assert "annotated tags name the commits as they were" in imported.warnings[-1]


def test_a_later_import_goes_on_where_the_first_ended(world, ssh_key):
    session = world.start()
    session.git("commit", "-qm", "One", "--allow-empty")
    bring(world, session, "claude/first")
    session.git("commit", "-qm", "Two", "--allow-empty")
    bring(world, session, "claude/second")
    assert world.git("rev-parse", "claude/second~1") == world.git("rev-parse", "claude/first")
    discard(session.repository, KEY)
    assert world.git("for-each-ref", "refs/clsecure") == ""


def test_odd_encodings_and_messages_stay(world, ssh_key):
    session = world.start()
    text = "Grüße\n".encode("latin-1")
    options = ("-c", "i18n.commitEncoding=latin-1")
    session.git(*options, "commit", "-q", "--allow-empty", "-F", "-", stdin=text)
    bring(world, session)
    raw = subprocess.run(
        ["git", "cat-file", "commit", "claude/x"], cwd=world.top, capture_output=True, check=True
    ).stdout
    assert raw.endswith(b"\n\n" + text)
    assert b"\nencoding latin-1\n" in raw
    assert world.git("log", "-1", "--format=%G? %s", "claude/x") == "G Grüße"


def test_where_the_key_is_missing_nothing_is_made(world, ssh_key, hermetic):
    session = world.start()
    session.git("commit", "-qm", "One", "--allow-empty")
    (hermetic / "key").unlink()
    before = world.git("for-each-ref", "refs/heads")
    with pytest.raises(UserError, match="could not be signed") as caught:
        bring(world, session)
    assert caught.value.code is ExitCode.IMPORT
    assert "--no-sign" in caught.value.hint
    assert world.git("for-each-ref", "refs/heads") == before
    world.bring(session)  # the control


def test_no_program_of_the_sessions_signs(world, ssh_key, tmp_path):
    """The worker's own settings name a program; the human's git does not read them."""
    session = world.start()
    ran = tmp_path / "ran"
    write(tmp_path / "evil", f"#!/bin/sh\ntouch {ran}\nexit 1\n", 0o755)
    for name in ("gpg.program", "gpg.ssh.program"):
        session.git("config", name, tmp_path / "evil")
    session.git("commit", "-qm", "One", "--allow-empty")
    bring(world, session)
    assert not ran.exists()
    world.git("config", "gpg.ssh.program", tmp_path / "evil")  # the control: the human's own
    session.git("commit", "-qm", "Two", "--allow-empty")
    with pytest.raises(UserError, match="could not be signed"):
        bring(world, session, "claude/y")
    assert ran.exists()


@pytest.mark.parametrize(("value", "usual"), [(None, False), ("true", True), ("no", False)])
def test_whether_the_humans_git_signs(world, value, usual):
    if value:
        world.git("config", "commit.gpgsign", value)
    assert is_usual(Git(world.repository)) is usual
