"""What git-lfs keeps for a session comes home by size and sha256, whatever the worker sends."""

import hashlib
import os

import pytest
from gitworld import git, write

from clsecure.homecoming import largefiles


def store(git_dir, content: bytes):
    oid = hashlib.sha256(content).hexdigest()
    return git_dir / "lfs/objects" / oid[:2] / oid[2:4] / oid


@pytest.fixture
def lfs(world):
    world.git("lfs", "install", "--local")
    write(world.top / ".gitattributes", "*.bin filter=lfs -text\n")
    write(world.top / "old.bin", "old\n")
    world.git("add", "-A")
    world.git("commit", "-qm", "With git-lfs")
    return world.start()


def test_contents_come_home_committed_or_not(world, lfs):
    write(lfs.top / "a.bin", "committed\n")
    lfs.commit("New")
    write(lfs.top / "b.bin", "loose\n")
    work, _ = world.bring(lfs)
    assert work.warnings == ()
    for content in (b"old\n", b"committed\n", b"loose\n"):
        assert store(world.top / ".git", content).read_bytes() == content
    world.git("switch", "-q", "claude/x")
    assert (world.top / "b.bin").read_text() == "loose\n"
    assert not list((world.top / ".git/lfs/tmp").glob("clsecure-*"))


def test_older_contents_are_lent(world, lfs):
    write(world.top / "old.bin", "changed\n")
    world.git("commit", "-qam", "Changed")
    session = world.start("second")
    session.git("checkout", "-q", "HEAD~")
    assert (session.top / "old.bin").read_text() == "old\n"


def test_a_content_with_another_sha256_is_refused(world, lfs):
    write(lfs.top / "a.bin", "honest\n")
    write(lfs.top / "b.bin", "second\n")
    lfs.commit("New")
    forged = store(lfs.git_dir, b"honest\n")
    forged.chmod(0o644)
    forged.write_bytes(b"forged\n")
    work, _ = world.bring(lfs)
    assert work.warnings == ("git-lfs: a content with another sha256 is refused: a.bin",)
    assert not store(world.top / ".git", b"honest\n").exists()
    assert store(world.top / ".git", b"second\n").exists()  # the control


def test_a_link_in_place_of_a_content_leads_nowhere(world, lfs, tmp_path):
    write(lfs.top / "a.bin", "secret\n")
    lfs.commit("New")
    write(tmp_path / "elsewhere", "secret\n")
    place = store(lfs.git_dir, b"secret\n")
    place.unlink()
    place.symlink_to(tmp_path / "elsewhere")
    work, _ = world.bring(lfs)
    assert work.warnings == ("git-lfs: the session does not have the content of a.bin",)
    assert not store(world.top / ".git", b"secret\n").exists()


@pytest.mark.parametrize(
    "oid", ["../../../../hooks/post-checkout", "a" * 63 + "/", "A" * 64, "a" * 65]
)
def test_a_pointer_that_names_a_path_is_none(world, lfs, oid):
    write(lfs.top / "x", f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 3\n")
    write(lfs.top / "a.bin", "control\n")
    before = {path for path in (world.top / ".git").rglob("*") if "objects" not in path.parts}
    work, _ = world.bring(lfs)
    assert work.warnings == ()
    after = {path for path in (world.top / ".git").rglob("*") if "objects" not in path.parts}
    assert not [path for path in after - before if "refs" not in path.parts and path.name != "tmp"]
    assert store(world.top / ".git", b"control\n").exists()


def test_an_enormous_content_stays_and_is_named(world, lfs, monkeypatch):
    monkeypatch.setattr(largefiles, "MAX_OBJECT", 1000)
    write(lfs.top / "large.bin", "x" * 1001)
    write(lfs.top / "small.bin", "x" * 1000)
    work, _ = world.bring(lfs)
    (warning,) = work.warnings
    assert warning.startswith("git-lfs: the content of large.bin stays in the session")
    assert store(world.top / ".git", b"x" * 1000).exists()
    assert not store(world.top / ".git", b"x" * 1001).exists()


def test_all_of_it_is_limited_too(world, lfs, monkeypatch):
    monkeypatch.setattr(largefiles, "MAX_ALL", 1000)
    write(lfs.top / "a.bin", "a" * 600)
    write(lfs.top / "b.bin", "b" * 601)
    work, _ = world.bring(lfs)
    assert [warning.split(" stays")[0][-5:] for warning in work.warnings] == ["b.bin"]


class Sending:
    """A box in which the worker sends what it likes in place of contents."""

    def __init__(self, session, sent: bytes) -> None:
        self.session, self.sent = session, sent

    def run_inside(self, argv, *, stdin, stdout, env):
        if b"wanted" not in stdin:
            return self.session.run_inside(argv, stdin=stdin, stdout=stdout, env=env)
        try:
            os.write(stdout, self.sent)
            while len(self.sent) > 100_000:
                os.write(stdout, self.sent)
        except BrokenPipeError:
            pass
        return 0, b""


def streams(content: bytes):
    oid = hashlib.sha256(content).hexdigest()
    other = hashlib.sha256(b"other").hexdigest()
    head = f"{oid} {len(content)}\n".encode()
    return {
        "nothing": b"",
        "noise": b"\0" * 5000,
        "endless": b"x" * 200_000,
        "short": head + content[:-1],
        "another": f"{other} 5\nother".encode(),
        "larger": f"{oid} {len(content) + 1}\n".encode() + content + b"x",
        "path": b"../../../hooks/pre-commit 3\nxyz",
    }


@pytest.mark.parametrize("kind", sorted(streams(b"")))
def test_only_what_was_asked_for_is_taken(world, lfs, kind):
    from gitworld import KEY

    from clsecure.homecoming.nested import fetch

    content = b"wanted\n"
    write(lfs.top / "a.bin", content)
    box = Sending(lfs, streams(content)[kind])
    work = fetch(lfs.repository, box, key=KEY, base=world.base, paths=["a.bin"])
    assert work.warnings == ("git-lfs: the session does not have the content of a.bin",)
    kept = [path for path in (world.top / ".git/lfs").rglob("*") if path.is_file()]
    assert kept == [store(world.top / ".git", b"old\n")]
    assert git(world.top, "ls-files", "--error-unmatch", "old.bin")
