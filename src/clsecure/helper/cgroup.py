"""The session's cgroup, where the host has version 2: all its processes can be ended at once."""

from __future__ import annotations

import os
import time

_NAME = "clsecure"


class Cgroup:
    """A cgroup of its own for one box, made empty; without cgroup v2 it does nothing.

    The end of the box's pid namespace ends its processes in any case; this is the second way.
    """

    def __init__(self, worker: str) -> None:
        self.path = ""
        self.descriptor: int | None = None
        hierarchy = _hierarchy()
        if hierarchy is None:
            return
        parent = f"{hierarchy}/{_NAME}"
        path = f"{parent}/{worker}"
        try:
            os.makedirs(parent, 0o755, exist_ok=True)
            _remove(path)
            os.mkdir(path, 0o755)
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
        _remove(self.path)
        _remove_parent(self.path)


def sweep(worker: str) -> None:
    """Remove what a killed helper has left of that worker's cgroup, with every process in it."""
    path = f"{_hierarchy()}/{_NAME}/{worker}"
    if os.path.isdir(path):
        _remove(path)
        _remove_parent(path)


def _hierarchy() -> str | None:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.startswith("cgroup2 ") and "rw" in before.split(" ")[5].split(","):
                return before.split(" ")[4]
    return None


def _kill(path: str) -> None:
    try:
        with open(f"{path}/cgroup.kill", "w", encoding="ascii") as file:  # since Linux 5.14
            file.write("1")
    except OSError:
        pass


def _remove_parent(path: str) -> None:
    try:
        os.rmdir(os.path.dirname(path))
    except OSError:
        pass  # other sessions run


def _remove(path: str) -> None:
    # A cgroup goes once its last process has been reaped; one left by a killed helper is swept
    # here.
    for _ in range(250):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:
            _kill(path)
            time.sleep(0.002)
        else:
            return
