"""What of the host's programs is not for everybody to read: to be hidden from root of a container.

Loaded only where there can be one.
"""

from __future__ import annotations

import os

from .protocol import Refusal

_FIND = "/usr/bin/find"
_LARGEST = 8 << 20  # bytes of paths


def withheld(directory: str) -> tuple[str, ...]:
    """Return the paths below it, relative to it, that some user may not read; raises Refusal.

    A directory stands for all that lies in it. Takes about half a second for a whole /usr.
    """
    found = os.memfd_create("withheld", os.MFD_CLOEXEC)
    try:
        argv = (
            *(_FIND, directory, "-xdev", "-mindepth", "1", "-ignore_readdir_race"),
            *("(", "-type", "d", "!", "-perm", "-005", "-prune"),
            *("-o", "!", "-type", "l", "!", "-type", "d", "!", "-perm", "-004", ")"),
            *("-printf", "%P\\0"),
        )
        actions = [(os.POSIX_SPAWN_DUP2, found, 1)]
        pid = os.posix_spawn(_FIND, argv, {"LC_ALL": "C"}, file_actions=actions)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            raise Refusal(f"{directory} cannot be searched: find ended with {code}", code=1)
        names = os.pread(found, _LARGEST, 0)
        if len(names) == _LARGEST:
            raise Refusal(f"too much of {directory} is not for everybody to read", code=1)
    finally:
        os.close(found)
    return tuple(os.fsdecode(name) for name in names.split(b"\0") if name)
