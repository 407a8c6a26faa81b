"""The file systems that the kernel makes: scratch, processes, devices, terminals."""

from __future__ import annotations

import os
import stat

from . import syscalls as sc
from .layout import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_QUIET = sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV
_READ_ONLY = _QUIET | sc.MOUNT_ATTR_RDONLY


def fresh(mount: Mount) -> int:
    """Return a new, detached file system of that mount's kind."""
    return _FRESH[mount.kind](mount)


def _tmpfs(mount: Mount) -> int:
    options = tuple(
        (key, value) for key, _, value in (word.partition("=") for word in mount.options.split(","))
    )
    return sc.new_filesystem("tmpfs", (*options, *_size(mount)), (), _QUIET)


def _size(mount: Mount) -> tuple[tuple[str, str], ...]:
    return (("size", str(mount.size)),) if mount.size else ()


def _proc(_: Mount) -> int:
    return sc.new_filesystem("proc", (), (), _QUIET | sc.MOUNT_ATTR_NOEXEC)


def _sysfs(_: Mount) -> int:
    return sc.new_filesystem("sysfs", (), (), _READ_ONLY | sc.MOUNT_ATTR_NOEXEC)


def _cgroup(_: Mount) -> int:
    # Of the cgroup namespace of the box, which begins at the box itself.
    return sc.new_filesystem("cgroup2", (), (), _READ_ONLY | sc.MOUNT_ATTR_NOEXEC)


def _devices(_: Mount) -> int:
    return sc.new_filesystem(
        "tmpfs",
        (("mode", "0755"), ("size", "64k")),
        (),
        sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NOEXEC,
    )


def fill_devices(mount: Mount, tree: int, devices: list[tuple[str, int]], *, tun: bool) -> None:
    """Put the host's harmless devices, and terminals and shared memory of its own, into /dev.

    With `tun` also the one with which a user namespace makes an interface in a network of its own.
    """
    if tun:
        os.mkdir("net", 0o755, dir_fd=tree)
        os.mknod("net/tun", stat.S_IFCHR | 0o666, os.makedev(10, 200), dir_fd=tree)
        os.chmod("net/tun", 0o666, dir_fd=tree)  # noqa: S103 - as on most hosts; a namespace decides
    for name, device in devices:
        sc.set_mount(device, set_=sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NOEXEC)
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666, dir_fd=tree))
        target = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=tree)
        sc.attach(device, target)
        os.close(target)
    links = {"fd": "/proc/self/fd", "ptmx": "pts/ptmx", "core": "/proc/kcore"}
    links |= {name: f"/proc/self/fd/{n}" for n, name in enumerate(("stdin", "stdout", "stderr"))}
    for name, target_path in links.items():
        os.symlink(target_path, name, dir_fd=tree)
    terminals = sc.new_filesystem(
        "devpts",
        (
            ("newinstance", None),
            ("ptmxmode", "0666"),
            ("mode", "0600"),
            ("gid", "5"),
            ("max", "256"),
        ),
        (),
        sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NOEXEC,
    )
    shared = sc.new_filesystem("tmpfs", (("mode", "1777"), *_size(mount)), (), _QUIET)
    queues = sc.new_filesystem("mqueue", (), (), _QUIET | sc.MOUNT_ATTR_NOEXEC)
    for name, made in (("pts", terminals), ("shm", shared), ("mqueue", queues)):
        os.mkdir(name, 0o755, dir_fd=tree)
        target = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=tree)
        sc.attach(made, target)
        os.close(target)
    sc.set_mount(tree, set_=sc.MOUNT_ATTR_RDONLY)


_FRESH: dict[str, Callable[[Mount], int]] = {
    "tmpfs": _tmpfs,
    "proc": _proc,
    "sysfs": _sysfs,
    "cgroup": _cgroup,
    "devices": _devices,
}
