"""One human's images on the disk, changed by one helper at a time.

The lock is on the store's directory itself, and the lock on an image on that of the image: no file
has to be made for them, and none stays behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from .imagerecords import Image
from .lean import decode, encode
from .protocol import Refusal
from .records import BadField
from .removal import remove_tree
from .state import open_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_RECORD = "image.json"
_PLACE = "images"
_NEW, _OLD = "new", "old"  # no digest is so short
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_RECORD = 16 << 20
_MAX_NAMES = 100
_ATTEMPTS = 10


class Store:
    """A human's store, locked until the end of the context."""

    def __init__(self, place: int, human: int, directory: int) -> None:
        self._place, self._human, self._directory = place, human, directory

    @classmethod
    def open(cls, human: int) -> Self | None:
        """Open, make and lock it; None while another helper has it."""
        place = _open_place()
        try:
            _make(place, str(human))
            directory = os.open(str(human), _DIRECTORY, dir_fd=place)
        except FileNotFoundError:  # just removed, being empty
            os.close(place)
            return None
        except BaseException:
            os.close(place)
            raise
        # Whoever removes it does so under the lock: it may be another directory since.
        if _lock(directory, fcntl.LOCK_EX) and _is_named(place, str(human), directory):
            store = cls(place, human, directory)
            store._sweep()
            return store
        os.close(directory)
        os.close(place)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.rmdir(str(self._human), dir_fd=self._place)  # an empty one is none
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            os.close(self._directory)
            os.close(self._place)

    def find(self, name: str) -> Image | None:
        """Return an image's record, or None."""
        return _look(self._directory, name)

    def clear(self, name: str) -> None:
        """Remove what is there under an image's name without a record that can be read."""
        if name in os.listdir(self._directory):
            self.remove(name)

    def making(self) -> _Making:
        """Return a context with a new, empty directory, which is removed without `finish`."""
        return _Making(self, self._directory)

    def finish(self, name: str) -> None:
        """Make the new directory the image of this name, in one step."""
        os.rename(_NEW, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def rename(self, image: Image, reference: str) -> Image:
        """Let the reference mean this image, and no other one; returns the image."""
        named = image
        if reference not in image.references:
            if len(image.references) >= _MAX_NAMES:
                raise Refusal(f"the image has {_MAX_NAMES} names already", code=2)
            named = image.replace(references=(*image.references, reference))
            self._write(named)  # first: cut short, it leaves two images of that name, never none
        for other in _images(self._directory):
            if other.digest != image.digest and reference in other.references:
                kept = tuple(each for each in other.references if each != reference)
                self._write(other.replace(references=kept))
        return named

    def remove(self, name: str) -> None:
        """Remove an image; raises Refusal where there is none, or a box has it."""
        try:
            image = os.open(name, _DIRECTORY, dir_fd=self._directory)
        except FileNotFoundError:
            raise Refusal("there is no such image", code=2) from None
        try:
            if not _lock(image, fcntl.LOCK_EX, _ATTEMPTS):
                raise Refusal(
                    "a running session has this image as its file system",
                    hint="`clsecure list` shows which run",
                    code=5,
                )
            os.rename(name, _OLD, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        finally:
            os.close(image)
        self._sweep()

    def _write(self, image: Image) -> None:
        directory = os.open(image.digest.partition(":")[2], _DIRECTORY, dir_fd=self._directory)
        try:
            write(directory, image)
        finally:
            os.close(directory)

    def _sweep(self) -> None:
        for name in (_NEW, _OLD):  # of a helper that was killed, too
            try:
                remove_tree(self._directory, name)
            except FileNotFoundError:
                continue


class _Making:
    def __init__(self, store: Store, directory: int) -> None:
        self._store, self._directory = store, directory

    def __enter__(self) -> int:
        os.mkdir(_NEW, 0o700, dir_fd=self._directory)
        self._new = os.open(_NEW, _DIRECTORY, dir_fd=self._directory)
        return self._new

    def __exit__(self, *_: object) -> None:
        os.close(self._new)
        self._store._sweep()  # noqa: SLF001 - a part of the store


def all_images(human: int) -> tuple[Image, ...]:
    """Return the images of that human, the latest pulled first; needs no lock of the store."""
    directory = _open_below(open_root(), (_PLACE, str(human)))
    if directory is None:
        return ()
    try:
        return tuple(sorted(_images(directory), key=lambda image: -image.pulled))
    finally:
        os.close(directory)


def hold(human: int, name: str) -> int | None:
    """Open an image's directory, locked so that nobody removes it; None where there is none."""
    store = _open_below(open_root(), (_PLACE, str(human)))
    if store is None:
        return None
    directory = None
    try:
        directory = os.open(name, _DIRECTORY, dir_fd=store)
        # Whoever removes it does so under the lock: it may be gone since.
        if _lock(directory, fcntl.LOCK_SH, _ATTEMPTS) and _is_named(store, name, directory):
            held, directory = directory, None
            return held
    except FileNotFoundError:
        pass
    finally:
        os.close(store)
        if directory is not None:
            os.close(directory)
    return None


def _lock(directory: int, kind: int, attempts: int = 1) -> bool:
    # `list`, looking whether an image is in use, holds its lock for moments.
    for attempt in range(attempts):
        try:
            fcntl.flock(directory, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < attempts:
                time.sleep(0.02)
        else:
            return True
    return False


def read(directory: int) -> Image | None:
    """Read the record of an image; None when there is none that can be understood."""
    try:
        file = os.open(_RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        return Image.from_json(decode(os.read(file, _MAX_RECORD)))
    except (BadField, ValueError):
        return None
    finally:
        os.close(file)


def write(directory: int, image: Image) -> None:
    """Write the record of an image, or replace it in one step; raises OSError (a full disk)."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(f"{_RECORD}.new", flags, 0o600, dir_fd=directory)
    try:
        body = encode(image.replace(running=False).to_json())
        if os.write(file, body) != len(body):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    finally:
        os.close(file)
    os.rename(f"{_RECORD}.new", _RECORD, src_dir_fd=directory, dst_dir_fd=directory)


def _images(store: int) -> list[Image]:
    found = (_look(store, name) for name in os.listdir(store) if name not in (_NEW, _OLD))
    return [image for image in found if image is not None]


def _look(store: int, name: str) -> Image | None:
    # With what others say about it: a box that has it holds a lock.
    try:
        directory = os.open(name, _DIRECTORY, dir_fd=store)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        image = read(directory)
        return image and image.replace(running=not _lock(directory, fcntl.LOCK_EX))
    finally:
        os.close(directory)


def _open_place() -> int:
    root = open_root()
    try:
        _make(root, _PLACE)
        return os.open(_PLACE, _DIRECTORY, dir_fd=root)
    finally:
        os.close(root)


def _open_below(root: int, names: tuple[str, ...]) -> int | None:
    current = root
    try:
        for name in names:
            following = os.open(name, _DIRECTORY, dir_fd=current)
            os.close(current)
            current = following
    except FileNotFoundError:
        os.close(current)
        return None
    return current


def _make(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        pass


def _is_named(parent: int, name: str, directory: int) -> bool:
    try:
        now = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return now.st_ino == os.fstat(directory).st_ino
