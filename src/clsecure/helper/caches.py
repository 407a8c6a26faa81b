"""A session's own layers above the human's caches: what is written there goes with the session."""

from __future__ import annotations

import os

from .places import Owner
from .protocol import Refusal

CACHES = "caches"  # the area of all of them; root's alone, so that no worker can change a name
UPPER, WORK = "upper", "work"
_ROOT = Owner(0, 0, ())
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST = 255  # bytes of a name


def area(path: str) -> str:
    """Return the area of the state that holds the layer for the cache at `path`."""
    return f"{CACHES}/{path.replace('%', '%25').replace('/', '%2F')}"


def check(path: str) -> None:
    """Refuse a cache that no area can be named after."""
    if len(os.fsencode(area(path))) - len(CACHES) > _LONGEST:
        raise Refusal(f"the path of a cache is too long: {path}", code=2)


def ready(state: int, paths: tuple[str, ...], worker: Owner) -> None:
    """Make the layers that are missing, in the open directory of a session's state."""
    for path in paths:
        directory = os.dup(state)
        for name in area(path).split("/"):
            directory = _below(directory, name, 0o700, _ROOT)
        for name, owner in ((UPPER, worker), (WORK, _ROOT)):
            os.close(_below(os.dup(directory), name, 0o755 if name == UPPER else 0o700, owner))
        os.close(directory)


def _below(directory: int, name: str, mode: int, owner: Owner) -> int:
    try:
        try:
            return os.open(name, _DIRECTORY, dir_fd=directory)
        except FileNotFoundError:
            os.mkdir(name, 0o700, dir_fd=directory)
        made = os.open(name, _DIRECTORY, dir_fd=directory)
        os.fchown(made, owner.uid, owner.gid)
        os.fchmod(made, mode)
        return made
    finally:
        os.close(directory)
