"""What sessions use now: memory and processes of those that run, and what lies on their disks.

Loaded by `list` alone.
"""

from __future__ import annotations

import os

from . import cgroup
from .accounts import processes_of, run_program
from .disk import IMAGE
from .protocol import Session, Use
from .state import ROOT

_PAGE = os.sysconf("SC_PAGE_SIZE")
_BLOCK = 512  # bytes, of st_blocks
_SECONDS = 3  # to add up what a session keeps


def uses(root: int, sessions: tuple[Session, ...]) -> tuple[Use, ...]:
    """Return what each of the sessions uses, in their order."""
    hierarchies = cgroup.hierarchies()
    return tuple(_use(root, session, hierarchies) for session in sessions)


def _use(root: int, session: Session, hierarchies: dict[str, str]) -> Use:
    disk = _allocated(root, session.worker) if session.disk else _kept(session.worker)
    if not session.running:
        return Use(disk=disk)
    pids = list(processes_of(session.uid))
    memory = _charged(hierarchies, session.worker)
    if memory < 0:
        memory = sum(_resident(pid) for pid in pids)
    return Use(memory=memory, processes=len(pids), disk=disk)


def _allocated(root: int, worker: str) -> int:
    try:
        status = os.stat(f"{worker}/{IMAGE}", dir_fd=root, follow_symlinks=False)
    except OSError:
        return -1  # it is being removed
    return status.st_blocks * _BLOCK


def _kept(worker: str) -> int:
    # All areas: work, home and what a podman has there, layers of a container's system. du follows
    # no link and stays on that file system. How many files there are is up to the worker, and 1 is
    # its code where some have just gone.
    words = (f"{_SECONDS}", "du", "-s", "-x", "-B1", f"{ROOT}/{worker}")
    code, said = run_program("timeout", *words, package="the package 'coreutils'")
    size = said.rpartition("\n")[2].split("\t")[0]
    return int(size) if code in (0, 1) and size.isdigit() else -1


def _charged(hierarchies: dict[str, str], worker: str) -> int:
    # Of a controller, which counts files in memory, too.
    for name, file in (("memory", "memory.usage_in_bytes"), ("", "memory.current")):
        if name in hierarchies:
            said = _read(f"{cgroup.place(hierarchies[name], worker)}/{file}")
            if said.isdigit():
                return int(said)
    return -1


def _resident(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if len(fields) > 1 else 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
