"""A partial clone on an internet: what git lacks is fetched in the box where that is allowed."""

from __future__ import annotations

import pytest

from e2e.boxes import BOXES
from e2e.shapes import git

_LATER = "git show HEAD~:file; git checkout -q HEAD~; cat file"


@pytest.fixture(scope="module")
def source(human, internet):
    """A repository which that internet serves."""
    top = human.repository("source", {"file": "1\n"})
    human.write(top / "file", "2\n")
    git(human, top, "commit", "-qam", "two")
    git(human, top, "config", "uploadpack.allowFilter", "true")
    (internet.directory / "git").mkdir()
    (internet.directory / "git/source").symlink_to(top / ".git")
    return "http://allowed.test/git/source"


@pytest.fixture
def partial(human, source, request):
    """A partial clone of it."""
    top = human.home / request.node.name.translate({ord(each): "-" for each in "[]"})
    git(human, human.home, "clone", "-q", "--filter=blob:none", source, top)
    return top


@pytest.mark.parametrize("kind", BOXES[:5], ids=str, indirect=True)
def test_git_fetches_what_it_lacks_from_an_allowed_host(human, partial, kind):
    human.agent(f"{_LATER}; echo 3 > new; git add new; git commit -qm new")
    ran = human.clsecure(*kind.flags, "--allow", "allowed.test", cwd=partial)
    assert ran.stdout == "1\n1\n", ran.stderr
    assert "in the box it fetches from allowed.test, without your password" in ran.stderr
    human.clsecure("import", "--branch", "home", "--yes", cwd=partial)
    assert git(human, partial, "show", "home:new") == "3\n"


def test_where_it_is_not_allowed_the_start_and_git_say_so(human, partial):
    human.agent(f"{_LATER} || true; echo 3 > file; git commit -qam three")
    ran = human.clsecure(cwd=partial)
    told = "fetches from allowed.test with --allow allowed.test, without your password; or fetch it"
    assert told in ran.stderr
    assert ran.stdout == "2\n"
    assert "from promisor remote" in ran.stderr
    human.clsecure("import", "--branch", "home", "--yes", cwd=partial)
    assert git(human, partial, "show", "home:file") == "3\n"


def test_control_fetched_first_it_is_there_without_a_network(human, partial):
    git(human, partial, "fetch", "-q", "--refetch", "--no-filter")
    human.agent(_LATER)
    ran = human.clsecure("--no-network", cwd=partial)
    assert ran.stdout == "1\n1\n"
