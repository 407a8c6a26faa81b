"""The layer that hides secrets: a tmpfs of whiteouts above the human's tree."""

from __future__ import annotations

import os

from . import syscalls as sc
from .protocol import Refusal

_WHITEOUT = 0o020000  # S_IFCHR; with device 0:0 an overlay takes it for "not there"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_QUIET = sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV


def mask_layer(lower: int, masks: tuple[str, ...]) -> int:
    """Return a tmpfs whose whiteouts hide those paths of `lower`.

    Its directories look like the originals, since the top layer's attributes are what shows.
    Raises Refusal for a path that leaves the tree.
    """
    layer = sc.new_filesystem("tmpfs", (("mode", "0700"), ("size", "16m")), (), _QUIET)
    top = os.open(".", _DIRECTORY, dir_fd=layer)
    _copy_looks(lower, top)
    for path in masks:
        parts = path.split("/")
        if not all(part not in ("", ".", "..") for part in parts):
            raise Refusal("a mask is not a plain relative path", code=2)
        _hide(os.dup(lower), os.dup(top), parts)
    os.close(top)
    return layer


def _hide(original: int, copy: int, parts: list[str]) -> None:
    try:
        for part in parts[:-1]:
            below = _below(original, part)
            if below is None:
                return  # gone or replaced since the scan: nothing to hide at this path
            os.close(original)
            original = below
            above, copy = copy, _twin(copy, part, original)
            os.close(above)
        if parts[-1] not in os.listdir(copy):
            os.mknod(parts[-1], _WHITEOUT, 0, dir_fd=copy)
    finally:
        os.close(original)
        os.close(copy)


def _below(directory: int, name: str) -> int | None:
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        return sc.openat2(directory, name, flags, resolve=sc.NO_LINKS | sc.RESOLVE_BENEATH)
    except OSError:
        return None


def _twin(copy: int, name: str, original: int) -> int:
    is_new = name not in os.listdir(copy)
    if is_new:
        os.mkdir(name, 0o700, dir_fd=copy)
    twin = os.open(name, _DIRECTORY, dir_fd=copy)
    if is_new:
        _copy_looks(original, twin)
    return twin


def _copy_looks(original: int, copy: int) -> None:
    status = os.fstat(original)
    os.fchown(copy, status.st_uid, status.st_gid)
    os.fchmod(copy, status.st_mode & 0o7777)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
