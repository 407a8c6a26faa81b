"""Whether a path is root's alone: it, and every directory and link on the way to it."""

from __future__ import annotations

import os
import stat

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MAX_LINKS = 40  # as the kernel: path_resolution(7)


def why_not(path: str) -> str:
    """Return why others than root could change what `path` leads to; empty if they cannot."""
    parts = _parts(path)
    at, links = "", 0
    while True:
        try:
            status = os.lstat(at or "/")
        except OSError as error:
            return f"{at or '/'}: {error.strerror}"
        if status.st_uid:
            return f"{at or '/'} does not belong to root"
        if stat.S_ISLNK(status.st_mode):  # its mode means nothing
            links += 1
            if links > _MAX_LINKS:
                return f"{path} is a loop of links"
            target = os.readlink(at)
            parts = _parts(target) + parts
            at = "" if target.startswith("/") else os.path.dirname(at).rstrip("/")
            continue
        if status.st_mode & _OTHERS_WRITE:
            return f"{at or '/'} can be written by others than root"
        if not parts:
            return ""
        name = parts.pop(0)
        at = os.path.dirname(at).rstrip("/") if name == ".." else f"{at}/{name}"


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
