"""The files of the log of decisions: their names, their lines, and how they make room.

`egress.jsonl` is the newest, `egress.1.jsonl` the one before it, up to KEEP. `egress.head` is one
line, the number and digest of the newest record, and the lock under which all of them change.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"

KEEP = 5  # files beside the newest
HEAD = "egress.head"
HEAD_SIZE = 16 + 1 + 64 + 1  # bytes: number, space, digest, newline
_HEAD_LINE = re.compile(rb"([0-9]{16}) ([0-9a-f]{64})\n")
_SEQ_LIMIT = 10**16


class Link(NamedTuple):
    """A place in the chain: the number of a line, and the digest of its bytes without the end."""

    seq: int
    digest: str


START = Link(0, "0" * 64)


def name_of(number: int) -> str:
    """Return the name of a file; 0 is the newest."""
    return f"egress.{number}.jsonl" if number else "egress.jsonl"


def encode(record: Mapping[str, Json]) -> bytes:
    """Return the record's line without its end, in ASCII: what is not is escaped."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode(line: bytes) -> dict[str, Json] | None:
    """Return the record of a line; None for what is not a record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def link_of(record: Mapping[str, Json], line: bytes) -> Link | None:
    """Return the place of a record in the chain; None where it does not say that."""
    seq, previous = record.get("seq"), record.get("prev")
    if type(seq) is not int or not 0 < seq < _SEQ_LIMIT or not isinstance(previous, str):
        return None
    return Link(seq, digest(line))


def digest(line: bytes) -> str:
    """Return the digest of a line without its end."""
    return hashlib.sha256(line).hexdigest()


def read_head(content: bytes) -> Link | None:
    """Return what the head says; None where it says nothing that can be understood."""
    found = _HEAD_LINE.fullmatch(content)
    return Link(int(found[1]), found[2].decode("ascii")) if found else None


def head_line(link: Link) -> bytes:
    """Return the content of the head, always of the same length."""
    return f"{link.seq:016d} {link.digest}\n".encode("ascii")


def write(descriptor: int, content: bytes, at: int | None = None) -> None:
    """Write all of `content`; raises OSError with a part of it written."""
    while content:
        done = os.write(descriptor, content) if at is None else os.pwrite(descriptor, content, at)
        content = content[done:]
        at = None if at is None else at + done


def open_directory(path: Path) -> int:
    """Open the log's directory, made where it is not there, and private in any case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            os.fchmod(descriptor, 0o700)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_file(directory: int, name: str) -> int:
    """Open a file of the log to read and write; a new one is private."""
    append = 0 if name == HEAD else os.O_APPEND  # pwrite(2) ignores its place with O_APPEND
    flags = os.O_RDWR | os.O_CREAT | append | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=directory)


def rotate(directory: int) -> None:
    """Make room for a new file; the last one goes only if every number is taken."""
    taken = set(os.listdir(directory))
    free = next((number for number in range(1, KEEP) if name_of(number) not in taken), KEEP)
    for number in range(free, 0, -1):
        os.rename(name_of(number - 1), name_of(number), src_dir_fd=directory, dst_dir_fd=directory)


@contextmanager
def snapshot(directory: Path) -> Iterator[tuple[bytes | None, list[tuple[str, int, int]]]]:
    """Open all as it is between two appends: the head, and files with their sizes, oldest first."""
    descriptors: list[int] = []

    def opened(name: str) -> int | None:
        try:
            descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        descriptors.append(descriptor)
        return descriptor

    try:
        lock = opened(HEAD)
        content = None
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_SH)
            content = os.pread(lock, HEAD_SIZE + 1, 0)
        found = [(name, opened(name)) for name in map(name_of, range(KEEP, -1, -1))]
        files = [
            (name, descriptor, os.fstat(descriptor).st_size)
            for name, descriptor in found
            if descriptor is not None
        ]
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_UN)
        yield content, files
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def lines(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield the lines of the first `size` bytes, without their ends."""
    with open(descriptor, "rb", closefd=False) as file:
        while size > 0:
            line = file.readline(size)
            if not line:
                return
            size -= len(line)
            yield line.removesuffix(b"\n")
