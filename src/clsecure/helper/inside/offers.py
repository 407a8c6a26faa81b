"""Runs in the box as the worker: writes the files of the agent's own settings that changed.

Standard input: one JSON object {home, places}: paths in the home, files or directories. A file
there says which came with the home, and with which sha256. Standard output: for each that is new or
changed a line of JSON {path, size, program} and its content, then a line {left}: a list of
[path, reason]. Only regular files are read, through no link.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping

BROUGHT = ".claude/.clsecure-brought"  # in the home: what the files that came with it were
MAX_FILE, MAX_ALL = 1 << 20, 16 << 20  # bytes
MAX_FILES, MAX_LEFT = 300, 50
_MAX_SEEN, _MAX_DEPTH = 20_000, 10


def main() -> int:
    """Write what changed; 1 and a line on standard error when that was cut short."""
    try:
        request = json.load(sys.stdin)
        os.chdir(request["home"])
        _send_all(request["places"], _brought(BROUGHT))
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"offers: {error}\n".encode("ascii", "backslashreplace").decode())
        return 1
    return 0


def _send_all(places: list[str], brought: Mapping[str, object]) -> None:
    from hashlib import sha256  # others import this module for its names alone

    left: list[tuple[str, str]] = []
    files, total = 0, 0
    for path in _paths(places, left):
        content, is_program = _read(path, left)
        if content is None or sha256(content).hexdigest() == brought.get(path):
            continue
        if files == MAX_FILES or total + len(content) > MAX_ALL:
            left.append((path, "there is too much of it"))
            continue
        files, total = files + 1, total + len(content)
        _line({"path": path, "size": len(content), "program": is_program})
        _write(content)
    _line({"left": left[:MAX_LEFT]})


def _brought(path: str) -> Mapping[str, object]:
    content, _ = _read(path, [])
    try:
        document = json.loads(content or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _paths(places: list[str], left: list[tuple[str, str]]) -> Iterator[str]:
    seen = 0
    waiting = [(place, 0) for place in reversed(places)]
    while waiting:
        path, depth = waiting.pop()
        seen += 1
        if seen > _MAX_SEEN:
            left.append((path, "there is too much of it"))
            return
        if depth > _MAX_DEPTH:
            left.append((path, "it lies too deep"))
            continue
        try:
            kind = os.stat(path, follow_symlinks=False).st_mode
            if stat.S_ISDIR(kind):
                names = sorted(os.listdir(path), reverse=True)
                waiting += [(f"{path}/{name}", depth + 1) for name in names]
            elif stat.S_ISREG(kind):
                yield path
            else:
                left.append((path, "it is no regular file"))
        except FileNotFoundError:
            continue
        except OSError as error:
            left.append((path, error.strerror or "it cannot be read"))


def _read(path: str, left: list[tuple[str, str]]) -> tuple[bytes | None, bool]:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(path, flags)
    except OSError as error:
        left.append((path, error.strerror or "it cannot be read"))
        return None, False
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        left.append((path, "it is no regular file"))
        return None, False
    with os.fdopen(file, "rb") as stream:
        content = stream.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        left.append((path, f"it is larger than {MAX_FILE >> 20} MiB"))
        return None, False
    return content, bool(status.st_mode & 0o100)


def _line(document: object) -> None:
    _write(json.dumps(document).encode("ascii") + b"\n")


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main())
