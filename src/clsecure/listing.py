"""The names below a project's top, of which the secrets are sought: listed by one `find`.

A start waits for it, so this module imports next to nothing.
"""

from __future__ import annotations

import fcntl
import os
import time

from clsecure.helper.lean import signal
from clsecure.program import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Trees that tools fill: large, and a secret in them was not put there by the human.
PRUNED: tuple[str, ...] = (
    *(".git", "node_modules", "site-packages", ".venv", "venv", ".tox", ".nox", "target"),
    *("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".gradle", ".terraform"),
)
_F_SETPIPE_SZ, _PIPE = 1031, 1 << 20  # fcntl(2); the most that a user may have without rights
_DIRECTORIES = 3  # the descriptor on which `find` says what the directories are


class Listing:
    """`find` below `top`: names relative to it, each ended by a zero byte, from `descriptor`.

    `directories` is a memory file with path, device, inode and change time (in seconds, with a
    fraction) of each directory, as they were before it was read; each field ends in a zero byte.
    """

    def __init__(self, top: str, environ: Mapping[str, str]) -> None:
        """Start it. Raises FileNotFoundError where there is no `find`."""
        self.top, self.begun = top, time.time_ns()
        self.directories = os.memfd_create("directories", os.MFD_CLOEXEC)
        self.descriptor, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            _widen(theirs)
            streams = {1: theirs, _DIRECTORIES: self.directories}
            self._pid = spawn(_find(), {**environ, "LC_ALL": "C"}, streams, at=top)
        except BaseException:
            os.close(self.descriptor)
            os.close(self.directories)
            raise
        finally:
            os.close(theirs)

    def wait(self) -> int:
        """Wait for its end; returns its exit code, as it was if it was awaited before."""
        if self._pid:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            self._pid = 0
        return self._code

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self.wait()
        for descriptor in {self.descriptor, self.directories} - {-1}:
            os.close(descriptor)
        self.descriptor = self.directories = -1


def _find() -> tuple[str, ...]:
    prune = [word for name in PRUNED for word in ("-o", "-name", name)][1:]
    # Files first: find would else compare each of them with the names of pruned directories.
    files = ("find", ".", "!", "-type", "d", "-print0")
    said = ("-fprintf", f"/dev/fd/{_DIRECTORIES}", r"%p\0%D\0%i\0%C@\0")
    return (*files, "-o", "(", *prune, ")", "-prune", "-o", *said, "-print0")


def _widen(pipe: int) -> None:
    # Then `find` need not wait for its reader.
    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE)
    except OSError:
        return  # this user's pipes have all the room that they may have
