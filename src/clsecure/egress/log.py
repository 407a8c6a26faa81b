"""The record of every decision: JSON lines that several processes add to, and a chain over them.

Each line has its number (`seq`) and the SHA-256 of the line before it (`prev`), over rotation too.
The file `egress.head`, which is also the lock, has the number and digest of the newest, so that
lines missing at the end are seen as well. It shows damage and careless edits: the chain has no
key, and whoever may write these files can compute all of it anew.

The head is written before the line. So what is lost between the two (a kill, a power cut) shows as
missing and the chain goes on after it; nothing is synchronised to the disk.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from clsecure.egress import logfiles
from clsecure.egress.logfiles import Json, Link

LIMIT = 16 << 20  # bytes of a file, unless one record alone is larger
_OWN_FIELDS = frozenset(("seq", "prev"))


class Place(NamedTuple):
    """Where the log is not as it was written, and in which way."""

    file: str
    line: int  # the first is 1; 0 is the file as a whole
    reason: str


class Verification(NamedTuple):
    """What was read, and where it is broken; an intact log has no place."""

    records: int
    files: int
    broken: tuple[Place, ...]


class Log:
    """Adds records; for one thread, in as many processes as there are, forks of this one too.

    The files are the human's alone: 0600 in a directory of 0700; symbolic links are not followed.
    """

    def __init__(self, directory: Path, limit: int = LIMIT) -> None:
        self.directory = directory
        self._limit = limit
        self._process = 0
        self._descriptors: list[int] = []

    def close(self) -> None:
        """Close the files; an append opens them again."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def append(self, record: Mapping[str, Json]) -> None:
        """Add one record, or nothing of it.

        Raises OSError where it cannot be written, ValueError for what is not JSON or has `seq` or
        `prev` itself. A line that a crash has cut off is ended first, and stays for verify().
        """
        if not _OWN_FIELDS.isdisjoint(record):
            raise ValueError("seq and prev are the log's own")
        directory, head, current = self._lock()
        try:
            written = os.pread(head, logfiles.HEAD_SIZE + 1, 0)
            last = logfiles.read_head(written) or logfiles.START
            line = logfiles.encode({**record, "seq": last.seq + 1, "prev": last.digest})
            current, size = self._current(directory, current, len(line) + 1)
            prefix = b"\n" if size and os.pread(current, 1, size - 1) != b"\n" else b""
            newest = Link(last.seq + 1, logfiles.digest(line))
            try:
                logfiles.write(head, logfiles.head_line(newest), at=0)
                if len(written) > logfiles.HEAD_SIZE:
                    os.ftruncate(head, logfiles.HEAD_SIZE)
                logfiles.write(current, prefix + line + b"\n")
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(current, size)
                with suppress(OSError):
                    logfiles.write(head, written, at=0)
                    os.ftruncate(head, len(written))
                raise
        finally:
            fcntl.flock(head, fcntl.LOCK_UN)

    def _lock(self) -> list[int]:
        while True:
            descriptors = self._open()
            fcntl.flock(descriptors[1], fcntl.LOCK_EX)
            if os.fstat(descriptors[1]).st_nlink:
                return descriptors
            self.close()  # somebody removed the log: begin a new one

    def _open(self) -> list[int]:
        """Return the descriptors of directory, head and newest file, this process's own.

        A fork shares its parent's locks with the descriptors, and may have closed them: it opens
        anew, and leaves the old ones alone.
        """
        if self._process != os.getpid():
            self._descriptors = []
            self._process = os.getpid()
        if not self._descriptors:
            directory = logfiles.open_directory(self.directory)
            self._descriptors.append(directory)
            for name in (logfiles.HEAD, logfiles.name_of(0)):
                try:
                    self._descriptors.append(logfiles.open_file(directory, name))
                except BaseException:
                    self.close()
                    raise
        return self._descriptors

    def _current(self, directory: int, current: int, coming: int) -> tuple[int, int]:
        """Return the newest file, with room for `coming` bytes, and its size."""
        status = os.fstat(current)
        try:
            there = os.stat(logfiles.name_of(0), dir_fd=directory, follow_symlinks=False)
            is_the_one = (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino)
        except FileNotFoundError:
            is_the_one = False
        if not is_the_one:  # another process has rotated
            current = self._reopen(directory)
            status = os.fstat(current)
        if status.st_size and status.st_size + coming > self._limit:
            logfiles.rotate(directory)
            current = self._reopen(directory)
            status = os.fstat(current)
        return current, status.st_size

    def _reopen(self, directory: int) -> int:
        fresh = logfiles.open_file(directory, logfiles.name_of(0))
        os.close(self._descriptors[-1])
        self._descriptors[-1] = fresh
        return fresh


def records(directory: Path) -> Iterator[dict[str, Json]]:
    """Yield every record, the oldest first; what a crash has torn is left out.

    Reads what was there at the first step, rotation notwithstanding. Raises OSError where a file
    cannot be read; a log that does not exist is empty.
    """
    with logfiles.snapshot(directory) as (_, files):
        for _, descriptor, size in files:
            for line in logfiles.lines(descriptor, size):
                record = logfiles.decode(line)
                if record is not None:
                    yield record


def verify(directory: Path) -> Verification:
    """Find where records were changed, removed, added or put into another order since.

    Not seen is the removal of the oldest while there are files up to the last number, since
    rotation removes them too. Raises OSError where a file cannot be read.
    """
    chain = _Chain()
    with logfiles.snapshot(directory) as (head, files):
        chain.begins_anywhere = any(name == logfiles.name_of(logfiles.KEEP) for name, _, _ in files)
        for name, descriptor, size in files:
            for number, line in enumerate(logfiles.lines(descriptor, size), 1):
                chain.follow(Place(name, number, ""), line)
    chain.end(head)
    return Verification(chain.count, len(files), tuple(chain.broken))


class _Chain:
    """Follows the lines of all files, and notes where one does not follow from the one before."""

    def __init__(self) -> None:
        self.begins_anywhere = False
        self.broken: list[Place] = []
        self.count = 0
        self._place = Place(logfiles.name_of(0), 0, "")
        self._last: Link | None = logfiles.START  # None after a line that could not be read

    def follow(self, place: Place, line: bytes) -> None:
        record = logfiles.decode(line)
        link = None if record is None else logfiles.link_of(record, line)
        if record is None or link is None:
            self._note(place, "not a record: cut off by a crash, or changed")
        else:
            self.count += 1
            self._compare(place, link, record["prev"])
        self._place = place
        self._last = link

    def end(self, head: bytes | None) -> None:
        """Compare the newest line with the head (None where there is no such file)."""
        is_new = not head and not self._place.line
        newest = logfiles.START if is_new else logfiles.read_head(head or b"")
        if newest is None:
            place = Place(logfiles.HEAD, 0, "")
            self._note(place, "missing or changed: the newest records may be too")
        elif self._last is None:
            pass  # noted already
        elif newest.seq > self._last.seq:
            self._note(self._place, f"records missing after it: {newest.seq - self._last.seq}")
        elif newest.seq < self._last.seq:
            self._note(self._place, "added by something else than the log")
        elif newest != self._last:
            self._note(self._place, "changed after it was written")

    def _compare(self, place: Place, link: Link, previous: Json) -> None:
        last = self._last
        is_first = not self._place.line
        if last is None or (is_first and self.begins_anywhere):
            return
        skipped = link.seq - last.seq - 1
        if skipped > 0:
            self._note(place, f"records missing before it: {skipped}")
        elif skipped < 0:
            self._note(place, "out of its order, or added")
        elif previous != last.digest:
            self._note(place if is_first else self._place, "changed after it was written")

    def _note(self, place: Place, reason: str) -> None:
        self.broken.append(place._replace(reason=reason))
