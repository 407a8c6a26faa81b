"""`clsecure demo`: the whole story as a person sees it; and its bait is real."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from hostview import host_view

from clsecure import demo
from clsecure.commands import demo as command
from clsecure.demo import Outcome, bait
from clsecure.output import Output
from world.human import PROGRAM

pytestmark = pytest.mark.root


def leftovers(uid):
    """Directories and processes of the demo's that belong to a user."""
    places = {
        str(path) for path in Path("/tmp").glob("clsecure-demo-*") if path.stat().st_uid == uid
    }
    return places | {f"process {pid}" for pid in processes_of(uid)}


def processes_of(uid):
    """Processes of the demo's that belong to a user."""
    marks = (demo.SECRET_MARK.encode(), demo.DAEMON_NAME.encode())
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.stat().st_uid == uid and path.read_bytes().startswith(marks):
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


def test_everything_is_stopped_and_the_work_comes_home(human):
    said = human.clsecure("demo").stdout
    assert "namespace mode (firejail)" in said
    rows = said.partition("the agent tried to")[2].partition("\n\n")[0].splitlines()[1:]
    assert len(rows) == len(demo.STOPPED_BY)
    assert all("  stopped  " in row or "  contained  " in row for row in rows)
    assert "imported: branch claude/basket-demo, 2 commits, 3 files" in said
    assert "Demo: Take discounts in percent" in said
    assert said.endswith("Everything was stopped, and the work came home.\n")
    assert leftovers(human.account.pw_uid) == set()
    assert human.workers() == []


def test_without_an_engine_it_runs_in_user_mode(human, tmp_path):
    with host_view(human, tmp_path) as view:
        for path in ("/usr/bin/firejail", "/usr/bin/bwrap"):
            view.root("mount", "--bind", "/dev/null", path)
        said = view.root(PROGRAM, "demo").stdout
    assert "user mode · as claude-worker-basket-" in said
    assert said.endswith("Everything was stopped, and the work came home.\n")


def test_at_a_terminal_it_asks_nothing(human):
    screen = human.terminal(PROGRAM, "demo", cwd=human.home, size=(50, 80))
    screen.expect("Everything was stopped, and the work came home.", timeout=60)
    screen.wait()
    assert screen.exitstatus == 0


def test_the_bait_can_be_taken_where_nothing_stands_around_it(capsys):
    """The control: the same agent, as the same user, without a box."""
    before = processes_of(0)
    with bait.lay(os.environ) as laid:
        report = laid.home / "said"
        with report.open("wb") as said:
            ended = subprocess.run(
                [laid.home.parent / "bin/claude"],
                cwd=laid.project,
                env={**laid.environ, **laid.agent_variables},
                stdout=said,
                check=False,
            )
        assert ended.returncode == 0
        attempts = demo.parse_report(laid.report.read_text())
        taken = {each.name for each in attempts if each.outcome is Outcome.GOT_THROUGH}
        for pid in processes_of(0) - before:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(demo.DAEMON_NAME.encode()):
                os.kill(pid, signal.SIGKILL)
        assert taken >= {"ssh-key", "secrets", "loopback", "sockets", "processes", "root", "system"}
        broken = command._judge(attempts, laid, worker=4294967294, output=Output())
    assert {"read the human's SSH key", "plant a git hook", "reached: abstract socket"} < set(
        broken
    )
    assert capsys.readouterr().out.count("GOT THROUGH") == len(broken) - 1


def test_what_came_in_counts_more_than_what_the_agent_says():
    with bait.lay(os.environ) as laid:
        assert laid.reached() == ()
        with socket.create_connection(laid.servers["loopback"].getsockname()):
            assert laid.reached() == ("loopback",)
