"""Which sessions there are, and which names are free: a look through all of root's memory."""

from __future__ import annotations

import errno
import fcntl
import os

from .protocol import Refusal, Session
from .state import DIRECTORY, State, is_there, maker_of, read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def is_free(root: int, worker: str, human: int) -> bool:
    """Say whether a session of that human may be made under this name.

    Nobody has it, or the human's own session was never finished, or is being made just now: its
    lock then decides.
    """
    try:
        directory = os.open(worker, DIRECTORY, dir_fd=root)
    except FileNotFoundError:
        return True
    try:
        return not is_there(directory, "record.json") and maker_of(directory) in (None, human)
    finally:
        os.close(directory)


def unfinished(root: int, human: int) -> Iterator[State]:
    """Yield, locked, the states of that human's sessions whose making was cut short."""
    for worker in sorted(os.listdir(root)):
        try:
            directory = os.open(worker, DIRECTORY, dir_fd=root)
        except (NotADirectoryError, FileNotFoundError):
            continue
        try:
            wanted = not is_there(directory, "record.json") and maker_of(directory) == human
        finally:
            os.close(directory)
        if not wanted:
            continue
        try:
            state = State(root, worker, attempts=1)
        except Refusal:
            continue  # it is being made
        try:
            if not state.is_recorded():
                yield state
        finally:
            state.close()


def all_sessions(root: int, human: int) -> tuple[Session, ...]:
    """Return the sessions of that human; root sees everybody's own alone, too."""
    found = []
    for worker in sorted(os.listdir(root)):
        try:
            directory = os.open(worker, DIRECTORY, dir_fd=root)
        except (NotADirectoryError, FileNotFoundError):
            continue
        try:
            session = _read_quietly(directory)
            if session and session.human == human:
                found.append(session.replace(running=_is_locked(directory)))
        finally:
            os.close(directory)
    return tuple(found)


def _read_quietly(directory: int) -> Session | None:
    # One damaged record must not hide the other sessions.
    try:
        return read_record(directory)
    except Refusal:
        return None


def _is_locked(directory: int) -> bool:
    try:
        lock = os.open("lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
        return True
    finally:
        os.close(lock)
    return False
