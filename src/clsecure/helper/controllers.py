"""Limits on memory, processors and processes: in the kernel's controllers, else by rlimits.

Loaded only where there is such a limit. The session's cgroups lie beside a service manager's
slices: its own tree is not for others to change, and a scope in it would have to be asked for over
D-Bus. Files: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import os

from . import cgroup
from .protocol import Limits, Reached

_PERIOD = 100_000  # microseconds
_NAMES = {"memory": "memory", "cpu": "cpus", "pids": "pids"}  # of controllers, and of limits
_WEAKER = {
    "memory": "memory: no memory controller can be had on this host, so that {} is a limit for the "
    "address space of each process alone (RLIMIT_AS), which is not told of when it is reached",
    "cpu": "cpus: no cpu controller can be had on this host, so that there is no limit",
    "pids": "pids: no pids controller can be had on this host, so that {} is a limit for the "
    "worker's own processes (RLIMIT_NPROC), which is not told of when it is reached",
}
_SWAPS = "swap is not limited on this host, so that memory can go beyond its limit into swap"


class Controllers:
    """The limits of one box. Its first process calls `enter` before anything else.

    `rest` are those limits that no controller holds, for rlimits; `warnings` say which.
    """

    def __init__(self, worker: str, limits: Limits, own: cgroup.Cgroup) -> None:
        self.warnings: list[str] = []
        self._places: dict[str, tuple[int, str]] = {}  # controller to cgroup version and directory
        self._made: list[str] = []
        self._told: dict[str, int] = {}
        rest = {}
        try:
            for controller, name in _NAMES.items():
                value = getattr(limits, name)
                if value and not self._hold(controller, value, worker, own):
                    rest[name] = value
                    shown = f"{value >> 20}M" if name == "memory" else value
                    self.warnings.append(_WEAKER[controller].format(shown))
        except BaseException:
            self.remove()
            raise
        self.rest = Limits(**rest)

    def enter(self) -> None:
        """Put the calling process in; raises OSError. In version 2 it was born there."""
        for path in self._made:
            _write(f"{path}/cgroup.procs", "0")

    def reached(self) -> tuple[Reached, ...]:
        """Return the limits that were reached since this was asked last."""
        found = []
        for name, limit, count in (
            ("memory", self._limit("memory"), self._count("memory", "oom_kill")),
            ("pids", self._limit("pids"), self._count("pids", "max")),
        ):
            new = count - self._told.get(name, 0)
            self._told[name] = count
            if new > 0:
                found.append(Reached(limit=name, value=limit, times=new))
        return tuple(found)

    def remove(self) -> None:
        """Remove the cgroups of version 1; that of version 2 is the box's own."""
        for path in self._made:
            cgroup.remove(path)

    def _hold(self, controller: str, value: int, worker: str, own: cgroup.Cgroup) -> bool:
        if own.path and _enable(controller, own.path):
            self._places[controller] = (2, own.path)
            for name, text in _settings_2(controller, value):
                self._set(f"{own.path}/{name}", text)
            return True
        if controller not in own.hierarchies:
            return False
        path = cgroup.place(own.hierarchies[controller], worker)
        if path not in self._made:
            try:
                cgroup.make(path)
            except OSError:
                return False
            self._made.append(path)
        self._places[controller] = (1, path)
        for name, text in _settings_1(controller, value):
            self._set(f"{path}/{name}", text)
        return True

    def _set(self, path: str, text: str) -> None:
        if "sw" not in os.path.basename(path) or os.path.exists(path):
            _write(path, text)
        elif len(_lines("/proc/swaps")) > 1:
            self.warnings.append(_SWAPS)

    def _limit(self, controller: str) -> int:
        version, path = self._places.get(controller, (0, ""))
        v1 = "memory.limit_in_bytes" if controller == "memory" else "pids.max"
        name = v1 if version == 1 else f"{controller}.max"
        said = _lines(f"{path}/{name}")[:1] if path else []
        return int(said[0]) if said and said[0].isdigit() else 0

    def _count(self, controller: str, event: str) -> int:
        version, path = self._places.get(controller, (0, ""))
        of_memory = "memory.oom_control" if version == 1 else "memory.events"
        name = of_memory if controller == "memory" else "pids.events"
        lines = _lines(f"{path}/{name}") if path else []
        return sum(int(line.split()[1]) for line in lines if line.startswith(f"{event} "))


def _settings_2(controller: str, value: int) -> tuple[tuple[str, str], ...]:
    if controller == "memory":
        return (("memory.max", str(value)), ("memory.swap.max", "0"))
    if controller == "cpu":
        return (("cpu.max", f"{value * _PERIOD // 1000} {_PERIOD}"),)
    return (("pids.max", str(value)),)


def _settings_1(controller: str, value: int) -> tuple[tuple[str, str], ...]:
    if controller == "memory":  # the second is for memory and swap together
        both = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        return tuple((name, str(value)) for name in both)
    if controller == "cpu":
        quota = str(value * _PERIOD // 1000)
        return (("cpu.cfs_period_us", str(_PERIOD)), ("cpu.cfs_quota_us", quota))
    return (("pids.max", str(value)),)


def _enable(controller: str, path: str) -> bool:
    """Have version 2 offer the controller in that cgroup; False where it cannot.

    A service manager that does not need it cannot take it away again while we do: see "Top-down
    Constraint".
    """
    parent = os.path.dirname(path)
    top = os.path.dirname(parent)
    if controller not in " ".join(_lines(f"{top}/cgroup.controllers")).split():
        return False
    try:
        for directory in (top, parent):
            control = f"{directory}/cgroup.subtree_control"
            if controller not in " ".join(_lines(control)).split():
                _write(control, f"+{controller}")
    except OSError:
        return False  # processes are in that cgroup itself, as in a container
    return True


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
