"""Runs in the box as the worker: writes the contents that git-lfs keeps for the session.

Standard input: one JSON object {git_dir, wanted}, where `wanted` is a list of [sha256, size].
Standard output: for each that is there with that size, a line "sha256 size" and the content.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

_AT_ONCE = 1 << 20  # bytes


def main() -> int:
    """Write what is there; 1 and a line on standard error when that was cut short."""
    try:
        request = json.load(sys.stdin)
        stores = list(_stores(Path(request["git_dir"])))
        for oid, size in request["wanted"]:
            for store in stores:
                if _send(store / oid[:2] / oid[2:4] / oid, oid, size):
                    break
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"git-lfs: {error}\n".encode("ascii", "backslashreplace").decode())
        return 1
    return 0


def _stores(git_dir: Path) -> Iterator[Path]:
    """Yield the session's own store, then those that it borrows."""
    if git_dir.is_file():
        git_dir /= os.fsdecode(git_dir.read_bytes()).removeprefix("gitdir:").strip()
    yield git_dir / "lfs/objects"
    try:
        listed = (git_dir / "objects/info/alternates").read_bytes()
    except OSError:
        return
    for line in listed.split(b"\n"):
        if line.startswith(b"/"):
            yield Path(os.fsdecode(line)).parent / "lfs/objects"


def _send(path: Path, oid: str, size: int) -> bool:
    """Write one content; False when it is not there, or of another size."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
        out = sys.stdout.fileno()
        _write(out, f"{oid} {size}\n".encode())
        while data := os.read(file, _AT_ONCE):
            _write(out, data)
    finally:
        os.close(file)
    return True


def _write(out: int, data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]
