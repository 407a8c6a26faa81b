"""What of GitHub's program an agent may have run: the words that come of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress.git.ghcommands import Refused, allowed
from clsecure.giturls import repository_of
from clsecure.network import _github

REPO, BRANCHES = "github.com/o/n", ("claude/*",)


def made(text, branch="claude/x"):
    return list(allowed(text.split(), REPO, branch, BRANCHES))


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ("pr list", "pr list"),
        ("pr list -s all --limit 5 -L=7", "pr list --state=all --limit=5 --limit=7"),
        ("pr view 7 -c", "pr view 7 --comments"),
        ("issue view #12 --json title,body", "issue view 12 --json=title,body"),
        ("issue comment 3 -b -R", "issue comment 3 --body=-R"),
        ("issue list -R o/n", "issue list"),
        ("issue list --repo=GitHub.com/O/N", "issue list"),
        ("pr create -t a -b b -d", "pr create --title=a --body=b --draft --head=claude/x"),
        ("pr create -H claude/y -t a", "pr create --title=a --head=claude/y"),
        ("run view 1 --log-failed", "run view 1 --log-failed"),
    ],
)
def test_what_is_run(words, run):
    assert made(words) == [*run.split(), "--repo=github.com/o/n"]


def test_what_has_no_repository_to_name():
    assert made("repo view") == ["repo", "view", REPO]
    assert made("--version") == ["--version"]


@pytest.mark.parametrize("branch", ["main", "", "claude", "x:claude/y", "refs/heads/claude/x"])
def test_requests_are_made_for_the_agents_branches_alone(branch):
    with pytest.raises(Refused, match="push_branches"):
        made("pr create -t a -b b", branch)


@pytest.mark.parametrize(
    "words",
    [
        "pr view 7 -R other/repo",
        "pr view 7 --repo=other/repo",
        "pr view 7 -R",
        "pr view https://github.com/x/y/pull/1",
        "pr view a-branch",
        "pr view",
        "pr view 7 8",
        "pr list 7",
        "pr list --json a;b",
        "pr list --jq env",
        "api user",
    ],
)
def test_what_is_refused(words):
    with pytest.raises(Refused):
        made(words)


_WORDS = st.one_of(
    st.sampled_from(["pr", "issue", "repo", "run", "view", "list", "create", "comment", "7"]),
    st.sampled_from(["-R", "--repo", "--jq", "-q", "--web", "--json", "-b", "--body", "--", "-F"]),
    st.sampled_from(["--repo=x/y", "-Rx/y", "https://github.com/x/y/pull/1", "--search", "@f"]),
    st.text(max_size=8),
)


@given(st.lists(_WORDS, max_size=8))
def test_whatever_is_asked_it_is_this_repository_and_a_known_flag(words):
    try:
        run = allowed(words, REPO, "claude/x", BRANCHES)
    except Refused:
        return
    if run[:1] == ("--version",):
        assert len(run) == 1
        return
    assert run[-1] == f"--repo={REPO}" or run[:3] == ("repo", "view", REPO)
    flags = [each for each in run[2:] if each.startswith("-")]
    assert len([each for each in flags if each.startswith("--repo")]) <= 1
    assert not [each for each in flags if not each.startswith("--") or each == "--"]
    assert not [
        each for each in flags if each.startswith(("--jq", "--web", "--search", "--body-f"))
    ]
    others = [each for each in run[2:] if not each.startswith("-") and each != REPO]
    assert all(each.isdigit() for each in others)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://github.com/o/n.git", REPO),
        ("https://me:secret@GitHub.com/o/n", REPO),
        ("git@github.com:o/n.git", REPO),
        ("ssh://git@github.com:22/o/n/", REPO),
        ("https://github.com/o", ""),
        ("https://github.com/o/n/x", ""),
        ("https://github.com/-R/n", ""),
        ("/srv/git/n.git", ""),
        ("../n", ""),
    ],
)
def test_the_repository_of_an_address(address, found):
    assert repository_of(address) == found


def test_which_remote_is_on_github(tmp_path):
    (tmp_path / "gh").write_text("#!/bin/sh\n")
    (tmp_path / "gh").chmod(0o755)
    remotes = ["/srv/n.git", "https://git.example/o/other", "git@github.com:o/n.git"]
    there = {"PATH": str(tmp_path)}
    assert _github(remotes, there) == REPO
    assert _github(remotes, {**there, "GH_HOST": "git.example"}) == "git.example/o/other"
    assert _github(remotes[:2], there) == ""
    assert _github(remotes, {"PATH": "/nowhere"}) == ""
