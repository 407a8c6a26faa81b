"""What a worker could send instead of an honest export; each refusal has a control that passes."""

import hashlib
import json
import os
import zlib

import pytest
from gitworld import KEY, git, write

from clsecure.errors import UserError
from clsecure.homecoming.nested import fetch

HONEST = {
    "format": 1,
    "head": None,
    "branch": "main",
    "refs": {},
    "deleted": [],
    "snapshot": None,
    "stash": [],
    "ignored": {"count": 0, "names": []},
    "warnings": [],
    "bundle": False,
    "repositories": [],
    "lfs": False,
}


class Forged:
    """A box in which the worker answers in place of export.py."""

    def __init__(self, answer: bytes, code: int = 0, said: bytes = b"") -> None:
        self.answer, self.code, self.said = answer, code, said

    def run_inside(self, _argv, *, stdout, **_kwargs):
        os.write(stdout, self.answer)
        return self.code, self.said


def forged(bundle: bytes = b"", **fields) -> Forged:
    manifest = {**HONEST, "bundle": bool(bundle), **fields}
    return Forged(json.dumps(manifest).encode() + b"\n" + bundle)


def receive(world, box):
    return fetch(world.repository, box, key=KEY, base=world.base, paths=[])


def refuse(world, box, match):
    before = world.state(), world.git("for-each-ref"), objects(world)
    with pytest.raises(UserError, match=match) as caught:
        receive(world, box)
    assert caught.value.code == 6
    assert caught.value.hint
    assert (world.state(), world.git("for-each-ref"), objects(world)) == before


def objects(world):
    return sorted(map(str, (world.top / ".git/objects").rglob("*")))


@pytest.fixture
def worker(world):
    """A repository in which the worker makes objects of every kind."""
    git(world.tmp_path, "clone", "-q", world.top, "worker")
    return world.tmp_path / "worker"


def raw_object(where, kind: str, data: bytes) -> str:
    """Write an object that git itself would not."""
    whole = f"{kind} {len(data)}\0".encode() + data
    oid = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    write(where / f".git/objects/{oid[:2]}/{oid[2:]}", zlib.compress(whole))
    return oid


def raw_tree(where, *entries: tuple[str, bytes, str]) -> str:
    data = b"".join(
        mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries
    )
    return raw_object(where, "tree", data)


def commit_of(where, tree: str) -> str:
    return git(where, "commit-tree", "-p", "HEAD", "-m", "Sent", tree)


def bundle_of(where, commit: str) -> bytes:
    git(where, "update-ref", "refs/heads/sent", commit)
    path = where.parent / "sent.bundle"
    git(where, "bundle", "create", path, "refs/heads/sent", "^origin/main")
    return path.read_bytes()


def test_the_control_is_accepted(world, worker):
    blob = git(worker, "hash-object", "-w", "--stdin", stdin=b"x")
    commit = commit_of(worker, raw_tree(worker, ("100644", b"fine", blob)))
    work = receive(world, forged(bundle_of(worker, commit), head=commit))
    assert work.commits == 1
    assert world.git("rev-parse", f"refs/clsecure/{KEY}/HEAD") == commit


def evil_trees(worker):
    blob = git(worker, "hash-object", "-w", "--stdin", stdin=b"#!/bin/sh\n")
    hooks = raw_tree(worker, ("100755", b"pre-commit", blob))
    option = b'[submodule "x"]\n\tpath = x\n\turl = --upload-pack=evil\n'
    climbing = b'[submodule "../../x"]\n\tpath = x\n\turl = http://example.org\n'
    modules = [
        git(worker, "hash-object", "-w", "--stdin", stdin=each) for each in (option, climbing)
    ]
    return {
        "dotgit": raw_tree(worker, ("40000", b".git", hooks)),
        "dotgit-case": raw_tree(worker, ("40000", b".GIT", hooks)),
        "dotgit-ntfs": raw_tree(worker, ("40000", b"git~1", hooks)),
        "dotgit-hfs": raw_tree(worker, ("40000", ".g\u200cit".encode(), hooks)),
        "dotdot": raw_tree(worker, ("40000", b"..", hooks)),
        "dot": raw_tree(worker, ("40000", b".", hooks)),
        "slash": raw_tree(worker, ("100644", b"a/b", blob)),
        "twice": raw_tree(worker, ("100644", b"a", blob), ("100644", b"a", blob)),
        "modules-link": raw_tree(worker, ("120000", b".gitmodules", blob)),
        "modules-option": raw_tree(worker, ("100644", b".gitmodules", modules[0])),
        "modules-climb": raw_tree(worker, ("100644", b".gitmodules", modules[1])),
    }


KINDS = [
    "dotgit",
    "dotgit-case",
    "dotgit-ntfs",
    "dotgit-hfs",
    "dotdot",
    "dot",
    "slash",
    "twice",
    "modules-link",
    "modules-option",
    "modules-climb",
]


@pytest.mark.parametrize("kind", KINDS)
def test_objects_that_would_harm_a_checkout_are_refused(world, worker, kind):
    commit = commit_of(worker, evil_trees(worker)[kind])
    refuse(world, forged(bundle_of(worker, commit), head=commit), "git refuses")


def test_a_blob_that_was_here_before_does_not_hide_gitmodules(world, worker):
    option = b'[submodule "x"]\n\tpath = x\n\turl = --upload-pack=evil\n'
    blob = world.git("hash-object", "-w", "--stdin", stdin=option)
    git(worker, "hash-object", "-w", "--stdin", stdin=option)
    tree = raw_tree(worker, ("100644", b".gitmodules", blob))
    commit = commit_of(worker, tree)
    refuse(world, forged(bundle_of(worker, commit), head=commit), "git refuses")


def test_a_commit_with_a_forged_header_is_refused(world, worker):
    tree = git(worker, "rev-parse", "HEAD^{tree}")
    commit = raw_object(worker, "commit", f"tree {tree}\nauthor x\ncommitter y\n\nm\n".encode())
    refuse(world, forged(bundle_of(worker, commit), head=commit), "git refuses")


def test_missing_objects_are_refused(world, worker):
    blob = git(worker, "hash-object", "-w", "--stdin", stdin=b"x")
    commit = commit_of(worker, raw_tree(worker, ("100644", b"fine", blob)))
    data = bundle_of(worker, commit)
    header, _, _ = data.partition(b"\n\n")
    git(worker, "pack-objects", "-q", "../short", stdin=f"{commit}\n".encode())
    (pack,) = world.tmp_path.glob("short-*.pack")
    short = header + b"\n\n" + pack.read_bytes()
    refuse(world, forged(short, head=commit), "git refuses|not whole")
    refuse(world, forged(data[:-30], head=commit), "git refuses")
    refuse(world, forged(head="12" * 20), "not whole")
    refuse(world, forged(refs={"refs/heads/a": blob}), "not whole")
    refuse(world, forged(data.replace(world.base.encode(), b"12" * 20), head=commit), "are gone")


def test_a_loose_end_of_the_humans_own_is_refused(world):
    """The human's store may hold commits without all of their files; no ref may name one."""
    commit = commit_of(world.top, raw_tree(world.top, ("100644", b"lost", "12" * 20)))
    refuse(world, forged(head=commit), "not whole")


def test_a_branch_must_be_a_commit(world):
    blob = world.git("rev-parse", "HEAD:README")
    refuse(world, forged(refs={"refs/heads/a": blob}), "heads/a is blob")
    work = receive(world, forged(refs={"refs/tags/a": blob}))
    assert [tag.name for tag in work.tags] == ["a"]


BROKEN = [
    (b"", "not JSON"),
    (b"\xff\n", "not JSON"),
    (b"[" * 100_000 + b"\n", "not JSON"),
    (b"[]\n", "format"),
    (json.dumps({**HONEST, "format": 2}).encode(), "format"),
    (json.dumps({**HONEST, "head": "x"}).encode(), "object id"),
    (json.dumps({**HONEST, "head": "--all"}).encode(), "object id"),
    (json.dumps({**HONEST, "head": 1}).encode(), "head"),
    (json.dumps({**HONEST, "branch": "a..b"}).encode(), "branch"),
    (json.dumps({**HONEST, "branch": "\ud800"}).encode(), "branch"),
    (json.dumps({**HONEST, "refs": {"refs/heads/../../x": "1" * 40}}).encode(), "ref has"),
    (json.dumps({**HONEST, "refs": {"HEAD": "1" * 40}}).encode(), "ref has"),
    (json.dumps({**HONEST, "refs": {"refs/heads/a\0delete": "1" * 40}}).encode(), "ref has"),
    (
        json.dumps({**HONEST, "refs": {"refs/a/b": "1" * 40, "refs/a/b/c": "1" * 40}}).encode(),
        "dir",
    ),
    (json.dumps({**HONEST, "snapshot": {"commit": "1" * 40, "files": True}}).encode(), "files"),
    (json.dumps({**HONEST, "snapshot": {"commit": "1" * 40, "files": -1}}).encode(), "files"),
    (json.dumps({**HONEST, "snapshot": []}).encode(), "snapshot"),
    (json.dumps({**HONEST, "stash": [1]}).encode(), "stash"),
    (json.dumps({**HONEST, "stash": [{"commit": "1" * 40}]}).encode(), "text"),
    (json.dumps({**HONEST, "ignored": {"count": 1, "names": 1}}).encode(), "names"),
    (json.dumps({**HONEST, "warnings": [{}]}).encode(), "text"),
    (json.dumps({**HONEST, "bundle": 1}).encode(), "bundle"),
    (json.dumps({**HONEST, "lfs": None}).encode(), "lfs"),
    (json.dumps({**HONEST, "repositories": ["../x"]}).encode(), "path is not one"),
    (json.dumps({**HONEST, "repositories": ["/etc"]}).encode(), "path is not one"),
    (json.dumps({**HONEST, "repositories": ["a/.git/b"]}).encode(), "path is not one"),
    (json.dumps({**HONEST, "repositories": ["x" * 9000]}).encode(), "path is not one"),
]


@pytest.mark.parametrize(("answer", "match"), BROKEN)
def test_a_broken_manifest_is_refused(world, answer, match):
    refuse(world, Forged(answer), match)


@pytest.mark.parametrize(
    "bundle",
    [b"garbage\n", b"# v2 git bundle\n", b"# v2 git bundle\n-x\n\n", b"# v2 git bundle\n\nPACK"],
)
def test_a_broken_bundle_is_refused(world, bundle):
    refuse(world, forged(bundle), "bundle|git refuses")


def test_a_failed_export_says_why(world):
    box = Forged(b"", code=1, said=b"noise\nexport: git ls-files: \x1b[31mno\n")
    refuse(world, box, r"could not be exported: git ls-files: \\x1b\[31mno")
    refuse(world, Forged(b"", code=137), "code 137")


def test_a_repository_inside_is_only_one_of_the_tree(world):
    """Neither a link of the human's nor a climbing path leads to another repository of theirs."""
    other = world.tmp_path / "other"
    for place in (other, world.top / "own"):
        git(world.tmp_path, "init", "-q", place)
        git(place, "commit", "-q", "--allow-empty", "-m", "x")
    (world.top / "link").symlink_to(other)
    asked = []

    class Asked(Forged):
        def run_inside(self, argv, *, stdin, stdout, env):
            asked.append(json.loads(stdin)["git_dir"])
            return super().run_inside(argv, stdin=stdin, stdout=stdout, env=env)

    box = Asked(forged(repositories=[]).answer)
    paths = ["link/x", "../other/x", "own/x"]
    fetch(world.repository, box, key=KEY, base=world.base, paths=paths)
    assert asked == [f"{world.top}/own/.git", f"{world.top}/.git"]  # the control, and the project


def test_new_repositories_are_bounded(world):
    refuse(world, forged(repositories=["again"]), "more than 100 new repositories")


def test_texts_are_bounded(world):
    work = receive(world, forged(warnings=["x" * 20_000] * 1000))
    assert len(work.warnings) == 201
    assert all(len(warning) <= 8192 for warning in work.warnings)
    assert work.warnings[-1] == "800 more warnings"
