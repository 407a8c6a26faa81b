"""Brings home the contents that git-lfs keeps outside of git, for the pointers of a session.

A pointer in a new commit says which content belongs to it: its sha256 and its size. What of these
is not in the human's store is asked for, read from a pipe, and takes its place there only if it
has that sha256; the worker names nothing, and git-lfs is not run. See git-lfs's docs/spec.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from clsecure.git import Git, lfs_store
from clsecure.homecoming.inside import Runner, inside_command
from clsecure.homecoming.objects import PROMISED, look_up

MAX_OBJECT = 5 << 30  # bytes of one content; hosts of git-lfs take no more
MAX_ALL = 20 << 30  # bytes of all that one session brings
_RESERVE = 20  # one part in so many of the disk stays free
_POINTER_AT_MOST = 1024  # bytes
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n"
)
_SENT = re.compile(rb"([0-9a-f]{64}) ([0-9]{1,15})\n")
_AT_ONCE = 1 << 20  # bytes


class Wanted(NamedTuple):
    """A content that a pointer names: its size in bytes, and a file that it belongs to."""

    size: int
    path: str


def bring(git: Git, runner: Runner, git_dir: Path, tips: Iterable[str]) -> list[str]:
    """Put what the pointers reachable from `tips` need into the human's store; return warnings.

    `git_dir` is the repository's in the box. Raises OSError when the store cannot be written.
    """
    pointers = _pointers(git, tips)
    if not pointers:
        return []
    storage = git.run("config", "--get", "lfs.storage", check=False).text.strip()
    store = lfs_store(git.repository.common_dir, storage)
    missing = {
        oid: wanted for oid, wanted in pointers.items() if not _is_there(store, oid, wanted.size)
    }
    if not missing:
        return []
    store.mkdir(parents=True, exist_ok=True)
    asked, warnings = _within_limits(store, missing)
    receiver = _Receiver(store, asked)
    if asked:
        _receive(runner, git_dir, receiver)
    warnings += [
        f"git-lfs: a content with another sha256 is refused: {asked[oid].path}"
        for oid in receiver.refused
    ]
    absent = [asked[oid].path for oid in asked if oid not in {*receiver.kept, *receiver.refused}]
    warnings += [f"git-lfs: the session does not have the content of {path}" for path in absent]
    return warnings


def _pointers(git: Git, tips: Iterable[str]) -> dict[str, Wanted]:
    """Return the pointers among the files that `tips` have and the human has not."""
    asked = "".join(f"{oid}\n" for oid in tips).encode()
    known = ("--not", "--exclude=refs/clsecure/*", "--all")
    walk = ("rev-list", "--objects", PROMISED, "--stdin", *known)
    lines = git.run(*walk, stdin=asked).text.split("\n")
    paths = dict(line.partition(" ")[::2] for line in lines if line)
    objects = look_up(git, paths)
    small = [one.oid for one in objects if one.kind == "blob" and one.size < _POINTER_AT_MOST]
    found = {}
    for oid, content in _contents(git, small):
        if match := _POINTER.fullmatch(content):
            found[match[1].decode()] = Wanted(int(match[2]), paths[oid])
    return found


def _contents(git: Git, oids: list[str]) -> Iterator[tuple[str, bytes]]:
    if not oids:
        return
    asked = "".join(f"{oid}\n" for oid in oids).encode()
    data, at = git.run("cat-file", "--batch", stdin=asked).stdout, 0
    for oid in oids:
        end = data.index(b"\n", at)
        size = int(data[at:end].split()[-1])
        yield oid, data[end + 1 : end + 1 + size]
        at = end + size + 2


def _place(store: Path, oid: str) -> Path:
    return store / oid[:2] / oid[2:4] / oid


def _is_there(store: Path, oid: str, size: int) -> bool:
    try:
        return _place(store, oid).stat().st_size == size
    except OSError:
        return False


def _within_limits(
    store: Path, missing: Mapping[str, Wanted]
) -> tuple[dict[str, Wanted], list[str]]:
    disk = os.statvfs(store)
    room = (disk.f_bavail - disk.f_blocks // _RESERVE) * disk.f_frsize
    asked: dict[str, Wanted] = {}
    warnings, total = [], 0
    for oid, wanted in sorted(missing.items(), key=lambda item: item[1].size):
        reason = ""
        if wanted.size > MAX_OBJECT:
            reason = f"is larger than {MAX_OBJECT >> 30} GiB"
        elif total + wanted.size > MAX_ALL:
            reason = f"would make it more than {MAX_ALL >> 30} GiB in all"
        elif total + wanted.size > room:
            reason = "has no room on your disk"
        if reason:
            warnings.append(
                f"git-lfs: the content of {wanted.path} stays in the session: it {reason}"
            )
            continue
        total += wanted.size
        asked[oid] = wanted
    return asked, warnings


def _receive(runner: Runner, git_dir: Path, receiver: _Receiver) -> None:
    request = {
        "git_dir": os.fspath(git_dir),
        "wanted": [[oid, wanted.size] for oid, wanted in receiver.asked.items()],
    }
    reading, writing = os.pipe2(os.O_CLOEXEC)
    thread = threading.Thread(target=receiver.run, args=(reading,))
    thread.start()
    try:
        runner.run_inside(
            inside_command("largefiles"),
            stdin=json.dumps(request).encode("ascii"),
            stdout=writing,
            env={},
        )
    finally:
        os.close(writing)
        thread.join()
    if receiver.error:
        raise receiver.error


class _Receiver:
    """Reads what the box sends; nothing but what was asked for is taken."""

    def __init__(self, store: Path, asked: Mapping[str, Wanted]) -> None:
        self.asked = asked
        self.kept: set[str] = set()
        self.refused: list[str] = []
        self.error: OSError | None = None
        self._store = store

    def run(self, descriptor: int) -> None:
        """Read to the end, or up to the first thing that is not as it must be."""
        with os.fdopen(descriptor, "rb", buffering=_AT_ONCE) as stream:
            try:
                while self._next(stream):
                    pass
            except OSError as error:
                self.error = error

    def _next(self, stream: IO[bytes]) -> bool:
        match = _SENT.fullmatch(stream.readline(_POINTER_AT_MOST))
        if not match:
            return False
        oid, size = match[1].decode(), int(match[2])
        if oid not in self.asked or oid in self.kept or size != self.asked[oid].size:
            return False
        return self._take(stream, oid, size)

    def _take(self, stream: IO[bytes], oid: str, size: int) -> bool:
        waiting = self._store.parent / "tmp"
        waiting.mkdir(exist_ok=True)
        path = waiting / f"clsecure-{os.getpid()}-{oid}"
        digest, left = hashlib.sha256(), size
        try:
            with path.open("xb") as file:
                while left and (data := stream.read(min(left, _AT_ONCE))):
                    digest.update(data)
                    file.write(data)
                    left -= len(data)
            if left:
                return False
            if digest.hexdigest() != oid:
                self.refused.append(oid)
                return True
            place = _place(self._store, oid)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
            self.kept.add(oid)
        finally:
            with suppress(FileNotFoundError):
                path.unlink()
        return True
