"""A full disk below /var/lib/clsecure: one clear line, nothing half made, no work lost.

In a mount namespace of its own, so that no other session of this machine is concerned.
"""

from __future__ import annotations

import subprocess

import pytest

from world.human import PROGRAM

pytestmark = pytest.mark.root

START = """
set -e
mount -t tmpfs -o mode=0700,size={size},nr_inodes={inodes} t /var/lib/clsecure
cd {project}
{commands}
"""


def in_small_state(human, project, commands, *, size="2m", inodes=400):
    """Run shell commands as root with a small /var/lib/clsecure; `as_human` runs the program."""
    script = START.format(size=size, inodes=inodes, project=project, commands=commands)
    prelude = f'as_human() {{ {" ".join(human.argv([PROGRAM]))} "$@"; }}\n'
    return subprocess.run(
        ["unshare", "-m", "bash", "-c", prelude + script],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def project(human):
    return human.repository()


@pytest.mark.parametrize(("size", "inodes"), [("64k", 400), ("4k", 400), ("2m", 8), ("2m", 4)])
def test_creation_without_room_says_so_and_leaves_nothing(human, project, size, inodes):
    big = human.write(".claude/CLAUDE.md", "x" * 300_000)
    ran = in_small_state(
        human,
        project,
        "as_human exec --mode user -- true || echo code $?\nfind /var/lib/clsecure -mindepth 1\n"
        "getent passwd | grep ^claude-worker-project | wc -l",
        size=size,
        inodes=inodes,
    )
    big.unlink()
    said = [line for line in ran.stderr.splitlines() if line.startswith("clsecure: ")]
    assert len(said) == 1, ran
    assert "room" in said[0] or "No space" in said[0]
    assert "Traceback" not in ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "code 4", ran
    left = [line for line in lines[1:-1] if not line.endswith(("users.lock", "last-uid"))]
    assert left == []


def test_control_with_room_it_is_made(human, project):
    ran = in_small_state(
        human,
        project,
        "as_human exec --mode user -- echo made\nas_human cleanup --all --yes",
        size="20m",
        inodes=4000,
    )
    assert "made" in ran.stdout, ran


@pytest.mark.parametrize("mode", ["user", "namespace", "container"])
def test_a_disk_full_of_work_keeps_the_work(human, mode):
    project = human.repository(f"src/full-{mode}")
    human.agent(
        "echo first > first.txt; git add -A; git commit -qm first; echo second > second.txt\n"
        "dd if=/dev/zero of=fill bs=64k 2>/dev/null; dd if=/dev/zero of=~/fill bs=1k 2>/dev/null\n"
        "echo third > third.txt || echo FULL"
    )
    ran = in_small_state(
        human,
        project,
        f"as_human --mode {mode} || echo code $?\n"
        "mount -o remount,size=40m /var/lib/clsecure\n"
        "as_human exec --mode user -- rm -f fill\n"
        "as_human import --branch b --yes || echo import $?\n"
        "as_human discard --yes || echo discard $?",
        size="4m",
        inodes=4000,
    )
    assert "Traceback" not in ran.stderr, ran
    assert "import" not in [line.split()[0] for line in ran.stdout.splitlines() if line], ran
    assert "imported: branch b" in ran.stdout, ran
    assert "removed: claude-worker-" in ran.stdout, ran
    shown = human.run("git", "show", "b:second.txt", cwd=project).stdout
    assert shown == "second\n"
    log = human.run("git", "log", "--format=%s", "b", cwd=project).stdout.splitlines()
    assert "first" in log


def test_a_copy_for_which_there_is_no_room_is_no_session(human):
    project = human.repository("src/copied")
    human.write(project / "large", "x" * 3_000_000)
    ran = in_small_state(
        human,
        project,
        "as_human exec --workspace clone -- true || echo code $?\n"
        "find /var/lib/clsecure -mindepth 1\n"
        "getent passwd | grep ^claude-worker-copied- || echo no user",
        size="2m",
        inodes=4000,
    )
    assert "clsecure: the project could not be copied into the session: " in ran.stderr, ran
    first, *left, last = ran.stdout.splitlines()
    assert (first, last) == ("code 4", "no user"), ran
    assert sorted(path.rpartition("/")[2] for path in left) == ["last-uid", "users.lock"]


_FULL_REPOSITORY = """
set -e
cd {home}
mount -t tmpfs -o size=4m,mode=755 none full
chown {name} full
as_human() {{ (cd full; {argv} "$@"); }}
{git} init -q full; {git} -C full commit -q --allow-empty -m first
as_human exec -- sh -c 'head -c 200000 /dev/urandom > work' 2> /dev/null
dd if=/dev/zero of=full/.git/filling bs=4k 2> /dev/null || true
truncate -s -{room}k full/.git/filling
before=$({git} -C full for-each-ref)
as_human import --branch b --yes || echo "code $?"
test "$before" = "$({git} -C full for-each-ref)"
{git} -C full status --porcelain
find full/.git -name 'tmp*' -o -name '*.lock' -o -name '*.pack' | sed 's/^/left /'
rm full/.git/filling
as_human import --branch b --yes
{git} -C full show b:work | wc -c
"""


@pytest.mark.parametrize("room", [0, 4, 100, 240])  # KiB; the work takes 400
def test_an_import_into_a_full_repository_can_be_done_again(human, room):
    human.run("mkdir", "-p", "full")
    script = _FULL_REPOSITORY.format(
        home=human.home,
        name=human.name,
        argv=" ".join(human.argv([PROGRAM])),
        git=" ".join(human.argv(["git"])),
        room=room,
    )
    ran = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    human.clsecure("cleanup", "--all", "--yes")
    assert ran.returncode == 0, ran
    first, *_, last = ran.stdout.splitlines()
    assert first in ("code 6", "code 1"), ran
    assert last == "200000"
    assert "left " not in ran.stdout
    complaint, hint, rest = ran.stderr.splitlines()
    assert complaint.startswith("clsecure: ")
    assert any(words in complaint for words in ("No space left on device", "Out of diskspace"))
    assert "OSError" not in complaint
    assert hint.startswith("hint: make room in your repository's file system;")
    assert rest == "look at it: git log -p b"
    assert ran.stdout.count("imported: branch b") == 1
