"""Partial clones: what a remote has promised may be missing, here and there; nothing else may."""

import pytest
from gitworld import World, git, write
from test_hostile import forged, refuse

from clsecure.commands.ending import diff_of, findings_of
from clsecure.errors import UserError
from clsecure.workspace.gitseed import git_seed


class PartialWorld(World):
    """A partial clone that has fetched what is checked out; its remote can go, and come back."""

    def __init__(self, tmp_path, *options):
        super().__init__(tmp_path)
        self.git("config", "uploadpack.allowFilter", "true")
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")
        for number in (2, 3):
            write(self.top / "README", f"hello {number}\n")
            write(self.top / "deep/.vscode/tasks.json", f'{{"number": {number}}}\n')
            write(self.top / "deep/.vscode/beside", f"{number}\n" * 30)
            self.git("add", "-A")
            self.git("commit", "-qm", f"Number {number}")
        self.source, self.top = self.top, tmp_path / "partial"
        git(tmp_path, "clone", "-q", "--filter=blob:none", *options, f"file://{self.source}",
            self.top)  # fmt: skip
        if options:
            self.git("sparse-checkout", "set", "--no-cone", "/*", "!/deep/")
            self.git("checkout", "-q", "HEAD")
        self.away = self.source.with_name("away")
        self.leave()

    def leave(self):
        self.source.rename(self.away)

    def come_back(self):
        self.away.rename(self.source)

    def lacks(self, tip):
        listed = self.git("rev-list", "--objects", "--missing=print", tip)
        return [line for line in listed.splitlines() if line.startswith("?")]


@pytest.fixture
def partial(tmp_path):
    return PartialWorld(tmp_path)


@pytest.fixture(params=["gone", "in reach"])
def either(request, partial):
    """A partial clone whose remote is in reach or not."""
    if request.param == "in reach":
        partial.come_back()
    return partial


@pytest.fixture
def sparse(tmp_path):
    return PartialWorld(tmp_path, "--no-checkout")


def an_old_tree(session):
    """Commit the tree of an earlier commit, whose files nobody here has; return the commit."""
    made = session.git("commit-tree", "HEAD~^{tree}", "-p", "HEAD", "-m", "as it was")
    session.git("update-ref", "HEAD", made)
    return made


def test_what_a_remote_has_promised_may_be_missing_and_is_not_fetched(either):
    session = either.start()
    made = an_old_tree(session)
    lacking = either.lacks("HEAD~")
    work, _ = either.bring(session, paths=[])
    assert (work.head, work.warnings) == (made, ())
    assert either.git("rev-parse", "claude/x") == made
    assert either.lacks("claude/x") == lacking != []


def test_control_it_is_fetched_by_the_humans_own_git(partial):
    session = partial.start()
    an_old_tree(session)
    partial.bring(session, paths=[])
    partial.come_back()
    assert partial.git("show", "claude/x:README") == "hello 2"


def test_a_session_has_nothing_fetched_by_naming_it(partial):
    partial.come_back()
    git(partial.source, "commit", "-q", "--allow-empty", "-m", "of the remote alone")
    later = git(partial.source, "rev-parse", "HEAD")
    refuse(partial, forged(head=later), "HEAD is missing")
    assert partial.git("cat-file", "-t", later) == "commit"  # the human's own git fetches it


def test_control_what_nobody_has_promised_may_not(partial):
    session = partial.start()
    invented = "1234567890" * 4
    tree = session.git("mktree", "--missing", stdin=f"100644 blob {invented}\tf\n".encode())
    made = session.git("commit-tree", tree, "-p", "HEAD", "-m", "a blob of nobody's")
    session.git("update-ref", "HEAD", made)
    work = partial.fetch(session, paths=[])
    assert work.head is None
    assert "objects are missing, so this cannot come home: HEAD" in work.warnings
    header = f"# v2 git bundle\n-{partial.base}\n{made} HEAD\n\n".encode()
    packing = ("pack-objects", "--stdout", "-q")
    pack = session.pack(*packing, stdin=f"{made}\n{tree}\n".encode())
    refuse(partial, forged(header + pack, head=made), "not whole")


def test_uncommitted_work_beside_files_that_were_never_fetched(sparse):
    assert sparse.lacks("HEAD")
    session = sparse.start()
    write(session.top / "README", "hello 4\n")
    write(session.top / "deep/.vscode/tasks.json", '{"number": 4}\n')
    work, made = sparse.bring(session)
    assert {change.path for change in work.changes} == {"README", "deep/.vscode/tasks.json"}
    assert [one.path for one in findings_of(sparse.repository, work)] == ["deep/.vscode/tasks.json"]
    assert (made.warnings, made.files) == ((), 2)
    with pytest.raises(UserError, match="cannot show the whole diff"):
        diff_of(sparse.repository, work)
    sparse.come_back()
    assert '+{"number": 4}' in diff_of(sparse.repository, work)


def test_files_that_were_never_fetched_are_moved(sparse):
    session = sparse.start()
    listed = session.git("ls-tree", "HEAD").replace("\tdeep", "\telsewhere")
    tree = session.git("mktree", stdin=f"{listed}\n".encode())
    made = session.git("commit-tree", tree, "-p", "HEAD", "-m", "moved")
    session.git("update-ref", "HEAD", made)
    work = sparse.fetch(session, paths=[])
    assert [change.status for change in work.changes] == ["R", "R"]
    write(session.top / "elsewhere/.vscode/beside", "3\n" * 31)
    work, _ = sparse.bring(session)
    assert [change.status for change in work.changes] == [
        "D",
        "A",
        "R",
    ]  # what it was like, who knows


def test_a_seed_says_which_remote_has_the_rest(partial, tmp_path):
    assert git_seed(partial.repository).promisor == f"file://{partial.source}"
    partial.come_back()
    git(tmp_path, "clone", "-q", partial.source, "whole")
    partial.top = tmp_path / "whole"
    assert git_seed(partial.repository).promisor is None
