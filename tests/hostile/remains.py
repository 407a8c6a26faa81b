"""What of a worker is on this machine: processes, mounts, network namespaces, locks, names."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import time
from pathlib import Path

from world.leftovers import cgroups

STATE = Path("/var/lib/clsecure")


def processes(uid: int) -> list[str]:
    """The command lines of that user's processes."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            lines = status.read_text().splitlines()
            state = next(line for line in lines if line.startswith("State:"))
            if f"Uid:\t{uid}\t" in "\n".join(lines) and "Z" not in state:
                found.append(f"{status.parent.name} {lines[0]}")
    return found


def mounts(worker: str) -> list[str]:
    """Processes in whose mount namespace something of the worker is mounted."""
    found = []
    for table in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            if worker in table.read_text(errors="replace"):
                found.append(table.parent.name)
    return found


def is_locked(worker: str) -> bool:
    """Whether somebody holds the session's lock."""
    try:
        file = os.open(STATE / worker / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def cgroup_processes(worker: str) -> list[str]:
    """The processes in the worker's cgroup."""
    found = []
    for place in cgroups():
        with contextlib.suppress(OSError):
            found += (place / "cgroup.procs").read_text().split() if place.name == worker else []
    return found


def of_a_running_session(worker: str, uid: int) -> dict[str, object]:
    """What only a running session may have; empty when there is nothing."""
    found = {
        "processes": processes(uid),
        "mounts": mounts(worker),
        "locked": is_locked(worker),
        "cgroup": cgroup_processes(worker),
    }
    return {name: value for name, value in found.items() if value}


def gone_within(seconds: float, worker: str, uid: int) -> dict[str, object]:
    """Wait until nothing is left; returns what is left at the end of the time."""
    deadline = time.monotonic() + seconds
    while (left := of_a_running_session(worker, uid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def names(worker: str) -> dict[str, object]:
    """Where the name of a worker still stands."""
    found: dict[str, object] = {}
    for database in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid"):
        path = Path("/etc", database)
        if path.exists() and any(
            line.startswith(f"{worker}:") for line in path.read_text().splitlines()
        ):
            found[database] = worker
    for path in (
        STATE / worker,
        Path("/home", worker),
        Path("/var/mail", worker),
        Path("/var/spool/cron/crontabs", worker),
    ):
        if os.path.lexists(path):
            found[str(path)] = True
    return found


def has_user(worker: str) -> bool:
    """Whether there is a user of that name."""
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(worker))
    return False
