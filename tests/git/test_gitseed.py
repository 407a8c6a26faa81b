"""What a fresh session's git directory holds, and what must never be in it."""

import os

import pytest
from gitworld import git, write

from clsecure.workspace.gitconfig import without_credentials
from clsecure.workspace.gitseed import BORROWED, git_seed, object_stores


def config_of(world) -> str:
    seed = git_seed(world.repository)
    (found,) = [file.content for file in seed.files if file.path == "config"]
    path = world.tmp_path / "seeded"
    write(path, found)
    return git(world.tmp_path, "config", "--file", path, "--list")


def test_the_session_sees_the_same_repository(world):
    world.git("branch", "topic/x")
    world.git("tag", "-a", "v1", "-m", "Version")
    world.git("tag", "-a", "v2", "v1", "-m", "A tag of a tag")
    world.git("update-ref", "refs/remotes/origin/main", "HEAD")
    world.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    write(world.top / "staged", "x\n")
    world.git("add", "staged")
    write(world.top / "README", "dirty\n")
    write(world.top / "untracked", "x\n")
    session = world.start()
    for question in (
        ("status", "--porcelain", "--branch"),
        ("show-ref", "-d"),
        ("log", "--format=%H %d", "--all"),
        ("describe", "--tags"),
        ("diff", "--cached"),
        ("symbolic-ref", "refs/remotes/origin/HEAD"),
    ):
        expected = world.git(*question)
        answer = session.git(*question)
        kept = [line for line in expected.splitlines() if "refs/clsecure/" not in line]
        assert answer.splitlines() == kept or question[0] == "log"
    session.git("fsck", "--strict")


def test_objects_are_borrowed_by_number(world):
    git(world.tmp_path, "clone", "-q", "--shared", world.top, "clone")
    world.top = world.tmp_path / "clone"
    seed = git_seed(world.repository)
    alternates = [file for file in seed.files if file.path == "objects/info/alternates"]
    assert alternates[0].content == f"{BORROWED}/0\n{BORROWED}/1\n".encode()
    assert seed.objects == (
        world.tmp_path / "clone/.git/objects",
        world.tmp_path / "project/.git/objects",
    )


def test_alternates_may_be_relative_quoted_or_circular(world, tmp_path):
    for name in ("b", "c d", 'e"f'):
        (tmp_path / name / "info").mkdir(parents=True)
    info = world.top / ".git/objects/info/alternates"
    write(info, f'# a comment\n../../../b\n"{tmp_path}/e\\"f"\n{tmp_path}/nowhere\n')
    write(tmp_path / "b/info/alternates", "../c d\n../project/.git/objects\n")
    stores = object_stores(world.top / ".git")
    assert [store.name for store in stores] == ["objects", "b", 'e"f', "c d"]


def test_the_index_travels_as_a_file(world):
    world.git("update-index", "--split-index")
    seed = git_seed(world.repository)
    given = {file.path: file.content for file in seed.files}
    assert given["index"] == world.top / ".git/index"
    assert any(path.startswith("sharedindex.") for path in given)


def test_a_merge_under_way_is_there(world):
    world.git("switch", "-qc", "other")
    write(world.top / "README", "theirs\n")
    world.git("commit", "-qam", "Theirs")
    world.git("switch", "-q", "main")
    write(world.top / "README", "ours\n")
    world.git("commit", "-qam", "Ours")
    world.git("merge", "other", check=False)
    session = world.start()
    assert "UU README" in session.git("status", "--short")
    write(session.top / "README", "both\n")
    session.git("commit", "-qam", "Merged")
    work, _ = world.bring(session)
    assert len(world.git("rev-list", "--parents", "-1", work.head).split()) == 3


def test_settings_that_run_things_or_hold_secrets_stay_outside(world, hermetic):
    evil = world.tmp_path / "included"
    write(evil, '[filter "lfs"]\n\tclean = git-lfs clean\n[alias]\n\tx = !evil\n')
    world.git("config", "include.path", evil)
    for key, value in {
        "core.hooksPath": world.tmp_path / "nowhere",
        "core.fsmonitor": "evil",
        "core.sshCommand": "evil",
        "core.editor": "evil",
        "core.worktree": "/somewhere",
        "credential.helper": "store",
        "credential.https://example.org.username": "me",
        "http.extraHeader": "Authorization: secret",
        "url.https://me:secret@example.org/.insteadOf": "gh:",
        "remote.origin.url": "https://me:secret@example.org/x.git",
        "remote.origin.pushurl": "ssh://git:secret@example.org/x.git",
        "remote.origin.uploadpack": "evil",
        "branch.main.remote": "https://secret@example.org/y",
        "lfs.https://me:secret@example.org/x.access": "basic",
        "diff.external": "evil",
        "commit.gpgsign": "true",
        "commit.template": "/somewhere",
        "gpg.program": "evil",
        "extensions.worktreeConfig": "true",
        "core.repositoryFormatVersion": "1",
    }.items():
        world.git("config", key, value)
    world.git("config", "--unset", "core.worktree")
    text = config_of(world)
    for word in ("secret", "evil", "hook", "helper", "gpg", "include", "alias", "template"):
        assert word not in text.lower(), word
    for line in (
        "remote.origin.url=https://example.org/x.git",
        "remote.origin.pushurl=ssh://git@example.org/x.git",
        "filter.lfs.clean=git-lfs clean",
        "user.name=Human",
        "gc.auto=0",
        "core.repositoryformatversion=0",
        "core.bare=false",
    ):
        assert line in text.splitlines(), line


def test_hooks_run_inside(world, hermetic):
    hook = "#!/bin/sh\necho ran > by-hook\n"
    write(world.top / ".git/hooks/pre-commit", hook, 0o755)
    write(world.top / ".git/hooks/commit-msg", "#!/bin/sh\nexit 1\n")  # not to be run
    session = world.start()
    session.git("commit", "-q", "--allow-empty", "-m", "x")
    assert (session.top / "by-hook").read_text() == "ran\n"
    write(hermetic / "hooks/pre-commit", hook.replace("ran", "everywhere"), 0o755)
    world.git("config", "--global", "core.hooksPath", "~/hooks")
    session = world.start("two")
    session.git("commit", "-q", "--allow-empty", "-m", "x")
    assert (session.top / "by-hook").read_text() == "everywhere\n"
    write(world.top / ".husky/pre-commit", ". ./.husky/lib", 0o755)
    write(world.top / ".husky/lib", "echo beside > by-hook")
    world.git("config", "core.hooksPath", ".husky")
    world.git("add", "-A")
    seed = git_seed(world.repository)
    assert not [file.path for file in seed.files if file.path.startswith("hooks/")]
    assert f"core.hookspath={world.top}/.husky" in config_of(world).splitlines()


def test_the_worker_knows_who_the_human_is_everywhere(world):
    world.git("config", "--global", "credential.helper", "store")
    world.git("config", "user.name", "In this one")
    text = git_seed(world.repository).home_config
    write(world.tmp_path / "seeded", text)
    listed = git(world.tmp_path, "config", "--file", "seeded", "--list").splitlines()
    assert listed == ["user.name=Human", "user.email=human@example.org", "init.defaultbranch=main"]


def test_the_effective_identity_is_taken(world, hermetic):
    write(world.tmp_path / "work", "[user]\n\temail = at@work\n")
    with (hermetic / ".gitconfig").open("a") as file:
        file.write(f'[includeIf "gitdir:{world.top}/"]\n\tpath = {world.tmp_path}/work\n')
    session = world.start()
    assert session.git("config", "user.email") == "at@work"
    world.git("config", "user.name", 'A "quoted" \\ näme\twith tab')
    assert world.start("two").git("config", "user.name") == 'A "quoted" \\ näme\twith tab'


def test_worktree_settings_do_not_confuse(world):
    world.git("config", "extensions.worktreeConfig", "true")
    world.git("config", "--worktree", "core.bare", "false")
    git(world.tmp_path, "clone", "-q", "--bare", world.top, "bare.git")
    git(world.tmp_path / "bare.git", "worktree", "add", "-q", "../wt", "main")
    world.top = world.tmp_path / "wt"
    session = world.start()
    assert session.git("status", "--short") == ""
    assert session.git("config", "core.bare") == "false"


def test_the_humans_global_ignore_file_counts(world, hermetic):
    write(hermetic / ".config/git/ignore", ".idea/")
    write(world.top / ".git/info/exclude", "local\n")
    session = world.start()
    write(session.top / ".idea/x", "x")
    write(session.top / "local", "x")
    assert session.git("status", "--short") == ""
    write(hermetic / "other", "*.tmp\n")
    world.git("config", "--global", "core.excludesFile", "~/other")
    session = world.start("two")
    write(session.top / "a.tmp", "x")
    assert session.git("status", "--short") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.org/x", "https://example.org/x"),
        ("https://me@example.org/x", "https://example.org/x"),
        ("https://me:p@ss@example.org/x", "https://example.org/x"),
        ("ssh://git@example.org/x", "ssh://git@example.org/x"),
        ("ssh://git:pw@example.org/x", "ssh://git@example.org/x"),
        ("git@example.org:x", "git@example.org:x"),
        ("https://example.org/a@b", "https://example.org/a@b"),
        ("/path/a@b", "/path/a@b"),
        ("ext::https://t:k@h/x", "ext::https://h/x"),
    ],
)
def test_credentials_in_addresses(text, expected):
    assert without_credentials(text) == expected


def test_odd_remote_and_branch_names_survive(world):
    name = os.fsdecode(b'odd "name\\ \xc3\xbc \xff')
    world.git("config", f"branch.{name}.remote", "origin")
    session = world.start()
    assert session.git("config", f"branch.{name}.remote") == "origin"
