"""Limits against an agent that takes all it can: the host goes on, and the person is told which.

Each attempt has a control that shows it to go past where the limit would be, without doing harm.
"""

from __future__ import annotations

import json
import re
import secrets
import statistics
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import killing
import pytest

from e2e.boxes import Kind
from world.leftovers import cgroups, loop_devices, mounts_of

pytestmark = pytest.mark.root

BOXES = [
    Kind("user", "none", "overlay"),
    Kind("namespace", "firejail", "overlay"),
    Kind("namespace", "bubblewrap", "overlay"),
    Kind("container", "podman", "overlay"),
]
RESPONSIVE = 1.0  # seconds that a trivial command of the host's may take, at the median

HOG = 'held = bytearray(300 << 20); print("has it")'
GROWING = "held = [bytearray(8 << 20) for _ in range(100)]; print('has it')"  # 800 MiB
MANY = """
import os, time
for number in range(300):
    try:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
    except OSError as error:
        print('refused', error.errno)
        raise SystemExit
print('300 run')
"""
FORK_BOMB = ":() { :|:& }; :; sleep 30"
FILLER = "dd if=/dev/urandom of=fill bs=1M count=100 2>&1; stat -c %s fill"
SPINNING = (
    "for n in 1 2 3 4; do (while :; do :; done) & done; sleep 2; kill %1 %2 %3 %4; wait; times"
)


@pytest.fixture(params=BOXES, ids=str)
def box(request):
    return request.param


@pytest.fixture(scope="module")
def project(human):
    """A repository whose name no other run has, so that its workers' names tell them apart."""
    return human.repository(f"src/{secrets.token_hex(4)}")


@pytest.fixture(autouse=True)
def _nothing_is_left(human, project):
    yield
    human.clsecure("discard", "--yes", cwd=project, code=None)
    name = killing.prefix(project.name)
    assert not [place for place in cgroups() if place.name.startswith(name)]
    assert not [line for line in loop_devices() if name in line]
    assert mounts_of(name) == []
    assert killing.worker_names(name) == set()


class Pulse:
    """How long a trivial command of the host's takes, again and again."""

    def __init__(self):
        self.times = []

    def beat(self, end):
        while not end.is_set():
            began = time.monotonic()
            subprocess.run(["/bin/true"], check=True)
            self.times.append(time.monotonic() - began)
            time.sleep(0.02)

    def assert_well(self):
        assert len(self.times) > 5
        assert statistics.median(self.times) < RESPONSIVE, self.times
        assert max(self.times) < 5 * RESPONSIVE, self.times


@contextmanager
def pulse():
    """Measure the host for the time of an attack."""
    measured, end = Pulse(), Event()
    thread = Thread(target=measured.beat, args=(end,))
    thread.start()
    try:
        yield measured
    finally:
        end.set()
        thread.join()


def run(human, project, box, *words, code=0):
    return human.clsecure("exec", *box.flags, *words, cwd=project, code=code)


def test_a_memory_hog_is_ended(human, project, box):
    with pulse() as host:
        ran = run(
            human, project, box, "--memory", "100M", "--", "python3", "-c", GROWING, code=None
        )
    assert ran.returncode == 137, ran
    assert "memory: the limit of 100M was reached, 1 process was ended" in ran.stderr
    host.assert_well()


def test_control_without_a_limit_it_gets_its_memory(human, project, box):
    assert run(human, project, box, "--", "python3", "-c", HOG).stdout == "has it\n"
    limited = run(human, project, box, "--memory", "100M", "--", "python3", "-c", HOG, code=None)
    assert limited.stdout == ""


def test_files_in_memory_count_and_leave_room_for_programs(human, project, box):
    # firejail lays a file system of its own over /var/tmp, whose size is not limited.
    script = "for place in /tmp /dev/shm; do head -c 300M /dev/zero > $place/fill; done;"
    ran = run(human, project, box, "--memory", "100M", "--", "sh", "-c", f"{script} echo lives")
    assert ran.stdout == "lives\n"
    assert ran.stderr.count("No space left on device") == 2


def test_processes_are_refused_past_the_limit(human, project, box):
    ran = run(human, project, box, "--pids", "100", "--", "python3", "-c", MANY)
    assert ran.stdout == "refused 11\n"
    assert "pids: the limit of 100 was reached, 1 new one was refused" in ran.stderr


def test_control_without_a_limit_300_processes_run(human, project, box):
    ran = run(human, project, box, "--", "python3", "-c", MANY)
    assert ran.stdout == "300 run\n"
    assert "limit" not in ran.stderr


def test_a_fork_bomb_ends_with_its_time(human, project, box):
    words = ("--pids", "100", "--time", "3s", "--", "bash", "-c", FORK_BOMB)
    with pulse() as host:
        began = time.monotonic()
        ran = run(human, project, box, *words, code=None)
        took = time.monotonic() - began
    assert re.search("pids: the limit of 100 was reached, [0-9]+ new ones were refused", ran.stderr)
    assert took < 15, ran
    host.assert_well()


def test_a_disk_filler_meets_the_end_and_its_work_comes_home(human, project, box):
    with pulse() as host:
        ran = run(human, project, box, "--disk", "64M", "--", "sh", "-c", FILLER)
    assert "No space left on device" in ran.stdout
    written = int(ran.stdout.splitlines()[-1])
    assert 60 << 20 < written < 72 << 20
    assert "disk: the limit of 64M was reached" in ran.stderr
    host.assert_well()
    state = Path("/var/lib/clsecure")
    (image,) = state.glob(f"{killing.prefix(project.name)}*/disk.img")
    assert image.stat().st_blocks * 512 < 80 << 20
    (listed,) = json.loads(human.clsecure("list", "--json").stdout)
    assert listed["disk"] == image.stat().st_blocks * 512
    branch = f"filled-{box}"
    human.clsecure("import", "--branch", branch, "--yes", cwd=project)
    size = human.run("git", "cat-file", "-s", f"{branch}:fill", cwd=project).stdout
    assert int(size) == written
    # What is removed can be written again: bringing it home took nothing for good.
    again = run(human, project, box, "--", "sh", "-c", "rm fill; head -c 50M /dev/zero > fill")
    assert again.stderr == ""


def test_a_disk_full_of_empty_files_can_be_opened_and_comes_home(human, project):
    script = "n = 0\nwhile True:\n    open(f'empty-{n}', 'w').close()\n    n += 1"
    user = BOXES[0]
    ran = run(human, project, user, "--disk", "32M", "--", "python3", "-c", script, code=1)
    assert "No space left on device" in ran.stderr
    assert "disk: the limit of 32M was reached" in ran.stderr
    human.clsecure("import", "--branch", "empty", "--yes", cwd=project)
    listed = human.run("git", "ls-tree", "-r", "--name-only", "empty", cwd=project).stdout
    assert len(listed.splitlines()) > 10_000


def test_a_disk_that_was_not_unmounted_is_mended(human, project):
    user = BOXES[0]
    run(human, project, user, "--disk", "64M", "--", "sh", "-c", "echo work > work")
    (image,) = Path("/var/lib/clsecure").glob(f"{killing.prefix(project.name)}*/disk.img")
    _wait_until_unmounted(image)
    # As a power failure leaves it.
    words = ("debugfs", "-w", "-R", "set_super_value state 0", image)
    subprocess.run(words, check=True, capture_output=True)
    assert run(human, project, user, "--", "cat", "work").stdout == "work\n"
    _wait_until_unmounted(image)
    shown = subprocess.run(
        ["dumpe2fs", "-h", image], capture_output=True, text=True, check=True
    ).stdout
    assert "Filesystem state:         clean" in shown


def _wait_until_unmounted(image):
    end = time.monotonic() + killing.SECONDS
    while [line for line in loop_devices() if str(image) in line]:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_control_without_a_limit_it_writes_on(human, project, box):
    ran = run(human, project, box, "--", "sh", "-c", FILLER)
    assert ran.stdout.splitlines()[-1] == str(100 << 20)
    assert not list(Path("/var/lib/clsecure").glob(f"{killing.prefix(project.name)}*/disk.img"))


def processors_used(ran):
    """Seconds that the children took, of what `times` prints in its last line."""
    minutes, seconds = re.findall(r"(\d+)m([\d.]+)", ran.stdout.splitlines()[-1])[0]
    return int(minutes) * 60 + float(seconds)


def test_a_busy_loop_is_slowed_down_and_ends_with_its_time(human, project, box):
    with pulse() as host:
        ran = run(human, project, box, "--cpus", "0.2", "--", "bash", "-c", SPINNING)
        assert processors_used(ran) < 0.7
        looping = run(
            human, project, box, "--cpus", "0.2", "--time", "1s", "--", "sh", "-c",
            "while :; do :; done", code=124,
        )  # fmt: skip
    assert "time: the limit of 1s was reached, the command was ended" in looping.stderr
    host.assert_well()


def test_control_without_a_limit_it_takes_more(human, project, box):
    ran = run(human, project, box, "--", "bash", "-c", SPINNING)
    assert processors_used(ran) > 0.7


def test_an_agent_over_a_limit_ends_cleanly_with_its_work_kept(human, project):
    human.agent(f"echo work > work\nexec python3 -c '{HOG}'")
    human.write("limits/clsecure/config", "memory = 100M\ntime = 1m\n")
    env = {"XDG_CONFIG_HOME": str(human.home / "limits")}
    ran = human.clsecure("--mode", "user", cwd=project, env=env, code=137)
    assert "limits: memory 100M, time 60s" in ran.stderr
    assert "memory: the limit of 100M was reached, 1 process was ended" in ran.stderr
    assert "kept: `clsecure` resumes" in ran.stderr
    human.clsecure("import", "--branch", "over", "--yes", cwd=project)
    assert human.run("git", "show", "over:work", cwd=project).stdout == "work\n"


@pytest.mark.parametrize("victim", ["helper", "cli"])
def test_a_killed_session_leaves_no_disk_and_loses_no_work(human, project, victim):
    workers = killing.prefix(project.name)
    human.agent("echo one > one; git add one; git commit -qm one; echo two > two; echo up; cat")
    limits = ("--disk", "64M", "--memory", "200M", "--pids", "100", "--cpus", "1")
    with killing.Running(human, *limits, cwd=project, on_terminal=True) as running:
        running.wait_for("up\r\n")
        assert [line for line in loop_devices() if workers in line]  # the control
        assert mounts_of(workers)
        host = Path("/proc/1/mountinfo").read_text() + Path("/proc/self/mountinfo").read_text()
        assert workers not in host
        (listed,) = json.loads(human.clsecure("list", "--json").stdout)
        assert 0 < listed["memory"] < 200 << 20
        assert listed["processes"] >= 2
        struck = time.monotonic()
        if victim == "helper":
            killing.kill(running.helper(workers).pid)
        else:
            running.kill()
        running.ended()
        killing.assert_all_ends(human, workers, struck)
        while [line for line in loop_devices() if workers in line]:
            assert time.monotonic() < struck + killing.SECONDS
            time.sleep(0.02)
    branch = f"after-{victim}"
    human.clsecure("import", "--branch", branch, "--yes", cwd=project)
    assert human.run("git", "show", f"{branch}:two", cwd=project).stdout == "two\n"
    assert killing.cgroups_of(workers) == []


def without(human, project, before, *words):
    """Run clsecure where the host lacks something: in a mount namespace of its own."""
    program = human.argv(["env", "-C", project, *_program(words)])
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{before} && exec "$@"', "sh", *program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _program(words):
    from world.human import PROGRAM

    return [PROGRAM, "exec", "--mode", "user", *words]


def test_without_controllers_processes_are_limited_by_rlimits(human, project):
    gone = "umount -l /sys/fs/cgroup/pids /sys/fs/cgroup/memory /sys/fs/cgroup/cpu"
    ran = without(human, project, gone, "--pids", "100", "--", "python3", "-c", MANY)
    assert ran.stdout == "refused 11\n"
    assert "pids: no pids controller can be had on this host, so that 100 is a limit" in ran.stderr
    ran = without(human, project, gone, "--memory", "100M", "--", "python3", "-c", HOG)
    assert "MemoryError" in ran.stderr
    assert "a limit for the address space of each process alone (RLIMIT_AS)" in ran.stderr
    ran = without(human, project, gone, "--cpus", "1", "--", "echo", "runs")
    assert ran.stdout == "runs\n"
    assert "cpus: no cpu controller can be had on this host, so that there is no" in ran.stderr


MKFS_GONE = """
mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w &&
mount -t overlay o -o lowerdir=/usr/sbin,upperdir=/mnt/u,workdir=/mnt/w /usr/sbin &&
rm /usr/sbin/mkfs.ext4"""


@pytest.mark.parametrize(
    ("before", "said", "hint"),
    [
        (MKFS_GONE, "mkfs.ext4 is not installed", "install the package 'e2fsprogs'"),
        ("mount --bind /dev/null /dev/loop-control", "needs a loop device", "modprobe loop"),
    ],
)
def test_a_disk_that_cannot_be_had_is_said_and_leaves_nothing(human, project, before, said, hint):
    ran = without(human, project, before, "--disk", "64M", "--", "true")
    assert ran.returncode == 4, ran
    assert said in ran.stderr
    assert hint in ran.stderr
    assert killing.worker_names(killing.prefix(project.name)) == set()


def test_a_kept_session_keeps_its_disk_as_it_is(human, project):
    user = BOXES[0]
    run(human, project, user, "--disk", "64M", "--", "true")
    ran = run(human, project, user, "--disk", "1G", "--", "true")
    assert "disk: this session was made with its limit of 64M, which stays" in ran.stderr
