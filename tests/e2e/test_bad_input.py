"""What cannot be done is one line, a hint and a code: nothing is made, no traceback is shown."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.machine import clsecure_after, without

_FIREJAIL, _BUBBLEWRAP, _SUDO = "/usr/bin/firejail", "/usr/bin/bwrap", "/usr/bin/sudo"


@pytest.fixture
def top(human):
    human.agent("echo ran > made")
    made = human.home / "src/project"
    return made if made.exists() else human.repository()


def complaint(ran):
    """The one line and the hint; nothing else was said."""
    assert ran.stdout == ""
    lines = [line for line in ran.stderr.splitlines() if not line.startswith("sudo: ")]
    assert len(lines) in (1, 2), ran.stderr
    assert lines[0].startswith("clsecure: ")
    assert all(line.startswith("hint: ") for line in lines[1:])
    return lines[0].removeprefix("clsecure: ")


_WORDS = {
    "unknown option": (("--mod", "user"), "unknown option --mod"),
    "unknown command": (("runn",), "there is no command runn"),
    "bad mode": (("--mode", "jail"), "--mode cannot be 'jail'"),
    "bad engine": (("--engine", "docker"), "--engine cannot be 'docker'"),
    "no value": (("--session",), "--session needs a value"),
    "name with space": (("-s", "a b"), "-s cannot be 'a b'"),
    "name with slash": (("--session", "../x"), "--session cannot be '../x'"),
    "long name": (("--session", "x" * 65), "--session cannot be 'xxx"),
    "empty name": (("--session", ""), "--session cannot be ''"),
    "exec without a command": (("exec",), "exec needs a command"),
    "words without --": (("run", "fix", "it"), "words for the agent must stand behind --"),
    "list takes none": (("list", "more"), "list does not take more"),
    "not of this command": (("list", "--branch", "x"), "--branch does not go with list"),
    "import of nothing": (("import", "--yes"), "there is no session for this project"),
    "show of nothing": (("show", "-s", "none"), "there is no session none for this project"),
}


@pytest.mark.parametrize("what", _WORDS)
def test_words(human, top, what):
    words, expected = _WORDS[what]
    assert complaint(human.clsecure(*words, cwd=top, code=2)).startswith(expected)


_PLACES = {
    "no repository": ("true", "not a git repository: "),
    "empty": ("git init -q", "the repository has no commit yet: "),
    "bare": ("git init -q --bare", "a bare repository has no working tree: "),
    "inside .git": ("git init -q sub; cd sub/.git", "inside a git directory: "),
}


@pytest.mark.parametrize("what", _PLACES)
def test_places(human, top, what, tmp_path_factory):
    command, expected = _PLACES[what]
    place = human.home / f"places/{what}"
    human.run("mkdir", "-p", place)
    at = human.run("sh", "-c", f"{command}; pwd", cwd=place).stdout.strip()
    assert complaint(human.clsecure(cwd=Path(at), code=2)).startswith(expected)


def test_the_current_directory_is_gone(human, top):
    ran = human.run("sh", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$0"', _program(), code=1)
    assert complaint(ran) == "the current directory is gone"


def test_a_repository_of_another_user(human, top, tmp_path):
    place = Path(f"/opt/clsecure-test-{human.name}")
    try:
        subprocess.run(["git", "init", "-q", str(place)], check=True)
        assert "belongs to another user" in complaint(human.clsecure(cwd=place, code=3))
    finally:
        subprocess.run(["rm", "-rf", str(place)], check=True)


def test_the_home_directory_is_no_project(human, top):
    human.run("sh", "-c", "git init -q; git commit -q --allow-empty -m first", cwd=human.home)
    try:
        assert "it holds your home directory" in complaint(human.clsecure(cwd=human.home, code=3))
    finally:
        human.run("rm", "-rf", human.home / ".git")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mode = namespace\nmode = jail\n", ".clsecurerc:2: mode cannot be 'jail'"),
        ("cleanup_hook_timeout = 4\n", ".clsecurerc:1: cleanup_hook_timeout cannot be '4'"),
        ("# x\n\nnonsense\n", ".clsecurerc:3: this line is not `key = value`"),
    ],
)
def test_settings(human, top, text, expected):
    file = human.write(".clsecurerc", text)
    try:
        assert expected in complaint(human.clsecure(cwd=top, code=2))
    finally:
        human.run("rm", file)


_MISSING = {
    "both engines": (without(_FIREJAIL, _BUBBLEWRAP), (), "namespace mode needs firejail or"),
    "firejail": (without(_FIREJAIL), ("--engine", "firejail"), "firejail is not installed"),
    "bubblewrap": (without(_BUBBLEWRAP), ("--engine", "bubblewrap"), "bubblewrap is not installed"),
    "podman": (
        without("/usr/bin/podman"),
        ("--mode", "container"),
        "container mode needs podman, which",
    ),
    "newuidmap": (
        without("/usr/bin/newuidmap"),
        ("--mode", "container"),
        "container mode needs podman, and its uidmap is",
    ),
    "crun": (
        without("/usr/bin/crun"),
        ("--mode", "container"),
        "container mode needs podman, and its crun is not installed",
    ),
    "sudo": (without(_SUDO), (), "sudo is not installed"),
    "git": (without("/usr/bin/git"), (), "git "),
}


@pytest.mark.parametrize("what", _MISSING)
def test_missing_programs(human, top, what):
    changes, words, expected = _MISSING[what]
    said = complaint(clsecure_after(human, changes, *words, cwd=top, code=4))
    assert said.startswith(expected)


def test_one_engine_stands_in_for_the_other(human, top):
    ran = clsecure_after(human, without(_FIREJAIL), "-s", "stand-in", cwd=top)
    assert ran.stderr.startswith("namespace mode (bubblewrap) · ")


@contextmanager
def without_rule(human):
    rule = Path(f"/etc/sudoers.d/{human.name}")
    content = rule.read_text()
    rule.write_text("# nothing\n")
    try:
        yield
    finally:
        rule.write_text(content)


def test_no_right_to_sudo(human, top):
    with without_rule(human):
        for words in ((), ("--no-input",), ("list",), ("exec", "--", "true")):
            ran = human.clsecure(*words, cwd=top, code=4)
            assert complaint(ran) == "sudo did not allow it"


def _program():
    from world.human import PROGRAM

    return PROGRAM


_OVERLAID = (
    'mkdir -p "$0"/../up "$0"/../work; chown --reference "$0" "$0"/../up; mount -t overlay overlay '
    '-o "lowerdir=$0,upperdir=$0/../up,workdir=$0/../work" "$0"'
)


def test_where_no_overlay_can_be_had(human, top):
    human.repository("below/project")
    below = human.home / "below/project"
    ran = clsecure_after(human, _OVERLAID, "--workspace", "overlay", cwd=below, code=4)
    assert complaint(ran).startswith("a copy-on-write workspace is not possible here: an overlay")
    ran = clsecure_after(human, _OVERLAID, cwd=below)
    assert "cloned project (an overlay cannot be the lower layer" in ran.stderr
    ran = clsecure_after(human, _OVERLAID, "show", "--json", cwd=below)
    assert '"path": "made"' in ran.stdout


@pytest.mark.parametrize("filesystem", ["tmpfs", "ext4"])
def test_projects_on_other_file_systems(human, filesystem):
    human.agent("echo ran > made")
    place = human.home / f"on-{filesystem}"
    human.run("mkdir", place)
    device = human.home / f"{filesystem}.image"
    mount = f"mount -t tmpfs none {place}"
    if filesystem != "tmpfs":
        with device.open("wb") as file:
            file.truncate(32 << 20)
        subprocess.run(["mkfs", "-q", "-t", filesystem, str(device)], check=True)
        mount = f"mount -o loop {device} {place}"
    mount += f"; chown {human.name} {place}; su {human.name} -c 'cd {place}; git init -q; "
    mount += "git commit -q --allow-empty -m first'"
    ran = clsecure_after(human, mount, "--on-exit", "import", cwd=place)
    assert "copy-on-write view" in ran.stderr
    assert "imported: branch claude/" in ran.stderr


def test_no_room_for_a_session(human, top):
    full = "mount -t tmpfs -o size=16k,mode=700 none /var/lib/clsecure"
    accounts = Path("/etc/passwd").read_text().count("claude-worker-full-")
    project = human.repository("full")
    ran = clsecure_after(human, full, cwd=project, code=None)
    assert ran.returncode in (1, 4)
    said = complaint(ran)
    assert "No space left on device" in said
    assert Path("/etc/passwd").read_text().count("claude-worker-full-") == accounts
    assert set(os.listdir(project)) == {".git", "README"}


def test_another_repository_at_the_same_path(human):
    human.agent("echo ran > made")
    top = human.repository("renewed")
    human.clsecure(cwd=top)
    human.run("rm", "-rf", top)
    human.run("git", "config", "--global", "user.name", "B Human")
    human.repository("renewed")
    said = complaint(human.clsecure(cwd=top, code=3))
    assert said.endswith("which this repository does not have")
    ran = human.clsecure("--fresh", "--yes", "--on-exit", "import", "--branch", "b", cwd=top)
    assert "imported: branch b" in ran.stderr
