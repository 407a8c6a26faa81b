"""Writes the first files of a fresh session, as the worker, into directories not used yet."""

from __future__ import annotations

import errno
import os

from . import syscalls as sc
from .places import Owner
from .protocol import Refusal, Seed

_AREAS = ("git", "home")
_CHUNK = 1 << 20


class Planting:
    """Seeds and their contents as they arrive, until the session is made."""

    def __init__(self) -> None:
        self._files: list[tuple[Seed, int]] = []
        self._directories: list[str] = []

    def add(
        self, seeds: tuple[Seed, ...], directories: tuple[str, ...], contents: list[int]
    ) -> None:
        """Keep files for later; raises Refusal for a name that leaves its area."""
        if len(seeds) != len(contents):
            raise Refusal("each seed needs its content", code=2)
        for seed in seeds:
            if seed.area not in _AREAS or not _is_plain(seed.path):
                raise Refusal("a seed's path is not a plain relative path", code=2)
        if not all(_is_plain(path) for path in directories):
            raise Refusal("a directory's path is not a plain relative path", code=2)
        self._files += [
            (seed, os.dup(content)) for seed, content in zip(seeds, contents, strict=True)
        ]
        self._directories += directories

    def plant(self, worker: Owner, areas: dict[str, int]) -> None:
        """Write everything, in a process that has the worker's rights alone; raises Refusal."""
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setgroups([])
                os.setresgid(worker.gid, worker.gid, worker.gid)
                os.setresuid(worker.uid, worker.uid, worker.uid)
                os.umask(0o022)
                for path in self._directories:
                    os.close(_directory(areas["git"], path.split("/")))
                for seed, content in self._files:
                    _write(areas[seed.area], seed, content)
                code = 0
            except OSError as error:
                code = error.errno if error.errno and error.errno < 200 else 1  # noqa: PLR2004
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code:
            reason = os.strerror(code) if code > 1 else "it failed"
            full = code in (errno.ENOSPC, errno.EDQUOT)
            raise Refusal(
                f"the session's first files cannot be written: {reason}",
                hint="make room in /var/lib/clsecure" if full else "",
                code=4 if full else 1,
            )

    def close(self) -> None:
        """Forget everything."""
        for _, content in self._files:
            os.close(content)
        self._files.clear()
        self._directories.clear()


def _is_plain(path: str) -> bool:
    return all(part not in ("", ".", "..") for part in path.split("/"))


def _directory(area: int, parts: list[str]) -> int:
    current = os.dup(area)
    for part in parts:
        try:
            os.mkdir(part, 0o755, dir_fd=current)
        except FileExistsError:
            pass
        below = sc.openat2(
            current, part, os.O_PATH | os.O_DIRECTORY, resolve=sc.NO_LINKS | sc.RESOLVE_BENEATH
        )
        os.close(current)
        current = below
    return current


def _write(area: int, seed: Seed, content: int) -> None:
    *directories, name = seed.path.split("/")
    directory = _directory(area, directories)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(name, flags, 0o600, dir_fd=directory)
    offset = 0
    while sent := os.sendfile(file, content, offset, _CHUNK):
        offset += sent
    os.fchmod(file, seed.mode & 0o755)
    # git trusts a copied index only where it is not older than the files that it lists.
    status = os.fstat(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.close(file)
    os.close(directory)
