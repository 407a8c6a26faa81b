"""The session's cgroup, where the host has version 2: all its processes can be ended at once."""

from __future__ import annotations

import os
import time

_NAME = "clsecure"
CONTROLLERS = ("memory", "cpu", "pids")  # for limits: see controllers
_ATTEMPTS = 20


class Cgroup:
    """A cgroup of its own for one box, made empty; without cgroup v2 it does nothing.

    The end of the box's pid namespace ends its processes in any case; this is the second way.
    """

    def __init__(self, worker: str) -> None:
        self.path = ""
        self.descriptor: int | None = None
        self.hierarchies = hierarchies()
        for name in CONTROLLERS:
            if name in self.hierarchies:
                remove(place(self.hierarchies[name], worker))
        if "" not in self.hierarchies:
            return
        path = place(self.hierarchies[""], worker)
        try:
            make(path)
        except OSError:
            return
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def kill(self) -> None:
        """End every process in it."""
        if self.path:
            _kill(self.path)

    def remove(self) -> None:
        """Remove the cgroup, and the common one above it if it was the last."""
        if not self.path:
            return
        if self.descriptor is not None:
            os.close(self.descriptor)
        remove(self.path)


def hierarchies() -> dict[str, str]:
    """Return where cgroups can be made: version 2 under "", version 1 under its controllers."""
    found: dict[str, str] = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if not after.startswith(("cgroup ", "cgroup2 ")):
                continue
            fields = before.split(" ")
            names = [""] if after[6] == "2" else after.split()[-1].split(",")
            if "rw" in fields[5].split(","):
                found |= {name: fields[4] for name in names if name not in found}
    return found


def place(hierarchy: str, worker: str) -> str:
    """Return the directory of that worker's cgroup."""
    return f"{hierarchy}/{_NAME}/{worker}"


def sweep(worker: str) -> None:
    """Remove what a killed helper has left of that worker's cgroups, with every process in them."""
    found = hierarchies()
    for name in ("", *CONTROLLERS):
        path = place(found[name], worker) if name in found else ""
        if os.path.isdir(path):
            remove(path)


def make(path: str) -> None:
    """Make a cgroup, and the common one above it, anew; raises OSError."""
    for attempt in range(_ATTEMPTS):
        try:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            _remove(path)
            os.mkdir(path, 0o755)
        except FileNotFoundError:
            if attempt + 1 == _ATTEMPTS:
                raise
            continue  # another session was the last, and removed the common one
        return


def _kill(path: str) -> None:
    try:
        with open(f"{path}/cgroup.kill", "w", encoding="ascii") as file:  # since Linux 5.14
            file.write("1")
    except OSError:
        pass


def remove(path: str) -> None:
    """Remove a cgroup, and the common one above it if it was the last."""
    if _remove(path):
        try:
            os.rmdir(os.path.dirname(path))
        except OSError:
            pass  # other sessions run


def _remove(path: str) -> bool:
    # A cgroup goes once its last process has been reaped; one left by a killed helper is swept
    # here. True: there was one.
    for _ in range(250):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return False
        except OSError:
            _kill(path)
            time.sleep(0.002)
        else:
            break
    return True
