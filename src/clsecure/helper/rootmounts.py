"""What a container's root directory is made of: the host's programs or an image, as mounts.

With layers of the session above them it can be written to. What is written belongs to root of the
container and to its other ids, which are the worker's subordinate ones. Such a layer is put over
what was furnished before: of what a session has made there, root opens mount points alone, through
no link.
"""

from __future__ import annotations

import errno
import os
import stat

from . import syscalls as sc
from .layout import INSIDE, ROOTFS, WITH_SERVICES, Mount
from .masklayer import mask_layer
from .overlay import overlay
from .protocol import Refusal
from .records import Record
from .state import SYSTEM

_QUIET = sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV
_READ_ONLY = _QUIET | sc.MOUNT_ATTR_RDONLY
_OPTIONS = (("redirect_dir", "on"), ("index", "off"), ("metacopy", "off"))
_NO_IDMAP = (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
_FOR_EVERYBODY = 0o005
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_SCRATCH, _STAGING = f"{INSIDE}/scratch", f"{INSIDE}/staging"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LAYER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Owner(Record):
    """Who root of the container is outside of it; `userns` maps files of root's to it."""

    userns: int
    uid: int
    gid: int


class Layer(Record):
    """A layer of the session: two directories, in a mount that lasts while it is open."""

    mount: int
    upper: int
    work: int


class RootMounts:
    """Makes the mounts; `complete` is called when the directory that they make was furnished."""

    def __init__(self, state: str, owner: Owner, image: str = "", *, has_root: bool) -> None:
        """Note what it is to be; with `has_root`, somebody can be root of a container."""
        self._state, self._owner, self._image = state, owner, image
        self._has_root = has_root
        self._held: list[tuple[str, int]] = []
        self._lowers: tuple[int, ...] = ()
        self._scratch = -1
        self._layer: Layer | None = None
        self.warnings: list[str] = []

    def close(self) -> None:
        """Let go what only the box's own process needs."""
        os.close(self._owner.userns)

    def tree(self, mount: Mount) -> int:
        """Return what is to be mounted there; raises Refusal and OSError."""
        if mount.kind == "image":
            return self._of_image(mount)
        if mount.writable and self._layer is None:
            self._layer = self._make_layer("host", *self._top())
        source = os.open(mount.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if mount.kind == "interpreter":
            return _plain(source)
        return self._of_host(mount, source)

    def holds(self, mount: Mount, tree: int) -> bool:
        """Say whether that mount has to wait for `complete`: it will lie in a layer."""
        if mount.kind != "rootfs" or not mount.writable:
            return False
        self._held.append((mount.at.removeprefix(f"{ROOTFS}/"), tree))
        return True

    def complete(self) -> None:
        """Put the session's layers over what was furnished; raises OSError without room.

        What a session has made of them must not bar the way home: for a layer that cannot be
        shown, there is a warning, and the check from inside refuses commands of the agent's.
        """
        if self._layer is None:
            return
        os.mkdir(_STAGING, 0o700)
        try:
            self._cover(self._layer)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            self.warnings.append(f"the session's system cannot be shown as it left it: {error}")
        finally:
            os.rmdir(_STAGING)

    def _top(self) -> tuple[int, int, int]:
        # Mode and owner of the root directory itself, whatever an image says.
        return 0o755, self._owner.uid, self._owner.gid

    def _of_image(self, mount: Mount) -> int:
        # Written to by root alone, which puts mount points into it, and read-only after that.
        lower = sc.clone_tree(os.open(self._image, _LAYER))
        sc.set_mount(lower, set_=_READ_ONLY | sc.MOUNT_ATTR_IDMAP, userns=self._owner.userns)
        self._scratch = sc.new_filesystem("tmpfs", (("mode", "0755"), ("size", "16m")), (), _QUIET)
        for name in ("upper", "work"):
            os.mkdir(name, 0o755, dir_fd=self._scratch)
        upper, work = (os.open(name, _LAYER, dir_fd=self._scratch) for name in ("upper", "work"))
        if mount.writable:
            self._layer = self._make_layer(mount.options.rpartition(":")[2], *self._top())
        self._lowers = (lower,)
        return overlay((lower,), upper, work, (), _QUIET)

    def _of_host(self, mount: Mount, source: int) -> int:
        # Root of a container may read what is its own, whatever the mode. Where there can be one,
        # the host's files are nobody's, or what is not for everybody is masked.
        if self._has_root and not mount.writable:
            return self._without_sockets(_plain(source), mount)
        tree = sc.clone_tree(source, recursive=not mount.writable)
        try:
            sc.set_mount(
                tree,
                set_=_READ_ONLY | sc.MOUNT_ATTR_IDMAP,
                recursive=not mount.writable,
                userns=self._owner.userns,
            )
        except OSError as error:
            if error.errno not in _NO_IDMAP:
                raise
            if mount.writable:
                raise Refusal(
                    f"the host's {mount.source} cannot be the lower layer of a container's "
                    f"({error.strerror})",
                    hint="choose an image, or leave --writable out",
                    code=4,
                ) from None
            # Its files are nobody's in the container, then; programs run all the same.
            tree = _plain(source)
        if not mount.writable:
            return self._without_sockets(tree, mount)
        return self._with_layer(tree, mount)

    def _with_layer(self, tree: int, mount: Mount) -> int:
        lowers: tuple[int, ...] = (tree,)
        if self._has_root and _looks(tree)[0] & _FOR_EVERYBODY != _FOR_EVERYBODY:
            lowers = (self._empty(),)
        elif self._has_root:
            from .withheld import withheld

            masks = withheld(mount.source)
            lowers = (mask_layer(tree, masks), tree) if masks else lowers
        layer = self._make_layer(f"host-{mount.source[1:].replace('/', '-')}", *_looks(tree))
        return overlay(lowers, layer.upper, layer.work, _OPTIONS, _QUIET)

    def _without_sockets(self, tree: int, mount: Mount) -> int:
        if mount.source not in WITH_SERVICES:
            return tree
        return overlay((tree, self._empty()), None, None, (), _READ_ONLY)

    def _empty(self) -> int:
        return os.open(f"{self._state}/empty", _LAYER)

    def _make_layer(self, name: str, mode: int, uid: int, gid: int) -> Layer:
        """Open that layer; where it is missing, it is made with a directory of that owner's.

        Its two directories are in one of root's, so that no name here is the worker's.
        """
        area = os.open(f"{self._state}/{SYSTEM}", _DIRECTORY)
        try:
            os.mkdir(name, 0o700, dir_fd=area)
        except FileExistsError:
            pass
        place = os.open(name, _DIRECTORY, dir_fd=area)
        os.close(area)
        if "upper" not in os.listdir(place):
            _make(place, "work", 0o700, 0, 0)
            _make(place, "upper", mode, uid, gid)
        # Both in one mount of their own: when they are needed, the host's mounts are gone.
        tree = sc.clone_tree(place)
        os.close(place)
        upper, work = (os.open(name, _LAYER, dir_fd=tree) for name in ("upper", "work"))
        return Layer(mount=tree, upper=upper, work=work)

    def _cover(self, layer: Layer) -> None:
        if self._scratch < 0:
            tree = _overlay((sc.clone_tree(os.open(ROOTFS, _LAYER)),), layer)
        else:
            sc.detach(ROOTFS)  # which gives the directory above the image free
            os.mkdir(_SCRATCH, 0o700)
            sc.attach(self._scratch, os.open(_SCRATCH, _LAYER))
            furnished = os.open(f"{_SCRATCH}/upper", _LAYER)
            tree = _overlay((furnished, *self._lowers), layer)
            os.close(furnished)
            sc.detach(_SCRATCH)
            os.rmdir(_SCRATCH)
        sc.attach(tree, os.open(ROOTFS, _LAYER))
        for name, held in self._held:
            try:
                point = sc.openat2(tree, name, _LAYER, resolve=sc.NO_LINKS | sc.RESOLVE_BENEATH)
            except OSError as error:  # the session has moved it
                self.warnings.append(f"/{name} is not shown in the container: {error.strerror}")
                continue
            sc.attach(held, point)
            os.close(point)


def _looks(directory: int) -> tuple[int, int, int]:
    status = os.fstat(directory)
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def _plain(source: int) -> int:
    tree = sc.clone_tree(source, recursive=True)
    sc.set_mount(tree, set_=_READ_ONLY, recursive=True)
    return tree


def _overlay(lowers: tuple[int, ...], layer: Layer) -> int:
    return overlay(lowers, layer.upper, layer.work, _OPTIONS, _QUIET, staging=_STAGING)


def _make(parent: int, name: str, mode: int, uid: int, gid: int) -> None:
    # Under another name until it is as it should be: a start may be cut short anywhere.
    for made in (f"{name}.new", name):
        if made in os.listdir(parent):
            os.rmdir(made, dir_fd=parent)
    os.mkdir(f"{name}.new", 0o700, dir_fd=parent)
    directory = os.open(f"{name}.new", _DIRECTORY, dir_fd=parent)
    os.fchown(directory, uid, gid)
    os.fchmod(directory, mode)
    os.close(directory)
    os.rename(f"{name}.new", name, src_dir_fd=parent, dst_dir_fd=parent)
