"""What of a session's changes a person should read, because the host would run it."""

import os

import pytest
from gitworld import write

from clsecure.git import Git
from clsecure.homecoming.branch import hooks_in_tree
from clsecure.homecoming.changes import diff, entries, log
from clsecure.homecoming.review import Entry, review

NEW = "000000"


def kinds(path, mode="100644", old_mode=NEW, old=None, new=b"", **options):
    return [finding.kind for finding in review([Entry(path, old_mode, mode, old, new)], **options)]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".husky/pre-commit", "git hook"),
        (".pre-commit-config.yaml", "git hook"),
        (".github/workflows/ci.yml", "ci"),
        ("Jenkinsfile", "ci"),
        (".gitlab-ci.yml", "ci"),
        (".circleci/config.yml", "ci"),
        (".vscode/tasks.json", "editor"),
        ("packages/app/.VSCode/launch.json", "editor"),
        (".idea/runConfigurations/x.xml", "editor"),
        (".devcontainer/devcontainer.json", "editor"),
        (".envrc", "shell"),
        (".mcp.json", "agent"),
        (".claude/settings.json", "agent"),
        ("CLAUDE.md", "agent"),
        (".cursor/rules/x", "agent"),
        ("setup.py", "build"),
        ("Makefile", "build"),
        ("build.rs", "build"),
        ("gradlew", "build"),
        (".npmrc", "packages"),
        (".lfsconfig", "git"),
        (".clsecure/on-cleanup", "clsecure"),
    ],
)
def test_files_that_run(path, kind):
    assert kinds(path) == [kind]


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "src/main.py",
        "conftest.py",
        "tests/test_x.py",
        "setup.cfg",
        "docs/makefiles.md",
    ],
)
def test_files_that_do_not(path):
    assert kinds(path) == []


def test_what_is_deleted_runs_nothing():
    assert kinds(".envrc", mode=NEW, old_mode="100644") == []


def test_new_exec_bits_submodules_and_links():
    assert kinds("x", mode="100755") == ["executable"]
    assert kinds("x", mode="100755", old_mode="100755") == []
    assert kinds("x", mode="160000") == ["submodule"]
    for target, found in {
        b"../x": ["link"],
        b"/etc/passwd": ["link"],
        b"../../x": ["link"],
        b"b": [],
        b"../a/.git/hooks": ["link"],
        b".": [],
    }.items():
        assert kinds("a/link", mode="120000", new=target) == ([] if target == b"../x" else found), (
            target
        )


@pytest.mark.parametrize(
    ("path", "old", "new", "found"),
    [
        ("package.json", b'{"version":"1"}', b'{"version":"2"}', []),
        ("package.json", b"{}", b'{"scripts":{"postinstall":"x"}}', ["build"]),
        ("a/package.json", None, b"not json", ["build"]),
        ("package.json", None, None, ["build"]),
        ("pyproject.toml", b"", b"[tool.ruff]\n", []),
        ("pyproject.toml", b"", b'[build-system]\nrequires = ["x"]\n', ["build"]),
        (".gitattributes", b"", b"* text=auto\n", []),
        (".gitattributes", b"", b"* filter=evil\n", ["git"]),
        (".gitmodules", b"", b'[submodule "x"]\n\tpath = x\n', []),
        (".gitmodules", b"", b'[submodule "x"]\n\turl = x\n', ["submodule"]),
    ],
)
def test_files_in_which_some_lines_matter(path, old, new, found):
    assert kinds(path, old_mode="100644", old=old, new=new) == found


def test_the_directory_of_the_humans_hooks(world):
    assert hooks_in_tree(world.repository) is None
    world.git("config", "core.hooksPath", ".git/hooks")
    assert hooks_in_tree(world.repository) is None
    world.git("config", "core.hooksPath", "/usr/share/hooks")
    assert hooks_in_tree(world.repository) is None
    world.git("config", "core.hooksPath", "tools/hooks")
    assert hooks_in_tree(world.repository) == "tools/hooks"
    assert kinds("tools/hooks/pre-push", hooks_path="tools/hooks") == ["git hook"]
    assert kinds("tools/hooks2/pre-push", hooks_path="tools/hooks") == []


def test_contents_are_read_from_the_repository(world):
    session = world.start()
    write(session.top / "package.json", '{"scripts":{"test":"x"}}')
    write(session.top / "large/package.json", " " * (2 << 20))
    (session.top / "out").symlink_to("/etc")
    write(session.top / "plain", "x")
    work = world.fetch(session)
    found = review(entries(Git(world.repository), work.changes))
    assert [(each.path, each.kind) for each in found] == [
        ("large/package.json", "build"),
        ("out", "link"),
        ("package.json", "build"),
    ]
    assert "too large" in found[0].why


def test_diff_and_log_are_escaped_and_run_nothing(world):
    ran = world.tmp_path / "ran"
    world.git("config", "diff.external", f"touch {ran}; true")
    world.git("config", "diff.evil.textconv", f"touch {ran}; cat")
    write(world.top / ".gitattributes", "*.txt diff=evil\n")
    world.git("add", "-A")
    world.git("commit", "-qm", "Attributes")
    session = world.start()
    write(session.top / "x.txt", "\x1b[2J\x07\u202e\n")
    write(session.top / os.fsdecode(b"\xff\x1b.bin"), b"\0\1")
    session.commit("Odd \x1b[2J subject")
    work = world.fetch(session)
    git = Git(world.repository)
    text = diff(git, work.base, work.tip)
    assert "+\\x1b[2J\\x07\\u202e\n" in text
    assert "\x1b" not in text + log(git, work.base, work.tip) + diff(
        git, work.base, work.tip, "--stat"
    )
    assert "\\x1b[2J subject" in log(git, work.base, work.tip)
    assert not ran.exists()
    for control in ("--no-ext-diff", "--no-textconv"):  # git runs both where it may
        world.git("diff", control, work.base, work.tip)
        assert ran.exists()
        ran.unlink()
