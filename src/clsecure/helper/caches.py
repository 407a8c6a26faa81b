"""A session's own layers above the human's caches: what is written there goes with the session."""

from __future__ import annotations

import os

from . import syscalls as sc
from .places import Owner
from .protocol import Open, Refusal

CACHES = "caches"  # the area of all of them; root's alone, so that no worker can change a name
UPPER, WORK = "upper", "work"
_ROOT = Owner(0, 0, ())
_INSIDE = sc.NO_LINKS | sc.RESOLVE_BENEATH
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST = 255  # bytes of a name
_CONVERSATION, _HEXADECIMAL = ".jsonl", "0123456789abcdef"
_UUID, _PARTS = 36, (8, 4, 4, 4, 12)  # characters


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


def newest_conversation(state: int, request: Open) -> str:
    """Return the id of the last conversation in the layer of what is probed; empty: none.

    What lies there is a worker's: only names are read, and only one that is an id is returned.
    """
    probed = f"{request.home}/{request.probe}"
    if all(one.at != probed for one in request.state):
        return ""
    layer = sc.openat2(state, f"{area(probed)}/{UPPER}", _DIRECTORY, resolve=_INSIDE)
    try:
        with os.scandir(layer) as entries:
            found = [
                (entry.stat(follow_symlinks=False).st_mtime_ns, entry.name[:_UUID])
                for entry in entries
                if _is_conversation(entry.name) and entry.is_file(follow_symlinks=False)
            ]
    finally:
        os.close(layer)
    return max(found)[1] if found else ""


def _is_conversation(name: str) -> bool:
    parts = name[:_UUID].split("-")
    is_id = tuple(map(len, parts)) == _PARTS and not "".join(parts).strip(_HEXADECIMAL)
    return is_id and name[_UUID:] == _CONVERSATION


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
