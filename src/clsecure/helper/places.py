"""Mount points, and two identities for root: the human's to open, the worker's to make.

A directory that the worker can change is only walked by descriptors, through no link, as the
worker.
"""

from __future__ import annotations

import errno
import os
import stat

from . import syscalls as sc
from .layout import within
from .protocol import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _T = TypeVar("_T")

_ENTER = stat.S_IWUSR | stat.S_IXUSR
_STEP = os.O_PATH | os.O_NOFOLLOW


class Owner:
    """A user's identity, for acting with its rights alone."""

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...]) -> None:
        self.uid, self.gid, self.groups = uid, gid, groups

    def act(self, action: Callable[[], _T]) -> _T:
        """Do something with this user's effective ids and groups, then be root again."""
        before = os.getgroups()
        os.setgroups(list(self.groups))
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            return action()
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(before)


class Places:
    """Makes mount points: as root in the new root's tmpfs, as the worker in the worker's mounts."""

    def __init__(self, root: int, worker: Owner) -> None:
        self._root, self._worker = root, worker
        self._owned: list[tuple[str, int]] = []

    def own(self, path: str, tree: int) -> None:
        """Note that what lies below `path` is the worker's, and its mount is `tree`."""
        self._worker.act(lambda: _make_enterable(tree))  # the worker may have closed it to itself
        self._owned.append((path, tree))

    def make(self, path: str, *, is_file: bool = False) -> int:
        """Return a descriptor of the mount point at `path`, made where it is missing."""
        for owned, tree in reversed(self._owned):
            if within(path, owned) and path != owned:
                parts = path[len(owned.rstrip("/")) + 1 :].split("/")
                return self._worker.act(lambda: _walk_as_worker(tree, parts, is_file))  # noqa: B023 - called at once
        return _walk_as_root(self._root, path.strip("/").split("/"), is_file)


def _walk_as_root(root: int, parts: list[str], is_file: bool) -> int:
    current = os.dup(root)
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        step = _step(current, part)
        if step is None:
            try:
                if last and is_file:
                    os.close(
                        os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=current)
                    )
                else:
                    os.mkdir(part, 0o755, dir_fd=current)
            except OSError as error:
                raise Refusal(
                    f"/{'/'.join(parts)} cannot be mounted in the box: {error.strerror}", code=1
                ) from None
            step = _step(current, part)
        os.close(current)
        if step is None or not _fits(step, last and is_file):
            raise Refusal(f"/{'/'.join(parts)} cannot be mounted in the box", code=1)
        current = step
    return current


def _walk_as_worker(tree: int, parts: list[str], is_file: bool) -> int:
    current = sc.openat2(tree, ".", os.O_PATH | os.O_DIRECTORY, resolve=sc.NO_LINKS)
    for number, part in enumerate(parts):
        want_file = is_file and number == len(parts) - 1
        _make_enterable(current)
        step = _step(current, part)
        if step is not None and not _fits(step, want_file):
            # The worker has put something else where a mount point belongs: out of the way with it.
            os.close(step)
            _move_aside(current, part)
            step = None
        if step is None:
            if want_file:
                os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=current))
            else:
                os.mkdir(part, 0o755, dir_fd=current)
            step = _step(current, part)
            if step is None:
                raise Refusal(f"{part} cannot be mounted in the box", code=1)
        os.close(current)
        current = step
    return current


def _step(directory: int, name: str) -> int | None:
    try:
        return sc.openat2(
            directory, name, _STEP, resolve=sc.RESOLVE_NO_MAGICLINKS | sc.RESOLVE_BENEATH
        )
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def _make_enterable(directory: int) -> None:
    status = os.fstat(directory)
    if status.st_mode & _ENTER != _ENTER and status.st_uid == os.geteuid():
        os.chmod(f"/proc/self/fd/{directory}", stat.S_IMODE(status.st_mode) | stat.S_IRWXU)


def _move_aside(directory: int, name: str) -> None:
    for number in range(1000):
        aside = f"{name}.moved-{number}"
        if _step(directory, aside) is None:
            os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)
            return
    raise Refusal(f"{name} is in the way of a mount point", code=1)


def _fits(descriptor: int, want_file: bool) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISREG(mode) if want_file else stat.S_ISDIR(mode)
