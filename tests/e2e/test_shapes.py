"""Repositories of every shape: seen right inside, brought home right, over modes and workspaces."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from e2e import shapes
from e2e.boxes import Kind
from e2e.footprint import changes, footprint
from e2e.shapes import SHAPES, git, mounted

_CHEAP = (Kind("user", "none", "overlay"), Kind("user", "none", "clone"))
_OTHERS = (Kind("namespace", "firejail", "overlay"), Kind("container", "podman", "overlay"))
_IN_ALL = ("lfs", "submodules", "names")
CASES = [(shape, kind) for shape in SHAPES for kind in _CHEAP]
CASES += [(shape, kind) for shape in SHAPES if shape.name in _IN_ALL for kind in _OTHERS]


@pytest.mark.parametrize(
    ("shape", "kind"),
    CASES,
    ids=[f"{shape.name}-{kind}" for shape, kind in CASES],
    indirect=["kind"],
)
def test_a_shape_is_seen_right_and_comes_home(human, shape, kind):
    top = human.home / "src" / shape.at.format(name=shape.name, kind=kind)
    there = mounted(human, top, shape.file_system) if shape.file_system else nullcontext()
    with there:
        start = shape.make(human, top)
        before = footprint(top)
        human.agent(f"set -e\n{shape.script}")
        ran = human.clsecure(*kind.flags, cwd=start)
        assert ran.stdout == shape.sees.format(top=top), ran.stderr
        assert shape.said in ran.stderr
        human.clsecure("import", "--branch", "home", "--yes", cwd=start)
        touched = changes(before, footprint(top))
        assert all("/home" in path or "/lfs" in path for path in touched), touched
        shape.home(human, top)
        human.clsecure("cleanup", "--yes", cwd=start)


def test_a_tree_with_another_file_system_in_it_is_cloned(human):
    top = human.repository("src/with mount", {"file": "1\n", "sub dir/in": "1\n"})
    with mounted(human, top / "sub dir", "tmpfs"):
        human.write(top / "sub dir/in", "1\n")
        human.agent("cat 'sub dir/in'; echo 2 > 'sub dir/in'")
        refused = human.clsecure("--workspace", "overlay", cwd=top, code=4)
        assert "other file systems are mounted in it: sub\\040dir" in refused.stderr
        ran = human.clsecure(cwd=top)
        assert ran.stdout == "1\n"
        assert "cloned project (other file systems are mounted in it" in ran.stderr
        human.clsecure("import", "--branch", "home", "--yes", cwd=top)
        assert human.run("git", "show", "home:sub dir/in", cwd=top).stdout == "2\n"
        human.clsecure("cleanup", "--yes", cwd=top)


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
