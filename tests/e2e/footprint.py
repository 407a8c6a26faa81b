"""What a repository on the host looks like, byte for byte, so that a test can tell what changed."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path


def footprint(top: Path, git_dir: Path | None = None) -> dict[str, str]:
    """Describe every file below `top` (and `git_dir`) but for objects."""
    found: dict[str, str] = {}
    for root in {top, git_dir or top / ".git"}:
        for directory, names, files in os.walk(os.fsencode(root)):
            for name in [*names, *files]:
                path = os.path.join(directory, name)
                found[os.fsdecode(path)] = _describe(path)
    return {path: what for path, what in found.items() if "/.git/objects/" not in path}


def changes(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """What was changed, removed or added, but for the refs that clsecure says it makes."""
    different = {
        path: "changed" for path in before if path in after and before[path] != after[path]
    }
    different |= {path: "removed" for path in before if path not in after}
    different |= {path: "added" for path in after if path not in before}
    return {path: how for path, how in different.items() if not _is_own(path, how)}


def _is_own(path: str, how: str) -> bool:
    return "/refs/clsecure" in path or (how != "changed" and path.endswith("/logs/refs"))


def _describe(path: bytes) -> str:
    status = os.lstat(path)
    mode = f"{stat.filemode(status.st_mode)} {status.st_uid}"
    if stat.S_ISLNK(status.st_mode):
        return f"{mode} -> {os.readlink(path)!r}"
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return f"{mode} {hashlib.sha256(file.read()).hexdigest()} {status.st_mtime_ns}"
    return mode
