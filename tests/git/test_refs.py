"""Names of refs, against git itself."""

import contextlib
import json
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clsecure.homecoming.manifest import BadManifest, parse
from clsecure.homecoming.refs import Names, conflicting, valid_branch, valid_ref

CHARACTERS = st.sampled_from("ab/.@{}~^:?*[\\ \t\n\x7f-_lock#é\x01")
NAMES = st.one_of(
    st.text(CHARACTERS, min_size=1, max_size=12),
    st.lists(st.sampled_from(["a", ".", "..", "/", ".lock", "@", "@{", "-", "HEAD"])).map("".join),
)


def git_says(*words: str) -> bool:
    return not subprocess.run(
        ["git", "check-ref-format", *words], capture_output=True, check=False
    ).returncode


@settings(max_examples=80, deadline=None)
@given(NAMES)
@example("a.lock/b")
@example("@")
@example("a/")
@example(".a")
@example("a//b")
def test_refs_are_valid_when_git_says_so(name):
    assert valid_ref(f"refs/heads/{name}") == git_says(f"refs/heads/{name}")


@settings(max_examples=60, deadline=None)
@given(NAMES)
@example("-x")
@example("HEAD")
def test_valid_branches_are_valid_to_git(name):
    if valid_branch(name):
        assert git_says("--branch", name)


def test_what_stands_beside_what():
    assert conflicting(["a", "a/b", "ab", "c/d"], ["a/x", "c"]) == {"a", "c/d"}
    names = Names(["refs/heads/a/b"])
    assert not names.has_room("refs/heads/a")
    assert not names.has_room("refs/heads/a/b/c")
    assert not names.has_room("refs/heads/a/b")
    assert names.free("refs/heads/a/b") == "refs/heads/a/b-2"
    assert names.free("refs/heads/a/b") == "refs/heads/a/b-3"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("1" * 40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = ["head", "branch", "refs", "deleted", "snapshot", "stash", "ignored", "warnings"]
FIELDS += ["bundle", "repositories", "lfs"]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_json_is_a_manifest_or_refused(fields):
    honest = {
        "format": 1,
        "head": "1" * 40,
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
    with contextlib.suppress(BadManifest):
        parse(json.dumps(honest | fields).encode())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(line):
    with pytest.raises(BadManifest):
        parse(line)
