"""What a session changed in its tree: a walk over the overlay's upper layer, by descriptors.

Marks of the layer (Documentation/filesystems/overlayfs.rst): a character device 0:0 is a whiteout;
`trusted.overlay.opaque` and `.redirect` mean that a directory is another one than below.
"""

from __future__ import annotations

import os
import stat

from .syscalls import NO_LINKS, RESOLVE_BENEATH, openat2

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_DEPTH = 400  # a descriptor and a call a level


def changed_paths(upper: int, lower: int) -> list[bytes]:
    """Return the changed paths, relative to the tree.

    A directory stands for everything below it where it was replaced or is not in the tree below.
    """
    found: list[bytes] = []
    _walk(upper, lower, b"", found, 0)
    return found


def _walk(upper: int, lower: int, prefix: bytes, found: list[bytes], depth: int) -> None:
    for name in sorted(os.fsencode(entry) for entry in os.listdir(upper)):
        if not prefix and name == b".git":
            continue
        status = os.stat(name, dir_fd=upper, follow_symlinks=False)
        below = _directory_below(lower, name) if stat.S_ISDIR(status.st_mode) else None
        if below is None or depth == _MAX_DEPTH:
            found.append(prefix + name)
            continue
        child = os.open(name, _DIRECTORY, dir_fd=upper)
        try:
            if _is_replaced(child):
                found.append(prefix + name)
            else:
                _walk(child, below, prefix + name + b"/", found, depth + 1)
        finally:
            os.close(child)
            os.close(below)


def _directory_below(lower: int, name: bytes) -> int | None:
    try:
        return openat2(
            lower, os.fsdecode(name), os.O_PATH | os.O_DIRECTORY, resolve=NO_LINKS | RESOLVE_BENEATH
        )
    except OSError:
        return None


def _is_replaced(directory: int) -> bool:
    for mark, meaning in (("redirect", None), ("opaque", b"y")):
        try:
            value = os.getxattr(directory, f"trusted.overlay.{mark}")
        except OSError:
            continue
        if meaning is None or value == meaning:
            return True
    return False
