"""User namespaces whose maps make files somebody else's: the human's the worker's, for one.

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
        self.userns = make(id_map(human.uid, worker.uid), id_map(human.gid, worker.gid))

    def is_for(self, worker: Owner) -> bool:
        """Say whether this is the one for that worker."""
        return (worker.uid, worker.gid) == (self.worker.uid, self.worker.gid)

    def close(self) -> None:
        """Let it go, unless a mount holds it."""
        os.close(self.userns)


def make(users: str, groups: str) -> int:
    """Return a user namespace with these lines as its maps; raises Refusal and OSError."""
    ready, told = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            sc.unshare(sc.CLONE_NEWUSER)
            sc.set_death_signal(signal.SIGKILL)
            if os.getppid() == parent:  # else it died before: nobody would end this one
                os.write(told, b".")
                select.select([], [], [], 60)
        finally:
            os._exit(1)
    os.close(told)
    try:
        if os.read(ready, 1) != b".":
            raise Refusal("this kernel has no user namespaces, which idmapped mounts need", code=4)
        for name, lines in (("uid", users), ("gid", groups)):
            with open(f"/proc/{pid}/{name}_map", "w", encoding="ascii") as file:
                file.write(lines)
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
