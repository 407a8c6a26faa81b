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


@pytest.mark.parametrize("mode", ["user", "namespace"])
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
