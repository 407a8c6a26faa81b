"""Carries out a layout: opens the sources as the human, mounts, and moves into the new root."""

from __future__ import annotations

import errno
import os
import stat

from . import caches, kernelfs
from . import syscalls as sc
from .etclayer import etc_layer
from .layout import DEVICES, INSIDE, LAYERED, WITH_SERVICES, Host, Mount
from .masklayer import mask_layer
from .overlay import STAGING, overlay
from .places import Owner, Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .rootmounts import RootMounts

_QUIET = sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV
_READ_ONLY = _QUIET | sc.MOUNT_ATTR_RDONLY
_PROC_FLAGS = 2 | 4 | 8  # nosuid, nodev, noexec
_OWN = {"home": "home", "git": "git", "clone": "upper"}  # kinds to directories of the state
_OVERLAY = (("redirect_dir", "on"), ("index", "off"), ("metacopy", "off"))
# Where the host's /etc/resolv.conf may lead: the box's own, and empty.
_OWN_PLACES = ("/run/", "/mnt/")
_NO_IDMAP = (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class Unsupported(Exception):
    """The kernel or the file system cannot give a copy-on-write view of this tree."""


class Builder:
    """Makes the box's file system inside a mount namespace of its own."""

    def __init__(
        self,
        *,
        human: Owner,
        worker: Owner,
        userns: int,
        state: str,
        set_uid: bool,
        root: RootMounts | None = None,
        tun: bool = False,
    ) -> None:
        """Note who is who; `root` makes a container's root directory."""
        self._human, self._worker, self._userns, self._state = human, worker, userns, state
        self._root = root
        self._tun = tun
        self._set_uid = set_uid
        self._masks: tuple[str, ...] = ()
        self._files: dict[str, bytes] = {}
        self._empty: list[str] = []  # what its file system does not let us show
        self.warnings: list[str] = []

    def build(
        self,
        mounts: tuple[Mount, ...],
        host: Host,
        masks: tuple[str, ...],
        files: dict[str, bytes],
    ) -> None:
        """Mount everything and make it our root; raises Unsupported, Refusal, OSError.

        `files` are the box's own, in /etc.
        """
        self._masks, self._files = masks, dict(files)
        sc.mount(None, "/", None, sc.MS_REC | sc.MS_PRIVATE)
        sc.mount("proc", "/proc", "proc", _PROC_FLAGS)  # the host's would show the host's processes
        trees = [
            (mount, self._tree(mount))
            for mount in mounts
            if mount.source or mount.kind in (*_OWN, "image", "state")
        ]
        if self._empty:
            self.warnings.append(
                "begins empty, since its file system cannot be shown copy-on-write: "
                + ", ".join(self._empty)
            )
        devices = [(name, sc.clone_tree(_open(f"/dev/{name}", os.O_PATH))) for name in DEVICES]
        root = sc.new_filesystem("tmpfs", (("mode", "0755"), ("size", "16m")), (), _QUIET)
        sc.attach(root, _open(STAGING, os.O_PATH | os.O_DIRECTORY))
        places = Places(root, self._worker)
        for link in host.links:
            name, _, target = link.partition("=")
            os.symlink(target, name, dir_fd=root)
        for name in ("root", "mnt", "srv", "media", "home", "var/lib", "var/cache"):
            os.close(places.make(f"/{name}"))
        os.symlink("/run", "var/run", dir_fd=root)
        os.symlink("/run/lock", "var/lock", dir_fd=root)
        ready = {id(mount): tree for mount, tree in trees}
        for mount in mounts[1:]:
            if mount.kind == "file":
                continue
            tree = ready.get(id(mount))
            if tree is None:
                tree = kernelfs.fresh(mount)
            is_file = not _is_directory(tree)
            point = places.make(mount.at, is_file=is_file)
            if not (self._root and self._root.holds(mount, tree)):
                sc.attach(tree, point)
            os.close(point)
            if mount.kind in ("home", "overlay", "clone", "git"):
                places.own(mount.at, tree)
            if mount.kind == "devices":
                kernelfs.fill_devices(mount, tree, devices, tun=self._tun)
        os.fchdir(root)
        sc.pivot_root(".", ".")
        sc.detach(".")
        os.chdir("/")
        self._cover()

    def _cover(self) -> None:
        """Put the box's own files where no layer has them, at the end of the host's links."""
        os.makedirs(INSIDE, 0o755, exist_ok=True)
        for number, (name, content) in enumerate(self._files.items()):
            path = os.path.realpath(name)
            if not os.path.exists(path):
                if path.startswith(_OWN_PLACES):
                    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
                    _write_new(path, content)
                # Else the host has none: without nsswitch.conf and resolv.conf a program asks the
                # name server at 127.0.0.1, too (resolv.conf(5)).
                continue
            own = f"{INSIDE}/file-{number}"
            _write_new(own, content)
            tree = sc.clone_tree(_open(own, os.O_PATH | os.O_NOFOLLOW))
            sc.set_mount(tree, set_=_READ_ONLY | sc.MOUNT_ATTR_NOEXEC)
            sc.attach(tree, _open_plain(path))

    def complete(self) -> None:
        """Complete the container's root directory, which has been furnished; raises OSError."""
        if self._root:
            self._root.complete()
            self.warnings += self._root.warnings

    def finish(self) -> None:
        """Close the root: from here on nothing can be added to it."""
        root = _open("/", os.O_PATH | os.O_DIRECTORY)
        sc.set_mount(root, set_=sc.MOUNT_ATTR_RDONLY)
        os.close(root)

    def _tree(self, mount: Mount) -> int:
        if mount.kind == "system":
            return self._system(mount)
        if mount.kind in ("rootfs", "interpreter", "image") and self._root:
            return self._root.tree(mount)
        if mount.kind in _OWN:
            tree = sc.clone_tree(self._layer(_OWN[mount.kind]))
            sc.set_mount(tree, set_=_QUIET)
            return tree
        if not mount.source:
            return self._layer_alone(mount)
        source = self._human.act(lambda: _open_plain(mount.source))
        shown = {"overlay": self._workspace, **dict.fromkeys(LAYERED, self._cache)}
        return shown.get(mount.kind, self._read_only)(source, mount)

    def _layer(self, name: str) -> int:
        # By its path, which is root's alone: a mount can only be cloned in the namespace it is in.
        return _open(f"{self._state}/{name}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)

    def _system(self, mount: Mount) -> int:
        if mount.at in WITH_SERVICES:
            return self._without_sockets(_open(mount.source, os.O_PATH | os.O_DIRECTORY))
        tree = sc.clone_tree(
            _open(mount.source, os.O_PATH | os.O_DIRECTORY), recursive=mount.at.count("/") == 1
        )
        attributes = sc.MOUNT_ATTR_RDONLY | sc.MOUNT_ATTR_NODEV
        if not (self._set_uid and mount.at == "/usr"):
            attributes |= sc.MOUNT_ATTR_NOSUID
        sc.set_mount(tree, set_=attributes, recursive=True)
        return self._with_own_files(tree) if mount.at == "/etc" else tree

    def _with_own_files(self, etc: int) -> int:
        layer = etc_layer(self._files)
        try:
            tree = overlay((layer, etc), None, None, (), _READ_ONLY) if layer is not None else None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            tree = None
        if tree is None:
            self.warnings.append(
                "/etc cannot be a layer here: the names of this host's people show in the box once "
                "an account is made or changed"
            )
            return etc
        self._files = {path: body for path, body in self._files.items() if path[:5] != "/etc/"}
        return tree

    def _without_sockets(self, source: int) -> int:
        # A socket file leads to whoever listens on it, through any mount but an overlay, whose
        # files have identities of their own.
        tree = sc.clone_tree(source)
        sc.set_mount(tree, set_=_READ_ONLY)
        return overlay((tree, self._layer("empty")), None, None, (), _READ_ONLY)

    def _idmapped(self, source: int) -> int:
        tree = sc.clone_tree(source)
        try:
            sc.set_mount(tree, set_=_READ_ONLY | sc.MOUNT_ATTR_IDMAP, userns=self._userns)
        except OSError as error:
            os.close(tree)
            if error.errno in _NO_IDMAP:
                raise Unsupported(
                    f"its file system cannot be idmapped ({error.strerror})"
                ) from None
            raise
        return tree

    def _read_only(self, source: int, mount: Mount) -> int:
        try:
            tree = self._idmapped(source)
        except Unsupported:
            tree = sc.clone_tree(source)
            sc.set_mount(tree, set_=_READ_ONLY)
        if not _is_directory(tree):
            return tree
        # A read-only bind can be undone by a set-uid program; a lower-only overlay has a read-only
        # superblock, which cannot.
        above = (mask_layer(tree, mount.masks),) if mount.masks else ()
        try:
            return overlay((*above, tree, self._layer("empty")), None, None, (), _READ_ONLY)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        if mount.masks:
            self.warnings.append(
                f"{mount.source} is not shown: its file system cannot be the lower layer of an "
                "overlay, by which the credentials in it would be hidden"
            )
            return sc.new_filesystem("tmpfs", (("mode", "0755"), ("size", "4k")), (), _READ_ONLY)
        self.warnings.append(
            f"{mount.source} is shown by a read-only mount alone, not by a file system of its own: "
            "sockets in it can be reached"
        )
        return tree

    def _cache(self, source: int, mount: Mount) -> int:
        area = caches.area(mount.at)
        upper, work = (self._layer(f"{area}/{name}") for name in (caches.UPPER, caches.WORK))
        try:
            lower = self._idmapped(source)
            above = (mask_layer(lower, mount.masks),) if mount.masks else ()
            return overlay((*above, lower), upper, work, _OVERLAY, _QUIET)
        except (Unsupported, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
        self._empty.append(mount.at)
        return self._layer_alone(mount)

    def _layer_alone(self, mount: Mount) -> int:
        tree = sc.clone_tree(self._layer(f"{caches.area(mount.at)}/{caches.UPPER}"))
        sc.set_mount(tree, set_=_QUIET)
        return tree

    def _workspace(self, source: int, _: Mount) -> int:
        lower = self._idmapped(source)
        lowers: tuple[int, ...] = (lower,)
        if self._masks:
            lowers = (mask_layer(lower, self._masks), lower)
        try:
            return overlay(lowers, self._layer("upper"), self._layer("work"), _OVERLAY, _QUIET)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise Unsupported(f"no overlay can be made on it ({error.strerror})") from None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC)


def _write_new(path: str, content: bytes) -> None:
    file = _open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
    os.fchmod(file, 0o644)
    os.write(file, content)
    os.close(file)


def _open_plain(path: str) -> int:
    return sc.openat2(sc.AT_FDCWD, path, os.O_PATH, resolve=sc.NO_LINKS)


def _is_directory(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)
