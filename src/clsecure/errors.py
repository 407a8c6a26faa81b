"""What can go wrong for a person: one line, what to do next, and an exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of clsecure itself; where the agent ran, its own code is passed on instead."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    REFUSED = 3
    MISSING = 4
    BUSY = 5
    IMPORT = 6
    INTERRUPTED = 130


class UserError(Exception):
    """An error a person can meet.

    `message` is one line without a full stop; `hint` says what to do next, or is empty.
    """

    def __init__(self, message: str, *, hint: str = "", code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
