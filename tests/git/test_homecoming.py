"""A session's work comes home whole, and nothing else of the repository changes."""

import os
import shutil
import stat

import pytest
from gitworld import KEY, git, write

from clsecure.errors import UserError
from clsecure.git import discover
from clsecure.homecoming.branch import discard, import_work


def test_commits_and_uncommitted_work_become_a_branch(world):
    session = world.start()
    write(session.top / "src/a.py", "a = 2\n")
    session.commit("Second")
    write(session.top / "new.txt", "new\n")
    (session.top / "src/b.py").unlink()
    before = world.state()
    work, done = world.bring(session, message="The rest")
    assert (work.commits, work.branch, work.snapshot.files) == (1, "main", 2)
    assert (done.branch, done.commits, done.files, done.others) == ("claude/x", 2, 3, ())
    assert world.git("log", "--format=%an %s", "claude/x").splitlines() == [
        "Human The rest",
        "Human Second",
        "Human First",
    ]
    assert world.content("claude/x", "src/a.py") == b"a = 2"
    assert world.names("claude/x") == {"README", "src/a.py", "run.sh", ".gitignore", "new.txt"}
    assert world.state() == before
    assert not list((world.top / ".git/objects").glob("tmp_objdir*"))


def test_an_uncommitted_rest_that_is_declined_stays_in_its_ref(world):
    session = world.start()
    session.git("commit", "-q", "--allow-empty", "-m", "Second")
    write(session.top / "new.txt", "new\n")
    work, done = world.bring(session, message=None)
    assert done.others == (("snapshot", f"refs/clsecure/{KEY}/snapshot"),)
    assert world.git("rev-parse", "claude/x") == work.head
    assert world.content(f"refs/clsecure/{KEY}/snapshot", "new.txt") == b"new"


def test_nothing_done_is_nothing_to_import(world):
    session = world.start()
    work = world.fetch(session)
    assert work.is_empty
    assert work.changes == ()
    with pytest.raises(UserError, match="nothing to import") as caught:
        import_work(session.repository, work, branch="claude/x", commit_message="Work")
    assert caught.value.code == 6
    assert world.git("branch", "--list", "claude/*") == ""


ODD = [
    "new\nline",
    'quo"te',
    "back\\slash",
    "tab\there",
    "-dash",
    ":(glob)*",
    "*",
    "[a]",
    " space ",
    "ünïcode",
    os.fsdecode(b"not-utf8-\xff"),
    "build/x",
    "dist/x",
    "target/x",
    "venv/x",
    "deep/er/and/deeper/x",
    "#hash",
    "!bang",
    "~tilde",
    "a'b",
    "$(touch x)",
]


@pytest.mark.parametrize("paths", ["changed", None])
def test_odd_names_come_home_committed_or_not(world, paths):
    session = world.start()
    for name in ODD:
        write(session.top / "committed" / name, name.encode("utf-8", "surrogateescape"))
    session.commit("Odd")
    for name in ODD:
        write(session.top / name, name.encode("utf-8", "surrogateescape"))
    world.bring(session, paths=paths)
    expected = {*ODD, *(f"committed/{name}" for name in ODD)}
    assert world.names("claude/x") - world.names("main") == expected
    assert world.content("claude/x", ODD[-1]) == ODD[-1].encode()


@pytest.mark.parametrize("paths", ["changed", None])
def test_renames_modes_links_and_types_come_home(world, paths):
    write(world.top / "docs/deep/index", "docs\n")
    world.git("add", "-A")
    world.git("commit", "-qm", "With documentation")
    session = world.start()
    (session.top / "src/a.py").rename(session.top / "src/moved.py")
    (session.top / "run.sh").chmod(0o644)
    (session.top / "README").chmod(0o755)
    (session.top / "link").symlink_to("README")
    (session.top / "dangling").symlink_to("/nowhere")
    (session.top / "src/b.py").unlink()
    write(session.top / "src/b.py/inside", "now a directory\n")
    shutil.rmtree(session.top / "docs")
    write(session.top / "docs", "now a file\n")
    work, _ = world.bring(session, paths=paths)
    listed = world.git("ls-tree", "-r", "claude/x").splitlines()
    modes = {line.split("\t")[1]: line[:6] for line in listed}
    assert modes == {
        ".gitignore": "100644",
        "README": "100755",
        "dangling": "120000",
        "docs": "100644",
        "link": "120000",
        "run.sh": "100644",
        "src/b.py/inside": "100644",
        "src/moved.py": "100644",
    }
    renamed = [change for change in work.changes if change.status == "R"]
    assert [(change.old_path, change.path) for change in renamed] == [("src/a.py", "src/moved.py")]


@pytest.mark.parametrize("paths", ["changed", None])
def test_a_directory_that_became_a_link_is_not_followed(world, paths):
    outside = world.tmp_path / "outside"
    write(outside / "a.py", "secret\n")
    session = world.start()
    (session.top / "src").rename(session.top / "src2")
    (session.top / "src").symlink_to(outside)
    world.bring(session, paths=paths)
    assert world.names("claude/x") == {
        "README", "run.sh", ".gitignore", "src", "src2/a.py", "src2/b.py"
    }  # fmt: skip


def test_a_directory_in_the_list_stands_for_what_is_below(world):
    session = world.start()
    (session.top / "src").rename(session.top / "lib")
    world.bring(session, paths=["src", "lib/"])
    assert world.names("claude/x") == {"README", "run.sh", ".gitignore", "lib/a.py", "lib/b.py"}


def test_only_listed_paths_are_taken(world):
    write(world.top / "README", "edited by the human, not committed\n")
    session = world.start()
    listed = {"mine", "*", ":(glob)**", "[a-z]"}
    for name in (*listed, "unlisted"):
        write(session.top / name, "x")
    assert world.fetch(session, paths=[]).is_empty
    world.bring(session, paths=sorted(listed))
    assert world.names("claude/x") - world.names("main") == listed
    assert world.content("claude/x", "README") == b"hello"


def test_many_paths_are_taken_without_a_list_for_git(world):
    session = world.start()
    for number in range(400):
        write(session.top / f"many/{number}", f"{number}")
    write(session.top / "ignored/x", "x")
    write(session.top / "unlisted", "x")
    paths = [path for path in session.changed_paths() if path != "unlisted"]
    work, _ = world.bring(session, paths=paths)
    assert work.snapshot.files == 400
    assert work.ignored.names == ("ignored/",)


@pytest.mark.parametrize("paths", ["changed", None])
def test_ignored_files_stay_unless_added_by_force(world, paths):
    session = world.start()
    write(session.top / "debug.log", "x")
    write(session.top / "kept.log", "kept")
    write(session.top / "ignored/y", "y")
    session.git("add", "-f", "kept.log")
    work, _ = world.bring(session, paths=paths)
    assert world.names("claude/x") - world.names("main") == {"kept.log"}
    assert work.ignored.count == 2
    assert "debug.log" in work.ignored.names


def test_the_sessions_index_cannot_hide_a_change(world):
    session = world.start()
    session.git("update-index", "--assume-unchanged", "README")
    session.git("update-index", "--skip-worktree", "src/b.py")
    write(session.top / "README", "changed\n")
    write(session.top / "src/b.py", "changed\n")
    write(session.git_dir / "index", b"garbage")
    work, _ = world.bring(session)
    assert work.snapshot.files == 2
    assert any("index is damaged" in warning for warning in work.warnings)


def test_what_a_sparse_checkout_leaves_out_is_not_deleted(world):
    world.git("sparse-checkout", "set", "--no-cone", "README", "run.sh")
    assert not (world.top / "src").exists()
    session = world.start()
    assert session.git("status", "--short") == ""
    write(session.top / "README", "changed\n")
    world.bring(session, paths=None)
    assert world.names("claude/x") == world.names("main")


def test_other_branches_tags_and_stashes_come_home(world):
    world.git("tag", "taken")
    session = world.start()
    session.git("switch", "-qc", "topic/one")
    session.git("commit", "-q", "--allow-empty", "-m", "On topic")
    one = session.git("rev-parse", "HEAD")
    session.git("tag", "-a", "v1", "-m", "Version 1")
    session.git("tag", "-f", "taken")
    session.git("switch", "-q", "main")
    session.git("branch", "same-as-main")
    write(session.top / "README", "stashed\n")
    session.git("stash", "push", "-q", "-m", "later")
    session.git("notes", "add", "-m", "a note")
    session.git("commit", "-q", "--allow-empty", "-m", "On main")
    work, done = world.bring(session)
    assert done.others == (
        ("branch", "refs/heads/claude/x.topic-one"),
        ("tag", "refs/tags/claude/x.taken"),
        ("tag", "refs/tags/v1"),
        ("stash", f"refs/clsecure/{KEY}/stash/0"),
        ("ref", f"refs/clsecure/{KEY}/other/notes/commits"),
    )
    assert world.git("rev-parse", "claude/x.topic-one") == one
    assert world.git("cat-file", "-t", "v1") == "tag"
    assert work.stashes[0].message == "On main: later"
    world.git("stash", "apply", "-q", f"refs/clsecure/{KEY}/stash/0")
    assert (world.top / "README").read_text() == "stashed\n"


def test_the_humans_own_stash_is_there_and_does_not_come_back(world):
    write(world.top / "README", "the human's\n")
    world.git("stash", "push", "-q", "-m", "mine")
    session = world.start()
    assert session.git("stash", "list") == "stash@{0}: On main: mine"
    write(session.top / "src/b.py", "x\n")
    session.git("stash", "push", "-q", "-m", "the session's")
    assert [entry.message for entry in world.fetch(session).stashes] == ["On main: the session's"]


def test_a_deleted_branch_is_told_and_not_deleted(world):
    world.git("branch", "old")
    session = world.start()
    session.git("branch", "-q", "-D", "old")
    assert world.fetch(session).deleted == ("old",)
    assert world.git("rev-parse", "old") == world.base


def test_a_detached_head_comes_home(world):
    session = world.start()
    session.git("switch", "-q", "--detach")
    session.git("commit", "-q", "--allow-empty", "-m", "Detached")
    work, _ = world.bring(session)
    assert work.branch is None
    assert world.git("log", "-1", "--format=%s", "claude/x") == "Detached"


def test_an_unborn_branch_comes_home_with_its_files(world):
    session = world.start()
    session.git("switch", "-q", "--orphan", "fresh")
    write(session.top / "only", "x\n")
    work, _ = world.bring(session)
    assert (work.head, work.branch) == (None, "fresh")
    assert world.names("claude/x") == {"only"}
    assert world.git("rev-list", "--count", "claude/x") == "1"


def test_unrelated_and_amended_history_come_home(world):
    session = world.start()
    session.git("commit", "-q", "--amend", "-m", "First, amended")
    session.git("branch", "amended")
    session.git("checkout", "-q", "--orphan", "fresh")
    session.git("commit", "-qm", "Fresh start")
    work, done = world.bring(session)
    assert (work.commits, work.changes) == (1, ())
    assert done.others == (
        ("branch", "refs/heads/claude/x.amended"),
        ("branch", "refs/heads/claude/x.main"),
    )


def test_the_human_went_on_meanwhile(world):
    session = world.start()
    session.git("commit", "-q", "--allow-empty", "-m", "The session's")
    world.git("commit", "-q", "--allow-empty", "-m", "The human's")
    world.git("branch", "more")
    write(world.top / "README", "dirty\n")
    before = world.state()
    work, _ = world.bring(session)
    assert work.commits == 1
    assert world.state() == before


def test_importing_again_brings_what_is_new(world):
    session = world.start()
    session.git("switch", "-qc", "a")
    session.git("commit", "-q", "--allow-empty", "-m", "One")
    world.bring(session, branch="claude/one")
    # "a" makes room for "a/b": the quarantine refs must follow.
    session.git("switch", "-q", "--detach")
    session.git("branch", "-q", "-D", "a")
    session.git("switch", "-qc", "a/b")
    session.git("commit", "-q", "--allow-empty", "-m", "Two")
    work, done = world.bring(session, branch="claude/two")
    assert (work.commits, done.commits) == (1, 1)
    refs = world.git("for-each-ref", "--format=%(refname)", "refs/clsecure/").splitlines()
    assert [ref.removeprefix(f"refs/clsecure/{KEY}/") for ref in refs] == [
        "HEAD",
        "base",
        "heads/a/b",
    ]
    discard(session.repository, KEY)
    assert world.git("for-each-ref", "refs/clsecure/") == ""


def test_a_worktree_and_a_detached_host(world):
    world.git("worktree", "add", "-q", "--detach", world.tmp_path / "wt")
    world.top = world.tmp_path / "wt"
    repository = world.repository
    assert repository.head.branch is None
    assert repository.git_dir != repository.common_dir
    session = world.start()
    assert session.git("status", "--short") == ""
    write(session.top / "README", "changed\n")
    session.commit("In a worktree")
    before = world.state()
    world.bring(session)
    assert world.content("claude/x", "README") == b"changed"
    assert world.state() == before


def test_a_shallow_clone_and_borrowed_objects(world):
    world.git("commit", "-q", "--allow-empty", "-m", "Second")
    git(world.tmp_path, "clone", "-q", "--depth=1", f"file://{world.top}", "shallow")
    git(world.tmp_path, "clone", "-q", "--shared", world.top, "shared")
    git(world.tmp_path, "clone", "-q", "--reference", world.tmp_path / "shared", "shared", "chain")
    for name in ("shallow", "shared", "chain"):
        world.top = world.tmp_path / name
        session = world.start(f"session-{name}")
        assert session.git("status", "--short") == ""
        assert session.git("log", "--format=%H") == world.git("log", "--format=%H")
        write(session.top / "README", f"{name}\n")
        session.commit("More")
        world.bring(session)
        assert world.content("claude/x", "README") == name.encode()


def test_sha256_repositories(world):
    git(world.tmp_path, "init", "-q", "--object-format=sha256", "long")
    world.top = world.tmp_path / "long"
    world.git("commit", "-q", "--allow-empty", "-m", "First")
    session = world.start()
    write(session.top / "new", "x\n")
    world.bring(session)
    assert len(world.git("rev-parse", "claude/x")) == 64


def test_a_submodules_commits_come_home_to_it(world, tmp_path):
    git(tmp_path, "init", "-q", "library")
    git(tmp_path / "library", "commit", "-q", "--allow-empty", "-m", "Library")
    allow = ("-c", "protocol.file.allow=always")
    world.git(*allow, "submodule", "--quiet", "add", tmp_path / "library", "lib/one")
    world.git("commit", "-qm", "With a library")
    session = world.start()
    # In a box the git directory is where the submodule's .git file says; here it has moved.
    write(session.top / "lib/one/.git", f"gitdir: {session.git_dir}/modules/lib/one\n")
    modules = session.git_dir / "modules/lib/one"
    git(modules, "--git-dir=.", "config", "core.worktree", session.top / "lib/one")
    assert session.git("status", "--short") == ""
    inner = session.top / "lib/one"
    git(inner, "commit", "-q", "--allow-empty", "-m", "Inside")
    commit = git(inner, "rev-parse", "HEAD")
    write(inner / "loose", "x\n")
    work, imported = world.bring(session)
    assert work.warnings == ()
    (nested,) = work.nested
    assert (nested.path, nested.work.head, nested.is_new) == ("lib/one", commit, False)
    module = world.top / "lib/one"
    assert git(module, "rev-parse", "claude/x~") == commit
    assert git(module, "show", "claude/x:loose") == "x"
    pinned = world.git("ls-tree", "claude/x", "lib/one").split()[2]
    assert pinned == git(module, "rev-parse", "claude/x")
    assert ("submodule", "lib/one: branch claude/x") in imported.others
    discard(world.repository, KEY)
    assert KEY not in git(module, "for-each-ref")


def test_a_submodules_checkout_can_be_the_project(world, tmp_path):
    git(tmp_path, "init", "-q", "library")
    git(tmp_path / "library", "commit", "-q", "--allow-empty", "-m", "Library")
    allow = ("-c", "protocol.file.allow=always")
    world.git(*allow, "submodule", "--quiet", "add", tmp_path / "library", "lib")
    world.top = world.top / "lib"
    session = world.start()
    assert session.git("config", "core.worktree") == str(world.top)
    session.git("config", "core.worktree", session.top)
    write(session.top / "new", "x\n")
    world.bring(session)
    assert world.names("claude/x") == {"new"}


def test_repositories_in_the_tree_and_special_files_are_told(world):
    session = world.start()
    git(session.top, "init", "-q", "inner")
    git(session.top / "inner", "commit", "-q", "--allow-empty", "-m", "Inner")
    commit = git(session.top / "inner", "rev-parse", "HEAD")
    write(session.top / "inner/file", "x\n")
    write(session.top / "beside", "x\n")
    os.mkfifo(session.top / "pipe")
    (session.top / "README").unlink()
    os.mkfifo(session.top / "README")
    work, _ = world.bring(session)
    assert world.names("claude/x") == world.names("main") - {"README"} | {"beside"}
    kept = f"refs/clsecure/{KEY}/nested/1-inner/"
    told = f"inner is no repository of yours: its work is kept in this one, at {kept}"
    assert told in work.warnings
    assert world.git("rev-parse", f"{kept}HEAD", f"{kept}snapshot~").split() == [commit] * 2
    assert world.git("show", f"{kept}snapshot:file") == "x"
    assert "not a file that git can hold: README" in work.warnings


def test_unreadable_files_are_made_readable(world):
    session = world.start()
    write(session.top / "closed", "x\n", 0)
    write(session.top / "dir/inside", "y\n")
    paths = session.changed_paths()
    (session.top / "dir").chmod(0)
    # Root without these two capabilities is as bound by modes as any worker.
    session.prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    if os.geteuid():
        session.prefix = []
    work, _ = world.bring(session, paths=["closed", "dir"])
    assert set(paths) == {"closed", "dir/inside"}
    assert world.names("claude/x") - world.names("main") == {"closed", "dir/inside"}
    assert stat.S_IMODE((session.top / "dir").stat().st_mode) == 0o700
    assert work.warnings == ()


def test_a_failing_filter_loses_nothing(world):
    session = world.start()
    session.git("config", "filter.broken.clean", "false")
    session.git("config", "filter.broken.required", "true")
    write(session.top / ".gitattributes", "*.bin filter=broken\n")
    write(session.top / "x.bin", b"\0bytes\r\n")
    write(session.top / "y.txt", "fine\n")
    work, _ = world.bring(session)
    assert world.names("claude/x") - world.names("main") == {".gitattributes", "x.bin", "y.txt"}
    assert work.warnings == ("taken as it is, since its git filter failed: x.bin",)


def test_names_that_git_refuses_are_told(world):
    session = world.start()
    write(session.top / "dir/git~1/config", "x\n")
    write(session.top / "fine", "x\n")
    work, _ = world.bring(session)
    assert world.names("claude/x") - world.names("main") == {"fine"}
    assert "git refuses to hold this name: dir/git~1/config" in work.warnings


def test_unfinished_states_locks_and_a_damaged_config(world):
    session = world.start()
    session.git("commit", "-q", "--allow-empty", "-m", "Second")
    (session.git_dir / "rebase-merge").mkdir()
    for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock", "packed-refs.lock"):
        write(session.git_dir / name, "")
    write(session.git_dir / "clsecure-export-old/index", "left by a killed export")
    write(session.git_dir / "config", "[core\n")
    write(session.top / "new", "x\n")
    work, done = world.bring(session)
    assert done.commits == 2
    assert work.warnings == (
        "the session's git configuration was damaged and is left out",
        "a rebase is under way in the session",
    )
    assert not list(session.git_dir.glob("clsecure-export-*"))


def test_a_damaged_branch_does_not_hold_up_the_rest(world):
    session = world.start()
    session.git("switch", "-qc", "broken")
    write(session.top / "lost", "lost\n")
    session.commit("Broken")
    blob = session.git("rev-parse", "HEAD:lost")
    session.git("switch", "-q", "main")
    write(session.top / "new", "x\n")
    session.commit("Sound")
    (session.git_dir / "objects" / blob[:2] / blob[2:]).unlink()
    work, _ = world.bring(session)
    assert work.warnings == ("objects are missing, so this cannot come home: refs/heads/broken",)
    assert world.names("claude/x") - world.names("main") == {"new"}


def test_hooks_and_monitors_of_the_session_do_not_run(world, tmp_path):
    session = world.start()
    write(session.top / "evil", f"#!/bin/sh\ntouch {tmp_path}/ran\n", 0o755)
    session.git("config", "core.fsmonitor", session.top / "evil")
    session.git("config", "core.hooksPath", session.top)
    write(session.top / "reference-transaction", f"#!/bin/sh\ntouch {tmp_path}/ran\n", 0o755)
    session.git("status")
    assert (tmp_path / "ran").exists()  # the control: here they do
    (tmp_path / "ran").unlink()
    world.bring(session)
    assert not (tmp_path / "ran").exists()


def test_thousands_of_refs(world):
    commands = "".join(f"create refs/heads/h{n} {world.base}\n" for n in range(1500))
    world.git("update-ref", "--stdin", stdin=commands.encode())
    session = world.start()
    tree_id = session.git("rev-parse", "HEAD^{tree}")
    commit = session.git("commit-tree", "-p", "HEAD", "-m", "new", tree_id)
    commands = "".join(f"create refs/heads/s{n} {commit}\n" for n in range(3000))
    session.git("update-ref", "--stdin", stdin=commands.encode())
    work, done = world.bring(session)
    assert len(work.branches) == len(done.others) == 3000
    assert discover(world.top).head.commit == world.base


def test_what_came_home_once_comes_home_again(world):
    """A second fetch finds the first one's refs here, and must not take them for the human's."""
    write(world.top / "README", "mine\n")
    world.git("stash", "-q")
    session = world.start()
    write(session.top / "README", "stashed\n")
    session.git("stash", "-q")
    for _ in range(2):
        work = world.fetch(session)
        assert len(work.stashes) == 1
        assert world.content(f"refs/clsecure/{KEY}/stash/0", "README") == b"stashed"
