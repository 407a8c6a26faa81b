"""What the end of every run looks for is found when it is there, and only then."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from clsecure.helper.accounts import FIRST_ID, LAST_ID
from world import leftovers, new_human

pytestmark = pytest.mark.root

_NAMES = {"user": leftovers.HUMAN, "worker": "claude-worker-left-"}


def new(before, name):
    """What has come that has this name; other tests run at the same time."""
    return {one.kind for one in leftovers.leftovers() - before if name in str(one) + one.owner}


@pytest.mark.parametrize("kind", _NAMES)
def test_a_user_is_seen_until_removed(kind):
    before, name = leftovers.leftovers(), f"{_NAMES[kind]}{secrets.token_hex(4)}"
    assert new(before, name) == set()
    subprocess.run(["useradd", "-M", name], check=True)
    try:
        assert new(before, name) >= {"passwd", "group"}
    finally:
        subprocess.run(["userdel", name], check=True)
    assert new(before, name) == set()


def test_files_state_and_cgroups_are_seen():
    before, name = leftovers.leftovers(), f"claude-worker-left-{secrets.token_hex(4)}"
    hierarchies = [Path(f"/sys/fs/cgroup/{name}") for name in ("unified", "pids", "")]
    hierarchy = next(place for place in hierarchies if (place / "cgroup.procs").exists())
    (hierarchy / "clsecure").mkdir(exist_ok=True)
    cgroup, state = hierarchy / "clsecure" / name, leftovers.STATE / name
    rule = Path(f"/etc/sudoers.d/{leftovers.HUMAN}{name}~")  # sudo reads no such name
    with ExitStack() as stack:
        for place in (cgroup, state):
            place.mkdir()
            stack.callback(place.rmdir)
        rule.touch()
        stack.callback(rule.unlink)
        assert new(before, name) == {"cgroup", "state", "file"}
    assert new(before, name) == set()


def test_processes_and_mounts_are_seen():
    before, name = leftovers.leftovers(), f"claude-worker-left-{secrets.token_hex(4)}"
    mount = f"mount -t tmpfs {name} /mnt; echo; exec sleep 60"
    away = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount]
    with subprocess.Popen(away, stdout=subprocess.PIPE) as elsewhere:
        elsewhere.stdout.readline()
        assert new(before, name) == {"mount"}
        elsewhere.kill()
    human = f"{leftovers.HUMAN}{secrets.token_hex(4)}"
    for options in ({"env": {"SUDO_USER": human}}, {"user": free_id()}):
        with subprocess.Popen(["sleep", "60"], **options) as process:
            _soon(lambda: new(before, f"{process.pid} sleep 60") == {"process"})
            process.kill()
    assert new(before, name) == set()


def _soon(seen):
    """Wait for it: Popen returns within execve(2), before /proc shows the new program's words."""
    deadline = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def free_id():
    """A user id of the workers' range that no process has."""
    taken = {one.uid for one in leftovers.processes()}
    return next(uid for uid in range(LAST_ID, FIRST_ID, -1) if uid not in taken)


def test_another_runs_things_are_not_this_ones(monkeypatch, tmp_path):
    before = leftovers.leftovers()
    monkeypatch.setenv(leftovers.REGISTER, str(tmp_path / "humans"))
    assert leftovers.registered() == frozenset()
    with new_human() as human:
        mine = leftovers.registered()
        assert mine == {human.name, str(human.account.pw_uid)}
        top = human.repository()
        human.clsecure("exec", "--", "true", cwd=top)
        (worker,) = human.workers()
        found = {(one.kind, one.name) for one in leftovers.new_since(before, mine)}
        assert found >= {
            ("passwd", human.name),
            ("file", str(human.home)),
            ("passwd", worker),
            ("state", str(leftovers.STATE / worker)),
        }
        theirs = leftovers.new_since(before, frozenset({"another"}))
        assert not [one for one in theirs if one.name in (human.name, worker)]
    assert leftovers.new_since(before, mine) == []


def test_an_interrupted_test_leaves_nothing():
    made = []
    with suppress(KeyboardInterrupt), new_human() as human:
        made.append(human.name)
        top = human.repository()
        human.agent("trap '' HUP TERM INT; echo ready; sleep 300")
        running = human.start(cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert running.stdout.readline() == b"ready\n"
        raise KeyboardInterrupt
    running.stdout.close()
    running.wait(10)
    assert not [one for one in leftovers.leftovers() if made[0] in str(one) + one.owner]


_LEAVING = """
import subprocess
def test_leaves(): subprocess.run(["useradd", "-M", "{name}"], check=True)
"""


@pytest.mark.parametrize("words", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_run_that_leaves_something_fails(words, tmp_path):
    name = f"claude-worker-left-{secrets.token_hex(4)}"
    conftest = Path(__file__).parents[1] / "conftest.py"
    (tmp_path / "conftest.py").write_text(conftest.read_text())
    (tmp_path / "test_it.py").write_text(_LEAVING.format(name=name))
    environment = {**os.environ, "PYTHONPATH": str(conftest.parent)}
    environment.pop(leftovers.REGISTER, None)
    argv = [os.sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", *words, str(tmp_path)]
    try:
        # Seen alone: where other runs are on this machine, nobody can tell whose a worker is.
        alone = ["env", f"{leftovers.ALONE}=1", *argv]
        ran = subprocess.run(alone, capture_output=True, text=True, env=environment, check=False)
    finally:
        subprocess.run(["userdel", name], check=True)
    assert ran.returncode == 1, ran.stdout
    assert "1 passed" in ran.stdout
    assert f"LEFT BEHIND by this run: passwd: {name}" in ran.stdout
