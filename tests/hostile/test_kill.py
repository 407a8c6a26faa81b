"""Whatever dies, and whenever: nothing of the session goes on, and nothing of its work is lost."""

from __future__ import annotations

import json
import secrets
import signal
import time
from typing import NamedTuple

import killing
import pytest

pytestmark = pytest.mark.root

# The last word says where the agent stays; each stage holds what came before it.
_AGENT = r"""
for stage; do :; done
[ "$stage" = again ] && { echo went-on; exit; }
stay() { echo "at-$1"; [ "$1" != "$stage" ] || sleep 300; }
stay started
echo one > one; git add one; git commit -qm one; stay committed
echo two > two; stay loose
[ "$stage" != exporting ] || head -c 3000000 /dev/urandom > large  # an export that takes a moment
stubborn='trap "" HUP INT TERM; sleep 301; :'
setsid sh -c "$stubborn" > /dev/null 2>&1 &
stay daemon
[ "$stage" != child ] || { echo at-child; sh -c "$stubborn"; }
"""
# The human's git takes its time at this point, which would be hard to hit otherwise.
_SLOW_GIT = """#!/bin/sh
case " $* " in *" index-pack "*) sleep 0.5 ;; esac
exec /usr/bin/git "$@"
"""
_WORK = {"started": 0, "committed": 1, "loose": 2, "daemon": 2, "child": 2}
_LATER = ("exporting", "receiving", "asked")  # the work is complete
_OFFSETS = (0, 30, 60, 90, 120, 160)  # milliseconds
_USER = ("--mode", "user")
_FIREJAIL = ("--mode", "namespace", "--engine", "firejail")
_CONTAINER = ("--mode", "container")


class Trial(NamedTuple):
    """Who dies when, in which box."""

    victim: str
    point: str
    flags: tuple[str, ...] = _USER

    def __str__(self) -> str:
        mode = "-".join(self.flags[1::2])
        return f"{self.victim}-{self.point}-{mode}"

    @property
    def files(self) -> int:
        """How many of the agent's files must be there: -1, if there may be no session."""
        return 2 if self.point in _LATER else _WORK.get(self.point, -1)


_POINTS = (*map(str, _OFFSETS), *_WORK, *_LATER)
_VICTIMS = ("cli", "helper", "both", "terminal")
_TRIALS = [Trial(victim, point) for victim in _VICTIMS for point in _POINTS] + [
    Trial(victim, point, flags)
    for flags in (_FIREJAIL, _CONTAINER)
    for victim in _VICTIMS
    for point in ("90", "160", "daemon", "exporting")
]


@pytest.fixture(scope="module")
def project(human):
    """A repository whose name no other run has, so that its workers' names tell them apart."""
    name = secrets.token_hex(4)
    human.agent(_AGENT)
    human.write("slow/git", _SLOW_GIT, mode=0o755)
    return human.repository(name)


def strike(trial, running, workers):
    """Wait for the point, and kill; returns when."""
    helper = None
    if trial.point.isdigit():
        if trial.victim in ("helper", "both"):
            helper = running.helper(workers)
        time.sleep(int(trial.point) / 1000)
    elif trial.point == "exporting":
        running.wait_until(workers, lambda process: "export.py" in process.name)
    elif trial.point == "receiving":
        running.wait_until(workers, lambda process: "index-pack" in process.words)
    elif trial.point == "asked":
        running.wait_for("What now?")
    else:
        running.wait_for(f"at-{trial.point}")
    if trial.victim in ("helper", "both"):
        helper = helper or running.helper(workers)
    now = time.monotonic()
    if trial.victim == "terminal":
        running.hang_up()
    if trial.victim in ("cli", "both"):
        running.kill()
    if helper:
        killing.kill(helper.pid)
    return now


@pytest.mark.parametrize("trial", _TRIALS, ids=str)
def test_nothing_goes_on_and_nothing_is_lost(human, project, trial):
    workers = killing.prefix(project.name)
    on_terminal = trial.victim == "terminal" or trial.point == "asked" or trial.flags == _USER
    words = (*trial.flags, "--", trial.point)
    env = {"PATH": f"{human.home}/slow:{human.environment['PATH']}"}
    slow = env if trial.point == "receiving" else {}
    with killing.Running(human, *words, cwd=project, env=slow, on_terminal=on_terminal) as running:
        struck = strike(trial, running, workers)
        if trial == Trial("helper", "asked"):  # only the human's own program goes on: it asks
            killing.assert_all_ends(human, workers, struck, but=human.account.pw_uid)
            running.enter("k")
            struck = time.monotonic()
        code = running.ended()
        assert "Traceback" not in running.said
        if trial.victim == "helper" and trial.point != "asked":
            assert code == 1
            assert "clsecure: the root helper has ended" in running.said
        killing.assert_all_ends(human, workers, struck)
    check_what_stays(human, project, trial)
    assert killing.worker_names(workers) == set()
    assert killing.cgroups_of(workers) == []


def check_what_stays(human, project, trial):
    """The work can be had; or no session was made, and the next start is as good as the first."""
    workers = killing.prefix(project.name)
    if trial.victim in ("cli", "terminal"):
        listed = json.loads(human.clsecure("list", "--json").stdout)
        assert killing.worker_names(workers) == {one["worker"] for one in listed}
        assert [one["status"] for one in listed] in ([], ["kept"])
    if trial.files > 0:
        branch = f"saved/{trial}"
        human.clsecure("import", "--branch", branch, "--yes", cwd=project)
        for name in ("one", "two")[: trial.files]:
            said = human.run("git", "show", f"{branch}:{name}", cwd=project).stdout
            assert said == f"{name}\n"
        subjects = human.run("git", "log", "--format=%s", f"main..{branch}", cwd=project).stdout
        assert subjects.splitlines()[-1] == "one"
    again = human.clsecure(*trial.flags, "--on-exit", "discard", "--", "again", cwd=project)
    assert again.stdout == "went-on\n"
    if trial.files >= 0:
        assert "resumed" in again.stderr


def test_an_import_goes_on_without_the_helper(human, project):
    workers = killing.prefix(project.name)
    words = (*_USER, "--", "asked")
    with killing.Running(human, *words, cwd=project, on_terminal=True) as running:
        running.wait_for("What now?")
        killing.kill(running.helper(workers).pid)
        for question, answer in (("", "i"), ("Branch:", "alone"), ("too (1 file)?", "y")):
            running.wait_for(question)
            running.enter(answer)
        running.wait_for("Message:")
        running.enter("")
        assert running.ended() == 1
    assert "imported: branch alone, 2 commits, 2 files" in running.said
    assert "clsecure: the root helper has ended" in running.said
    assert human.run("git", "show", "alone:two", cwd=project).stdout == "two\n"
    human.clsecure("discard", "--yes", cwd=project)


def test_a_stopped_program_ends_with_everything(human, project):
    workers = killing.prefix(project.name)
    with killing.Running(human, "--", "daemon", cwd=project, on_terminal=True) as running:
        running.wait_for("at-daemon")
        running.kill(signal.SIGSTOP)
        running.kill()
        struck = time.monotonic()
        running.ended()
        killing.assert_all_ends(human, workers, struck)
    human.clsecure("discard", "--yes", cwd=project)
