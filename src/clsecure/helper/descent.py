"""What a child of init has to become before it is the worker's: nothing of root's goes with it."""

from __future__ import annotations

import os
import resource

from . import syscalls as sc
from .lean import signal
from .seccomp import base_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .launch import Box

_OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)  # before the helper raises its own
_OOM_SCORE = "/proc/self/oom_score_adj"
_NOT_OURS = (signal.SIGKILL, signal.SIGSTOP, 32, 33)  # the last two are the C library's


def prepare(box: Box, descriptors: tuple[int, ...]) -> None:
    """Keep these descriptors, as 0 and up, and have the box's limits and outer filter."""
    for number, descriptor in enumerate([os.dup(one) for one in descriptors]):
        os.dup2(descriptor, number)
    os.closerange(len(descriptors), 65536)
    for number in range(1, signal.NSIG):
        if number not in _NOT_OURS:
            signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(box)
    sc.new_session_keyring()
    sc.set_seccomp(base_program())


def become_worker(box: Box) -> None:
    """Take the worker's ids, for good."""
    os.setgroups([])
    os.setresgid(box.gid, box.gid, box.gid)
    os.setresuid(box.uid, box.uid, box.uid)


def _limit(box: Box) -> None:
    if box.request.limits.memory:
        set_oom_score(box.oom_score)
    for kind, most in (
        (resource.RLIMIT_AS, box.rest.memory),
        (resource.RLIMIT_NPROC, box.rest.pids),  # of this user, who has no other session
    ):
        if most:
            resource.setrlimit(kind, (most, most))


def get_oom_score() -> int:
    """Return how willingly the kernel would end this process for memory."""
    with open(_OOM_SCORE, encoding="ascii") as file:
        return int(file.read())


def set_oom_score(score: int) -> None:
    """Set that for this process, and for its later children; raises PermissionError below it."""
    with open(_OOM_SCORE, "w", encoding="ascii") as file:
        file.write(str(score))
