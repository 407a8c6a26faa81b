"""What the last listing of a tree found, kept so that only changed directories are listed again.

The change time of a directory moves with every name that is made, renamed or removed in it, and no
program can set it (inode(7)). A directory that has inode and change time of before therefore holds
the same names; git's untracked cache relies on the same (gitformat-index(5)). What had changed
within two seconds before it was listed may change again at the same time, and counts as changed.

The cache holds names that match the patterns for secrets, and directories, never contents. A start
waits for it, so this module imports next to nothing.
"""

from __future__ import annotations

import os
import stat
import time
from zlib import crc32

from clsecure.listing import PRUNED, Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Marks = dict[bytes, tuple[int, int]]  # directory to inode and change time in ns

# Local file systems, whose kernel changes the time of a directory with its names.
_TRUE_TIMES = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "tmpfs", "xfs", "zfs"}
)
_FORMAT = b"clsecure tree 1 %08x" % crc32("\0".join(PRUNED).encode())
_MANY = 64  # changed directories: then `find` is as fast
_SECOND = 1_000_000_000  # in nanoseconds
_RECENT = 2 * _SECOND
_NONE, _UNSURE = (0, -1), (0, 0)  # marks of what is no directory; and that equals none
_KEPT = 50  # trees
_PRUNED = frozenset(os.fsencode(name) for name in PRUNED)


class Tree:
    """What is known of a tree: its directories, and which of its names match `pattern`."""

    def __init__(
        self, top: str, pattern: bytes, device: int, marks: Marks, matching: Iterable[bytes]
    ) -> None:
        self.top, self.pattern, self.device = top, pattern, device
        self.marks, self.matching = marks, tuple(matching)

    def encode(self) -> bytes:
        """Return it as a file's content."""
        head = (os.fsencode(self.top), self.pattern, b"%d" % self.device)
        marks = (b"%s\0%d\0%d" % (path, *mark) for path, mark in self.marks.items())
        body = b"\0".join((*head, b"%d" % len(self.marks), *marks, *self.matching))
        return b"%s\0%08x\0%s" % (_FORMAT, crc32(body), body)

    @classmethod
    def decode(cls, content: bytes) -> Tree:
        """Return what `encode` made a content of; raises ValueError where it is none."""
        kind, checksum, body = content.split(b"\0", 2)
        if kind != _FORMAT or int(checksum, 16) != crc32(body):
            raise ValueError("not a tree of this version")
        top, pattern, device, count, *fields = body.split(b"\0")
        end = 3 * int(count)
        inodes, times = map(int, fields[1:end:3]), map(int, fields[2:end:3])
        marks = dict(zip(fields[:end:3], zip(inodes, times, strict=True), strict=True))
        return cls(os.fsdecode(top), pattern, int(device), marks, fields[end:])


class Known:
    """A tree's names as far as they can be secrets; stands in for a Listing.

    From `descriptor` come the names that matched before, and all names of changed directories;
    where the tree `is_same`, `matching` are all that match.
    """

    def __init__(self, tree: Tree, again: _Again) -> None:
        self.top, self.pattern, self.device = tree.top, tree.pattern, tree.device
        self.marks, self.is_same = again.marks, not again.read
        self.matching = tree.matching
        kept = [name for name in tree.matching if again.keeps(name)]
        self.descriptor = os.memfd_create("names", os.MFD_CLOEXEC)
        with open(self.descriptor, "wb", closefd=False) as file:
            file.writelines(name + b"\0" for name in (*kept, *again.names))
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    @staticmethod
    def wait() -> int:
        """Return the exit code of a search that is over."""
        return 0

    def close(self) -> None:
        """Give the names back."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def start(top: str, environ: Mapping[str, str]) -> Listing | Known:
    """List the names below `top`, from the cache where it knows them.

    Raises FileNotFoundError where there is no `find`.
    """
    try:
        with open(_file(top, environ), "rb") as file:
            tree = Tree.decode(file.read())
        known = look(tree) if tree.top == top else None
    except (OSError, ValueError):
        known = None
    return known or Listing(top, environ)


def look(tree: Tree) -> Known | None:
    """Look at all directories of a known tree; None where too many have changed."""
    top = os.open(tree.top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        changed = [
            path for path, mark in tree.marks.items() if _mark(top, path, tree.device) != mark
        ]
        return None if len(changed) > _MANY else Known(tree, _Again(top, tree, changed))
    finally:
        os.close(top)


def keep(
    listing: Listing | Known,
    pattern: bytes,
    matching: Iterable[bytes],
    filesystem: str,
    environ: Mapping[str, str],
) -> None:
    """Remember a listing that has ended, and which of its names match, for the next start.

    Only where directories have true times, and all could be read. Raises OSError.
    """
    if filesystem not in _TRUE_TIMES or listing.wait():
        return
    if isinstance(listing, Listing):
        device, marks = _said(listing)
    elif listing.is_same:
        return
    else:
        device, marks = listing.device, listing.marks
    path = _file(listing.top, environ)
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    beside = f"{path}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(beside, flags, 0o600), "wb") as file:
            file.write(Tree(listing.top, pattern, device, marks, matching).encode())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    _remove_oldest(directory)


class _Again:
    """Lists changed directories again, and what is new below them."""

    def __init__(self, top: int, tree: Tree, changed: list[bytes]) -> None:
        self._top, self._device, self._begun = top, tree.device, time.time_ns()
        self.marks = dict(tree.marks)
        self.read: set[bytes] = set()
        self.names: list[bytes] = []
        self._inside: dict[bytes, set[bytes]] = {}
        for path in self.marks if changed else ():
            self._inside.setdefault(_parent(path), set()).add(path)
        for path in changed:  # a directory comes before those in it
            if path in self.marks:
                self._list(path)

    def keeps(self, name: bytes) -> bool:
        """Say whether the name is in a directory that is as it was."""
        parent = _parent(name)
        return parent in self.marks and parent not in self.read

    def _list(self, path: bytes) -> None:
        waiting = [path]
        while waiting:
            path = waiting.pop()
            self.read.add(path)
            mark = _mark(self._top, path, self._device)
            files, directories, is_whole = _names(self._top, path)
            self.marks[path] = _settled(mark, self._begun) if is_whole else _UNSURE
            self.names += files + directories
            for gone in self._inside.get(path, set()).difference(directories):
                self._forget(gone)
            waiting += [each for each in directories if each not in self.marks]

    def _forget(self, path: bytes) -> None:
        self.marks.pop(path, None)
        for each in self._inside.get(path, ()):
            self._forget(each)


def _names(top: int, path: bytes) -> tuple[list[bytes], list[bytes], bool]:
    """Return files and directories in one, as `find` names them, and whether these are all."""
    files, directories = [], []
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        here = os.open(path, flags, dir_fd=top)
    except OSError:
        return [], [], False
    try:
        with os.scandir(here) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if not entry.is_dir(follow_symlinks=False):
                    files.append(path + b"/" + name)
                elif name not in _PRUNED:
                    directories.append(path + b"/" + name)
    finally:
        os.close(here)
    return files, directories, True


def _mark(top: int, path: bytes, device: int) -> tuple[int, int]:
    """Return inode and change time of a directory; what is none, or lies elsewhere, has none."""
    try:
        there = os.stat(path, dir_fd=top, follow_symlinks=False)
    except OSError:
        return _NONE
    if there.st_dev != device or not stat.S_ISDIR(there.st_mode):
        return _NONE
    return there.st_ino, there.st_ctime_ns


def _settled(mark: tuple[int, int], begun: int) -> tuple[int, int]:
    """Return the mark, unless the directory may have changed while it was listed."""
    return mark if mark != _NONE and mark[1] < begun - _RECENT else _UNSURE


def _said(listing: Listing) -> tuple[int, Marks]:
    """Return the device of the top, and what `find` said of the directories."""
    size = os.fstat(listing.directories).st_size
    fields = os.pread(listing.directories, size, 0).split(b"\0")[:-1]
    paths, devices, inodes, times = (fields[n::4] for n in range(4))
    device = int(devices[0])
    marks = {}
    for path, one, inode, when in zip(paths, devices, inodes, times, strict=True):
        second, _, fraction = when.partition(b".")
        mark = int(inode), int(second) * _SECOND + int(fraction[:9])
        marks[path] = _settled(mark if int(one) == device else _NONE, listing.begun)
    return device, marks


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _file(top: str, environ: Mapping[str, str]) -> str:
    """Return where a tree's cache is. Raises FileNotFoundError where there is no place for any."""
    named, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    if not named.startswith("/"):
        if not home.startswith("/"):
            raise FileNotFoundError(home)
        named = f"{home}/.cache"
    return f"{named}/clsecure/trees/{crc32(os.fsencode(top)):08x}"


def _remove_oldest(directory: str) -> None:
    with os.scandir(directory) as entries:
        files = [(entry.stat(follow_symlinks=False).st_mtime_ns, entry.path) for entry in entries]
    for _, path in sorted(files)[:-_KEPT]:
        os.unlink(path)
