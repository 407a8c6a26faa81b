"""However a session is cut short, nothing of it runs on, nothing stays mounted, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import remains
from caller import Caller, open_request, patched

from world.human import PROGRAM

pytestmark = pytest.mark.root

# Seconds after the start, or words on the agent's way; the last is the menu at the end.
POINTS = (0.05, 0.1, 0.15, 0.2, 0.3, "started", "worked", "committed", "ended", "menu")
AGENT = """
mark() {{ echo "$1" > "$HOME/mark"; echo "MARK $1"; }}
mark started; sleep {wait}
echo work > work.txt; mark worked; sleep {wait}
git add -A; git commit -qm work; echo more > more.txt; mark committed; sleep {wait}
(trap '' TERM HUP; exec sleep 300) &
setsid sleep 300 &
mark ended; {end}
"""
WHO = ("cli", "helper", "both", "terminal")


def helpers(cli):
    """The helper started by that program: through sudo, which may fork a monitor."""
    found, waiting = [], [cli]
    while waiting:
        children = Path(f"/proc/{waiting[0]}/task/{waiting[0]}/children")
        try:
            pids = [int(word) for word in children.read_text().split()]
        except OSError:
            pids = []
        waiting = [*waiting[1:], *pids]
        for pid in pids:
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"python3" in words[0] and b"helper" in b" ".join(words[:4]):
                found.append(pid)
    return found[:1]  # its init and the others go by the same name


def program(terminal):
    """The pid of the program itself, below runuser."""
    uid = os.stat(f"/proc/{terminal.pid}").st_uid
    assert uid == 0
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
        for pid in children:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if str(PROGRAM).encode() in words and b"runuser" not in words.split(b"\0")[0]:
                return int(pid)
        time.sleep(0.005)
    raise AssertionError("the program did not start")


def cut(who, terminal):
    pid = program(terminal)
    victims = {"cli": [pid], "helper": helpers(pid), "both": [*helpers(pid), pid]}.get(who, [])
    if who == "terminal":
        os.close(terminal.ptyproc.fd)  # no byte is left to be read: the other side is hung up
        terminal.ptyproc.fd = -1
        return True
    if not victims or (who != "cli" and not helpers(pid)):
        return False  # there is no helper yet, or no longer
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    return True


def agent_until(human, point):
    wait = 0 if point in ("ended", "menu") else 0.4
    if isinstance(point, float):
        wait = 0.15
    human.agent(AGENT.format(wait=wait, end="true" if point == "menu" else "sleep 300"))


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("point", POINTS)
def test_a_session_cut_short_leaves_nothing_and_loses_nothing(human, point, who):
    project = human.repository(f"src/{who}-{str(point).replace('.', '')}")
    agent_until(human, point)
    mode = "user" if who in ("cli", "terminal") else "namespace"
    terminal = human.terminal(PROGRAM, "--mode", mode, cwd=project)
    try:
        if isinstance(point, float):
            program(terminal)
            time.sleep(point)
        else:
            terminal.expect("What now" if point == "menu" else f"MARK {point}")
        assert cut(who, terminal) or isinstance(point, float)
        workers = [path.name for path in remains.STATE.glob(f"claude-worker-{who[:10]}-*")]
        users = [worker for worker in workers if belongs(worker, project)]
        for worker in users:
            uid = record(worker)["uid"]
            assert remains.gone_within(2, worker, uid) == {}
    finally:
        if terminal.ptyproc.fd != -1:
            terminal.close(force=True)
    # The next start works, whatever was there, and the work comes home.
    human.agent("echo again > again.txt")
    ended = start_again(human, project, within=2)
    assert "imported: branch b" in ended.stdout + ended.stderr, ended
    brought = human.run("git", "ls-tree", "-r", "--name-only", "b", cwd=project).stdout.split()
    assert "again.txt" in brought
    for marker, name in (("worked", "work.txt"), ("committed", "more.txt")):
        if point in (marker, "ended", "menu"):
            assert name in brought
    human.clsecure("discard", "--yes", cwd=project)
    listed = list(remains.STATE.glob(f"claude-worker-{who[:10]}-*"))
    assert not [path for path in listed if belongs(path.name, project)]


def start_again(human, project, within):
    # A helper that was making the session ends with the step that it was at.
    deadline = time.monotonic() + within
    words = ("--on-exit", "import", "--branch", "b", "--yes")
    while True:
        ended = human.clsecure(*words, cwd=project, code=None)
        if ended.returncode != 5 or time.monotonic() > deadline:
            assert ended.returncode == 0, ended
            return ended


def record(worker):
    return json.loads((remains.STATE / worker / "record.json").read_text())


def belongs(worker, project):
    try:
        return record(worker)["project"] == str(project)
    except (OSError, ValueError):
        return False


SLEEP = "import os, time; os.fork(); time.sleep(300)"
DEATH_SIGNAL = (
    "init.py",
    "        sc.set_death_signal(signal.SIGKILL)\n        send(self._channel, Ready(),",
    "        send(self._channel, Ready(),",
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
        left = remains.gone_within(2, worker, uid)
        try:
            assert (left == {}) is ends, left
        finally:
            if not ends:
                os.kill(init, signal.SIGKILL)
                remains.gone_within(5, worker, uid)


def start_in(caller, *argv):
    from clsecure.helper.protocol import Exec, Started, send

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


def test_a_stopped_program_can_still_be_ended(human):
    project = human.repository("src/stopped")
    human.agent("echo MARK; sleep 300")
    terminal = human.terminal(PROGRAM, "--mode", "user", cwd=project)
    terminal.expect("MARK")
    pid = program(terminal)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    worker = next(path.name for path in remains.STATE.glob("claude-worker-stopped-*"))
    assert remains.gone_within(2, worker, record(worker)["uid"]) == {}
    terminal.close(force=True)
