"""The user namespace whose map makes the human's files the worker's, and the worker's the human's.

mount_setattr(2) takes such a map from a user namespace (MOUNT_ATTR_IDMAP); no process stays in it.
"""

from __future__ import annotations

import os
import select

from . import syscalls as sc
from .lean import signal
from .places import Owner
from .protocol import Refusal

_MAX_ID = 0xFFFF_FFFF


class Swap:
    """A user namespace that swaps human and worker and leaves everybody else as they are.

    With a map of one id, files of other owners could be neither moved nor removed (EOVERFLOW).
    """

    def __init__(self, human: Owner, worker: Owner) -> None:
        """Make it; raises Refusal where the kernel has none, and OSError."""
        self.human, self.worker = human, worker
        self.userns = _make(human, worker)

    def is_for(self, worker: Owner) -> bool:
        """Say whether this is the one for that worker."""
        return (worker.uid, worker.gid) == (self.worker.uid, self.worker.gid)

    def close(self) -> None:
        """Let it go, unless a mount holds it."""
        os.close(self.userns)


def _make(human: Owner, worker: Owner) -> int:
    ready, told = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            sc.unshare(sc.CLONE_NEWUSER)
            sc.set_death_signal(signal.SIGKILL)
            os.write(told, b".")
            select.select([], [], [], 60)
        finally:
            os._exit(1)
    os.close(told)
    try:
        if os.read(ready, 1) != b".":
            raise Refusal("this kernel has no user namespaces, which idmapped mounts need", code=4)
        for name, one, other in (("uid", human.uid, worker.uid), ("gid", human.gid, worker.gid)):
            with open(f"/proc/{pid}/{name}_map", "w", encoding="ascii") as file:
                file.write(id_map(one, other))
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def id_map(one: int, other: int) -> str:
    """Return the lines of a uid_map (user_namespaces(7)): identity, but these two swapped."""
    low, high = sorted((one, other))
    extents = [
        (0, 0, low),
        (low, high, 1),
        (low + 1, low + 1, high - low - 1),
        (high, low, 1),
        (high + 1, high + 1, _MAX_ID - high - 1),
    ]
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in extents if count)
