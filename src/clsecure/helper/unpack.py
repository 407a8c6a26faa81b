"""Applies layers, one over the other, to the root directory of this process: `/` is the image.

It runs confined (`unpacker`), so that nothing a layer names can be anything but the image's. OCI
image-spec 1.1, layer.md, "Representing Changes" and "Whiteouts"; tar's forms are `tarfile`'s to
know.
"""

from __future__ import annotations

import os
import stat
import tarfile

from .layers import CHUNK, Layer
from .protocol import Refusal
from .removal import remove_tree

_CHUNK = 1 << 20  # bytes
_BLOCK = 4096  # bytes: what the smallest file takes
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_ATTRIBUTE = "SCHILY.xattr."  # in the pax headers of star and of all who make images
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODES = 0o1777  # without set-uid and set-gid: no program of an image is to gain anything
_LAST_ID = 0xFFFF_FFFE  # the one above means "leave it" to chown(2)
_LAST_TIME = 1 << 33  # seconds: the year 2242, which every file system has


class Room:
    """How much may still be written: what is free, less a reserve for everybody else."""

    def __init__(self) -> None:
        status = os.statvfs("/")
        self._bytes = _share(status.f_bavail, status.f_blocks) * status.f_frsize
        # btrfs has no fixed number of files, and says 0.
        self._entries = _share(status.f_favail, status.f_files) if status.f_files else 1 << 40

    def take(self, size: int, entries: int = 0) -> None:
        """Count what is about to be written; raises Refusal when it is more than there is."""
        self._bytes -= -(-size // _BLOCK) * _BLOCK
        self._entries -= entries
        if self._bytes < 0 or self._entries < 0:
            raise Refusal(
                "there is no room for the image in /var/lib/clsecure",
                hint="make room there; `clsecure image prune` removes images that no session uses",
                code=4,
            )


class Unpacking:
    """Layers are applied one by one; `left_out` counts devices, pipes and sockets."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.left_out = 0
        self._made: set[int] = set()  # inodes that the current layer has brought
        self._times: dict[str, int] = {}  # of directories: set when nothing comes into them

    def apply(self, layer: Layer) -> None:
        """Unpack a layer over the ones below it; raises Refusal, OSError and tarfile's errors."""
        self._made, self._times = set(), {}
        # The form for streams: it never seeks, and never holds more than a file's header.
        with tarfile.open(  # type: ignore[call-overload]  # of the layer it only reads
            fileobj=layer,
            mode="r|",
            bufsize=CHUNK,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            while (entry := archive.next()) is not None:
                archive.members.clear()  # it remembers every entry, for those who go back
                self._entry(archive, entry)
        for path, seconds in self._times.items():
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.utime(path, (seconds, seconds), follow_symlinks=False)

    def _entry(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        path = _inside(entry.name)
        parent, _, name = path.rpartition("/")
        if name.startswith(_WHITEOUT):
            self._white_out(parent or "/", name)
            return
        if not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk()):
            self.left_out += 1
            return
        self._room.take(0, entries=1)
        if path == "/":
            if not entry.isdir():
                raise Refusal("a layer puts something in place of the root directory", code=3)
        else:
            self._make_parents(parent)
            self._clear(path, keep_directory=entry.isdir())
        if entry.isdir():
            self._directory(path, entry)
        elif entry.issym():
            os.symlink(entry.linkname, path)
            self._own(path, entry)
        elif entry.islnk():
            os.link(_inside(entry.linkname), path, follow_symlinks=False)
        else:
            self._file(archive, path, entry)
        self._made.add(os.lstat(path).st_ino)

    def _make_parents(self, parent: str) -> None:
        # Mostly they are there: an archive lists a directory before what is in it.
        if not parent or os.path.isdir(parent):
            return
        self._make_parents(parent.rpartition("/")[0])
        self._clear(parent, keep_directory=False)
        self._room.take(_BLOCK, entries=1)
        os.mkdir(parent, 0o755)
        self._made.add(os.lstat(parent).st_ino)

    def _clear(self, path: str, *, keep_directory: bool) -> None:
        try:
            kind = os.lstat(path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(kind):
            os.unlink(path)
        elif not keep_directory:
            _remove_directory(path)

    def _directory(self, path: str, entry: tarfile.TarInfo) -> None:
        try:
            os.mkdir(path)
            self._room.take(_BLOCK)
        except FileExistsError:
            pass  # of a layer below, and stays with what is in it
        self._own(path, entry)
        self._times[path] = _time(entry)

    def _file(self, archive: tarfile.TarFile, path: str, entry: tarfile.TarInfo) -> None:
        if entry.sparse is not None:
            raise Refusal("a layer holds a sparse file, which is not understood here", code=2)
        content = archive.extractfile(entry)
        file = os.open(path, _NEW_FILE, 0o600)
        try:
            left = entry.size
            while content is not None and left > 0:
                part = content.read(min(left, _CHUNK))
                if not part:
                    raise Refusal("a layer is cut short", code=3)
                self._room.take(len(part))
                _write(file, part)
                left -= len(part)
        finally:
            os.close(file)
        self._own(path, entry)

    def _own(self, path: str, entry: tarfile.TarInfo) -> None:
        if not (0 <= entry.uid <= _LAST_ID and 0 <= entry.gid <= _LAST_ID):
            raise Refusal("a file in the image has an owner that cannot be one", code=3)
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        if not entry.issym():
            os.chmod(path, entry.mode & _MODES)
            for key, value in entry.pax_headers.items():
                name = key.removeprefix(_ATTRIBUTE)
                # Those of `user.overlay.` would mean something to a mount over the image.
                is_plain = name.startswith("user.") and not name.startswith("user.overlay.")
                if name != key and is_plain:
                    _set_attribute(path, name, value)
        seconds = _time(entry)
        os.utime(path, (seconds, seconds), follow_symlinks=False)

    def _white_out(self, parent: str, name: str) -> None:
        if name == _OPAQUE:
            if stat.S_ISDIR(_mode(parent)):
                self._remove_lower(parent)
            return
        hidden = name[len(_WHITEOUT) :]
        if hidden.startswith(_WHITEOUT):
            return  # what AUFS has kept for itself
        if hidden in ("", ".", ".."):
            raise Refusal("a layer removes what has no name", code=3)
        path = f"{parent.rstrip('/')}/{hidden}"
        mode = _mode(path)
        if not mode or os.lstat(path).st_ino in self._made:
            return  # a whiteout hides only what lower layers have brought
        if stat.S_ISDIR(mode):
            _remove_directory(path)
        else:
            os.unlink(path)

    def _remove_lower(self, directory: str) -> None:
        for name in os.listdir(directory):
            path = f"{directory.rstrip('/')}/{name}"
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                if status.st_ino in self._made:
                    self._remove_lower(path)
                else:
                    _remove_directory(path)
            elif status.st_ino not in self._made:
                os.unlink(path)


def measure() -> tuple[int, int]:
    """Return how many bytes of the disk the image takes, and how many entries it has."""
    size, entries, seen, waiting = 0, 0, set(), ["/"]
    while waiting:
        with os.scandir(waiting.pop()) as listing:
            for entry in listing:
                entries += 1
                status = entry.stat(follow_symlinks=False)
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    size += status.st_blocks * 512  # stat(2): its unit is always that
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return size, entries


def _share(free: int, all_of_it: int) -> int:
    return max(free - all_of_it // 20, 0)


def _inside(name: str) -> str:
    # A leading slash is the image's root, as it is for the tools that run containers.
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refusal("a layer names something above the image's root directory", code=3)
    return "/" + "/".join(parts)


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _remove_directory(path: str) -> None:
    parent, _, name = path.rpartition("/")
    directory = os.open(parent or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(directory, name)
    finally:
        os.close(directory)


def _write(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _time(entry: tarfile.TarInfo) -> int:
    return min(max(int(entry.mtime), 0), _LAST_TIME)


def _set_attribute(path: str, name: str, value: str) -> None:
    try:
        os.setxattr(path, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
    except OSError:
        pass  # not every file system has them, and no program needs them
