"""A making or a removal that was cut short; the box's end when its helper dies."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

import killing
import pytest
import remains
from caller import Caller, open_request, patched

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def project(human):
    """A repository whose name no other run has, so that its workers' names tell them apart."""
    human.agent('echo went-on; [ "$2" != stay ] || { echo at-stay; sleep 300; }')
    return human.repository(secrets.token_hex(4))


def test_removing_the_worker_of_a_killed_session_leaves_no_cgroup(human, project):
    workers = killing.prefix(project.name)
    for words in (("cleanup", "--all", "--yes"), ("discard", "--yes")):
        with killing.Running(human, "--", "stay", cwd=project, on_terminal=False) as running:
            running.wait_for("at-stay")
            killing.kill(running.helper(workers).pid)
            running.ended()
            killing.assert_all_ends(human, workers, time.monotonic())
        assert len(killing.cgroups_of(workers)) in (0, 1)  # without cgroup v2 there are none
        human.clsecure(*words, cwd=project)
        assert killing.cgroups_of(workers) == []
        assert killing.worker_names(workers) == set()


def test_a_removal_that_was_cut_short_can_be_done_again(human, project):
    for words in (("cleanup", "--yes"), ("cleanup", "--all", "--yes"), ("--fresh", "--yes")):
        human.clsecure("--", "again", cwd=project)
        (worker,) = killing.worker_names(killing.prefix(project.name))
        subprocess.run(["userdel", worker], check=True)  # the first thing that a removal does
        said = human.clsecure("--", "again", cwd=project, code=4)
        assert f"clsecure: the user {worker} is gone" in said.stderr
        human.clsecure(*words, cwd=project)
        human.clsecure("cleanup", "--all", "--yes")
        assert killing.worker_names(killing.prefix(project.name)) == set()


_SLOW_USERADD = """
cp /usr/sbin/useradd /run/useradd-real; printf '#!/bin/sh
sleep 1; exec /run/useradd-real "$@"' > /run/useradd-slow; chmod 755 /run/useradd-slow
mount --bind /run/useradd-slow /usr/sbin/useradd; exec "$@"
"""


def test_a_user_that_is_being_made_when_the_helper_dies(human, project):
    workers = killing.prefix(project.name)
    slow = ("unshare", "--mount", "--propagation", "private", "sh", "-c")
    slow += ("mount -t tmpfs -o mode=755 none /run;" + _SLOW_USERADD, "sh")
    words = ("--", "again")
    with killing.Running(human, *words, cwd=project, on_terminal=False, before=slow) as running:
        running.wait_until(workers, lambda process: "/usr/sbin/useradd" in process.words)
        killing.kill(running.helper(workers).pid)
        assert running.ended() == 1
    again = human.clsecure("--on-exit", "discard", "--", "again", cwd=project)
    assert again.stdout == "went-on\n"
    killing.assert_all_ends(human, workers, time.monotonic())
    assert killing.worker_names(workers) == set()


@pytest.mark.parametrize("victim", ["cli", "helper"])
def test_half_a_copy_is_no_session(human, project, victim):
    workers = killing.prefix(project.name)
    large = project / "large"
    human.run("dd", "if=/dev/zero", f"of={large}", "bs=1M", "count=300", "status=none")
    words = ("--workspace", "clone", "--on-exit", "discard", "--", "again")
    try:
        with killing.Running(human, *words, cwd=project, on_terminal=False) as running:
            tar = f"-C {project} --no-same-owner"
            running.wait_until(workers, lambda process: tar in process.name)
            running.kill() if victim == "cli" else killing.kill(running.helper(workers).pid)
            running.ended()
            killing.assert_all_ends(human, workers, time.monotonic())
        said = json.loads(human.clsecure("list", "--json").stdout)
        assert said == []
        assert killing.worker_names(workers) == set()
    finally:
        large.unlink()
    again = human.clsecure(*words, cwd=project)
    assert again.stdout == "went-on\n"
    assert "the session made no changes" in again.stderr


SLEEP = "import os, time; os.fork(); time.sleep(300)"
DEATH_SIGNAL = (
    "init.py",
    "        sc.set_death_signal(signal.SIGKILL)\n        self._hand_out(",
    "        self._hand_out(",
)
END_OF_CHANNEL = (
    "attended.py",
    "            os._exit(0)  # the helper is gone: and with its init, the kernel ends the box\n",
    "            time.sleep(0.1)\n            return\n",
)
ONE_OF_THE_TWO = {
    "both": ([], True),
    "death-signal-alone": ([END_OF_CHANNEL], True),
    "channel-alone": ([DEATH_SIGNAL], True),
    "neither": ([DEATH_SIGNAL, END_OF_CHANNEL], False),
}


@pytest.mark.parametrize("ways", ONE_OF_THE_TWO)
def test_the_box_ends_with_its_helper_in_two_ways(human, tmp_path, ways):
    changes, ends = ONE_OF_THE_TWO[ways]
    project = human.repository(f"src/ways-{ways}")
    with Caller(human.account.pw_uid, package=patched(tmp_path, *changes)) as caller:
        opened = caller.ask(open_request(human, project))
        worker, uid = opened.session.worker, opened.session.uid
        children = Path(f"/proc/{caller.process.pid}/task/{caller.process.pid}/children")
        init = int(children.read_text().split()[0])
        start_in(caller, "/usr/bin/python3", "-c", SLEEP)
        deadline = time.monotonic() + 10
        while not remains.processes(uid) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        caller.process.kill()
        try:
            left = remains.gone_within(2, worker, uid)
            assert (left == {}) is ends, left
        finally:
            if not ends:
                os.kill(init, signal.SIGKILL)
                remains.gone_within(5, worker, uid)


def start_in(caller, *argv):
    from clsecure.helper.protocol import Exec, Started
    from clsecure.helper.wire import send

    null = os.open("/dev/null", os.O_RDWR)
    send(caller.channel, Exec(argv=argv, environment=("PATH=/usr/bin",), cwd="/"), (null,) * 3)
    os.close(null)
    assert isinstance(caller.hear(), Started)


def test_a_making_that_was_cut_short_is_swept(human):
    project = human.repository("src/cut-short")
    request = open_request(human, project)
    with Caller(human.account.pw_uid) as caller:
        opened = caller.ask(request)
        worker = opened.session.worker
    # As it is between the user's making and the record's.
    (remains.STATE / worker / "record.json").unlink()
    (remains.STATE / worker / "maker").write_text(str(human.account.pw_uid))
    assert remains.has_user(worker)
    assert worker not in human.workers()
    assert not remains.has_user(worker)
    assert remains.names(worker) == {}
