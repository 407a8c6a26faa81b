"""Root's side of limits, against directories that look like hierarchies of cgroups."""

from pathlib import Path

import pytest

from clsecure.helper import controllers
from clsecure.helper.check import check_limits
from clsecure.helper.controllers import Controllers
from clsecure.helper.protocol import Limits, Reached, Refusal

WORKER = "claude-worker-x-000000"
ALL = Limits(memory=512 << 20, cpus=1500, pids=100)


class Own:
    """The box's own cgroup, as the class of that name gives it."""

    def __init__(self, hierarchies, path=""):
        self.hierarchies, self.path = hierarchies, str(path)


@pytest.fixture(name="version_2")
def _version_2(tmp_path):
    """A hierarchy of version 2 that offers everything, with the box's own cgroup in it."""
    own = tmp_path / "clsecure" / WORKER
    own.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (tmp_path / "clsecure" / "cgroup.subtree_control").write_text("\n")
    (own / "memory.swap.max").write_text("max\n")
    (own / "memory.events").write_text("low 0\nmax 7\noom 1\noom_kill 0\n")
    (own / "pids.events").write_text("max 0\n")
    return tmp_path


def test_version_2_is_set_where_it_offers_the_controllers(version_2):
    own = version_2 / "clsecure" / WORKER
    made = Controllers(WORKER, ALL, Own({"": str(version_2)}, own))
    assert (own / "memory.max").read_text() == str(512 << 20)
    assert (own / "memory.swap.max").read_text() == "0"
    assert (own / "cpu.max").read_text() == "150000 100000"
    assert (own / "pids.max").read_text() == "100"
    assert (version_2 / "cgroup.subtree_control").read_text() == "cpu memory pids\n"
    assert (version_2 / "clsecure" / "cgroup.subtree_control").read_text() == "+pids"  # the last
    assert made.rest == Limits()
    assert made.warnings == []


def test_only_what_is_limited_is_touched(version_2):
    own = version_2 / "clsecure" / WORKER
    Controllers(WORKER, Limits(pids=20), Own({"": str(version_2)}, own))
    assert not (own / "memory.max").exists()
    assert not (own / "cpu.max").exists()
    assert (own / "memory.swap.max").read_text() == "max\n"


def test_what_was_reached_is_told_once(version_2):
    own = version_2 / "clsecure" / WORKER
    made = Controllers(WORKER, ALL, Own({"": str(version_2)}, own))
    assert made.reached() == ()
    (own / "memory.events").write_text("max 90\noom_kill 2\n")
    (own / "pids.events").write_text("max 5\n")
    assert made.reached() == (
        Reached(limit="memory", value=512 << 20, times=2),
        Reached(limit="pids", value=100, times=5),
    )
    assert made.reached() == ()
    (own / "pids.events").write_text("max 6\n")
    assert made.reached() == (Reached(limit="pids", value=100, times=1),)


def test_version_1_is_taken_for_what_version_2_does_not_offer(version_2):
    (version_2 / "cgroup.controllers").write_text("memory\n")
    hierarchies = {"": str(version_2)}
    for name in ("memory", "cpu", "pids"):
        hierarchies[name] = str(version_2 / f"v1-{name}")
        Path(hierarchies[name]).mkdir()
    own = version_2 / "clsecure" / WORKER
    made = Controllers(WORKER, ALL, Own(hierarchies, own))
    pids = version_2 / "v1-pids" / "clsecure" / WORKER
    cpu = version_2 / "v1-cpu" / "clsecure" / WORKER
    assert (own / "memory.max").exists()
    assert not (version_2 / "v1-memory" / "clsecure").exists()
    assert (pids / "pids.max").read_text() == "100"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "150000"
    made.enter()
    assert (pids / "cgroup.procs").read_text() == "0"
    assert (cpu / "cgroup.procs").read_text() == "0"
    assert not (own / "cgroup.procs").exists()


def test_controllers_of_one_hierarchy_share_a_cgroup(tmp_path):
    hierarchies = dict.fromkeys(("memory", "cpu", "pids"), str(tmp_path))
    made = Controllers(WORKER, ALL, Own(hierarchies))
    own = tmp_path / "clsecure" / WORKER
    assert (own / "memory.limit_in_bytes").read_text() == str(512 << 20)
    assert (own / "pids.max").read_text() == "100"
    assert made.rest == Limits()


def test_a_cgroup_that_is_in_use_itself_cannot_hand_controllers_on(version_2):
    # As in a container: cgroup-v2.rst, "No Internal Process Constraint".
    (version_2 / "cgroup.subtree_control").write_text("")
    refusing = version_2 / "clsecure" / "cgroup.subtree_control"
    refusing.unlink()
    refusing.mkdir()
    own = version_2 / "clsecure" / WORKER
    made = Controllers(WORKER, ALL, Own({"": str(version_2)}, own))
    assert made.rest == ALL
    assert [warning.partition(":")[0] for warning in made.warnings] == ["memory", "cpus", "pids"]


def test_swap_that_cannot_be_limited_is_said(version_2, monkeypatch):
    own = version_2 / "clsecure" / WORKER
    (own / "memory.swap.max").unlink()
    lines = controllers._lines
    swaps = ["Filename Type", "/dev/sda2 partition"]
    monkeypatch.setattr(
        controllers, "_lines", lambda path: swaps if path == "/proc/swaps" else lines(path)
    )
    made = Controllers(WORKER, ALL, Own({"": str(version_2)}, own))
    assert len(made.warnings) == 1
    assert "into swap" in made.warnings[0]
    assert not (own / "memory.swap.max").exists()


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        ALL,
        Limits(memory=64 << 20, cpus=50, pids=16, disk=32 << 20),
        Limits(memory=1 << 50, cpus=8_192_000, pids=1 << 22, disk=1 << 43),
    ],
)
def test_limits_that_root_accepts(limits):
    check_limits(limits)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(memory=(64 << 20) - 1),
        Limits(memory=-1),
        Limits(memory=(1 << 50) + 1),
        Limits(cpus=49),
        Limits(pids=15),
        Limits(pids=-100),
        Limits(disk=(32 << 20) - 1),
        Limits(disk=1 << 60),
    ],
)
def test_limits_that_root_refuses(limits):
    with pytest.raises(Refusal):
        check_limits(limits)
