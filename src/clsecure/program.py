"""A program beside this one: its output is collected while we go on.

By posix_spawn(3), which copies none of our pages, where a fork waits for them. `subprocess` takes
2 ms to import; a start waits for this module, so it imports next to nothing.
"""

from __future__ import annotations

import os

from clsecure.helper.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PIECE = 1 << 16
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)  # by Python, and thus by its children


class Program:
    """A program that reads `stdin` (a descriptor; -1 is /dev/null) and writes to us.

    Wait for its end with `result`, or `close` it.
    """

    def __init__(
        self, argv: tuple[str, ...], environ: Mapping[str, str], *, at: str = "", stdin: int = -1
    ) -> None:
        """Start it in the directory `at`. Raises FileNotFoundError, PermissionError."""
        self.code: int | None = None
        self._stderr = os.memfd_create("stderr", os.MFD_CLOEXEC)
        self._stdout, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            streams = {1: theirs, 2: self._stderr, **({0: stdin} if stdin >= 0 else {})}
            self._pid = spawn(argv, environ, streams, at=at)
        except BaseException:
            os.close(self._stdout)
            os.close(self._stderr)
            raise
        finally:
            os.close(theirs)

    def result(self) -> tuple[int, bytes, bytes]:
        """Wait for the end; returns exit code (negative: a signal), output and what was said."""
        pieces = []
        try:
            while piece := os.read(self._stdout, _PIECE):
                pieces.append(piece)
            code = self._wait()
            said = os.pread(self._stderr, os.fstat(self._stderr).st_size, 0)
        finally:
            self.close()
        return code, b"".join(pieces), said

    def close(self) -> None:
        """End it, if it has not ended, and let go of what it wrote."""
        if self.code is None:
            os.kill(self._pid, signal.SIGTERM)  # not SIGKILL: git takes its locks away first
            self._wait()
        for descriptor in {self._stdout, self._stderr} - {-1}:
            os.close(descriptor)
        self._stdout = self._stderr = -1

    def _wait(self) -> int:
        self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self.code


def spawn(
    argv: tuple[str, ...], environ: Mapping[str, str], streams: Mapping[int, int], *, at: str = ""
) -> int:
    """Start a program with these descriptors (its number to ours) and return its pid.

    Standard streams that are not named are /dev/null. For a program that has one thread: another
    directory is entered for a moment. Raises FileNotFoundError, PermissionError.
    """
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in streams.items()
    ]
    for number in {0, 1, 2} - streams.keys():
        flags = os.O_WRONLY if number else os.O_RDONLY
        actions.append((os.POSIX_SPAWN_OPEN, number, os.devnull, flags, 0))
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if at else -1
    try:
        if at:  # posix_spawn knows no directory of its own
            os.chdir(at)
        return os.posix_spawnp(argv[0], argv, environ, file_actions=actions, setsigdef=_IGNORED)
    finally:
        if at:
            os.fchdir(here)
            os.close(here)
