"""The one way to run another program: an argv tuple, an explicit environment, one error type."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

Argument = str | os.PathLike[str]


class Completed(NamedTuple):
    """A program that has ended: its argv, exit code (negative: the signal) and output as bytes."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 survive as surrogates."""
        return os.fsdecode(self.stdout)


class CommandFailed(Exception):
    """A program ended with a code other than 0; the text holds argv and the end of its stderr."""

    def __init__(self, completed: Completed) -> None:
        import signal

        code = completed.returncode
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        said = os.fsdecode(completed.stderr).strip()[-2000:]
        super().__init__(f"{' '.join(completed.argv)}: {how}" + (f": {said}" if said else ""))
        self.completed = completed


def run(
    *argv: Argument,
    env: Mapping[str, str] | None = None,
    cwd: Argument | None = None,
    stdin: bytes | int | IO[bytes] = b"",
    stdout: int | IO[bytes] | None = None,
    check: bool = True,
) -> Completed:
    """Run `argv` to its end and return it.

    `stdin` is what the program reads (bytes) or a descriptor; `stdout` a descriptor, or None to
    collect it. `env` None means this process's own. Raises CommandFailed when `check` and the
    code is not 0, FileNotFoundError when there is no such program.
    """
    import subprocess  # 2 ms, and a start runs its programs by `program`

    words: Sequence[str] = tuple(os.fspath(word) for word in argv)
    with subprocess.Popen(
        words,
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE if isinstance(stdin, bytes) else stdin,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
    ) as running:
        try:
            said = running.communicate(stdin if isinstance(stdin, bytes) else None)
        except BaseException:
            running.terminate()  # not SIGKILL, as `subprocess.run` does: git takes its locks away
            raise
    completed = Completed(tuple(words), running.returncode, said[0] or b"", said[1])
    if check and completed.returncode:
        raise CommandFailed(completed)
    return completed
