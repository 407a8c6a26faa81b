"""Repositories of every shape: seen right inside, brought home right, over modes and workspaces."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from e2e import shapes
from e2e.boxes import BOXES
from e2e.footprint import changes, footprint
from e2e.shapes import SHAPES, git, mounted

# What the tree holds, byte for byte, and what git says of it.
_SEEN = """{
find . -name .git -prune -o ! -type d -printf '%P %y %m %l\\0' | LC_ALL=C sort -z
find . -name .git -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r cksum
git status --porcelain -z; git submodule status --recursive | sed 's/ (.*//'
git log --format='%H %an %s'; git stash list; git for-each-ref refs/heads refs/remotes refs/tags
} 2>&1 | tr '\\0' '\\n'
"""


_CASES = [
    (shape, kind)
    for shape in SHAPES
    for kind in BOXES
    if shape.is_place or kind.engine != "bubblewrap"
]


@pytest.mark.parametrize(
    ("shape", "kind"),
    _CASES,
    ids=[f"{shape.name}-{kind}" for shape, kind in _CASES],
    indirect=["kind"],
)
def test_a_shape_is_seen_right_and_comes_home(human, shape, kind):
    top = human.home / "src" / shape.at.format(name=shape.name, kind=kind)
    there = mounted(human, top, shape.file_system) if shape.file_system else nullcontext()
    with there:
        start = shape.make(human, top)
        seen = human.run("sh", "-c", _SEEN, cwd=start).stdout
        before = footprint(top)
        human.agent(f"{_SEEN}\nset -e\n{shape.script}")
        ending = ("--on-exit", "import", "--branch", "home", "--yes")
        ran = human.clsecure(*kind.flags, *ending, cwd=start)
        assert ran.stdout == seen + shape.sees.format(top=top), ran.stderr
        assert shape.said in ran.stderr
        touched = changes(before, footprint(top))
        assert all("/home" in path or "/lfs" in path for path in touched), touched
        shape.home(human, top)
        human.clsecure("cleanup", "--yes", cwd=start)


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_a_tree_with_another_file_system_in_it_is_cloned(human, kind):
    top = human.repository(f"src/with mount-{kind}", {"file": "1\n", "sub dir/in": "1\n"})
    with mounted(human, top / "sub dir", "tmpfs"):
        human.write(top / "sub dir/in", "1\n")
        human.agent("cat 'sub dir/in'; echo 2 > 'sub dir/in'; git status --short")
        refused = human.clsecure(*kind.flags, cwd=top, code=4)
        assert "other file systems are mounted in it: sub\\040dir" in refused.stderr
        assert human.workers() == []
        *mode, _, _ = kind.flags
        ending = ("--on-exit", "import", "--branch", "home", "--yes")
        ran = human.clsecure(*mode, *ending, cwd=top)
        assert ran.stdout == "1\n M 'sub dir/in'\n".replace("'", '"')
        assert "cloned project (other file systems are mounted in it" in ran.stderr
        assert git(human, top, "show", "home:sub dir/in") == "2\n"
        assert (top / "sub dir/in").read_text() == "1\n"
        human.clsecure("cleanup", "--yes", cwd=top)


_MANY = 300_000
_SECONDS = 60  # for a session, or its end; on two idle processors a tenth of it


def test_many_files(human):
    top = human.home / "src/many"
    listed = "".join(f"M 100644 :1 d{n // 10_000}/e{n // 1000}/f{n}\n" for n in range(_MANY))
    stream = (
        "blob\nmark :1\ndata 0\n\ncommit refs/heads/main\n"
        f"committer A <a@example.org> 1700000000 +0000\ndata 5\nfirst\n{listed}\ndone\n"
    )
    with mounted(human, top, "tmpfs", f"size=1g,nr_inodes={_MANY * 2}"):
        git(human, top, "init", "-q", "-b", "main")
        human.run("git", "fast-import", "--quiet", "--done", cwd=top, stdin=stream)
        git(human, top, "reset", "-q", "--hard")
        human.agent(
            "git ls-files | wc -l; git status --short; git mv d1 moved; git commit -qm moved\n"
            "rm -r d2/e20; echo 1 > new; echo 1 > d3/e30/f30000"
        )
        ending = ("--mode", "user", "--on-exit", "import", "--branch", "home", "--yes")
        ran = human.clsecure(*ending, cwd=top, seconds=_SECONDS)
        assert ran.stdout == f"{_MANY}\n"
        changed = git(human, top, "diff", "--name-status", "main", "home").splitlines()
        kinds = [line[0] for line in changed]
        assert {kind: kinds.count(kind) for kind in kinds} == {
            "A": 1,
            "D": 1000,
            "M": 1,
            "R": 10_000,
        }
        assert git(human, top, "status", "--short") == ""
        human.clsecure("cleanup", "--yes", cwd=top, seconds=_SECONDS)


def test_what_a_submodule_builds_on_is_kept_while_the_session_lasts(human):
    top = shapes.submodules(human, human.home / "src/collected")
    inner = top / "lib dir/deep"
    for module in (top / "lib dir", inner):
        git(human, module, "switch", "-q", "--detach")
        git(human, module, "commit", "-q", "--allow-empty", "-m", "on no branch")
    script = "cd 'lib dir/deep' && echo 2 > in && git commit -qam two"
    human.clsecure("exec", "--", "sh", "-c", script, cwd=top)  # which brings nothing home yet
    for module in (top / "lib dir", inner):
        git(human, module, "reset", "-q", "--hard", "HEAD~")
        git(human, module, "reflog", "expire", "--expire=now", "--all")
        git(human, module, "gc", "-q", "--prune=now")
    assert _own_refs(human, inner)
    made = human.clsecure("import", "--branch", "home", "--yes", cwd=top)
    assert "warning" not in made.stderr
    log = git(human, inner, "log", "--format=%s", "home")
    assert log.splitlines() == ["two", "on no branch", "first"]
    human.clsecure("discard", "--yes", cwd=top)
    assert [_own_refs(human, where) for where in (top, top / "lib dir", inner)] == ["", "", ""]


def test_a_recorded_commit_that_is_nowhere_is_named(human):
    top = shapes.submodules(human, human.home / "src/nowhere")
    script = """set -e; cd 'lib dir'
    for id in 1111111111111111111111111111111111111111 $(git rev-parse HEAD); do
      git update-index --cacheinfo "160000,$id,deep"; git commit -qm "at $id"
    done
    git update-index --cacheinfo "160000,$(git -C deep rev-parse HEAD),deep"; git commit -qm back
    cd ..; git commit -qam both; git init -q new; cd new; git commit -q --allow-empty -m one
    cd ..; git update-index --add --cacheinfo "160000,$(git -C new rev-parse HEAD),new"
    git commit -qm new; git -C new commit -q --amend --allow-empty -m two"""
    human.clsecure("exec", "--", "sh", "-c", script, cwd=top)
    made = human.clsecure("import", "--branch", "home", "--yes", cwd=top)
    said = {line for line in made.stderr.splitlines() if "is nowhere" in line}
    words = "warning: lib dir: a commit of the session records a commit of deep that is nowhere: "
    assert {line.startswith(words) for line in said} == {True}, made.stderr
    assert len(said) == 2
    kept = git(human, top, "rev-parse", "home:new").strip()
    assert git(human, top, "cat-file", "-t", kept) == "commit\n"
    human.clsecure("discard", "--yes", cwd=top)


def test_no_ref_stays_in_a_submodule_of_which_nothing_was_collected(human):
    top = shapes.submodules(human, human.home / "src/untouched")
    human.agent("true")
    human.clsecure("exec", "--", "true", cwd=top)
    assert _own_refs(human, top / "lib dir/deep")
    human.clsecure("discard", "--yes", cwd=top)
    assert _own_refs(human, top / "lib dir/deep") == ""


def _own_refs(human, top):
    return git(human, top, "for-each-ref", "refs/clsecure")
