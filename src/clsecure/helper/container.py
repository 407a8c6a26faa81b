"""Container mode: what podman is given, the root directory of the container first of all.

Root furnishes that directory from the host's own programs and a small /etc, before anything of the
worker runs. Its files belong to the worker's first subordinate id, which is root in the container.
"""

from __future__ import annotations

import os
import stat
import time

from . import syscalls as sc
from .layout import INSIDE, ROOTFS, Mount, outermost, within
from .records import Record

PLACE = "/run/podman"  # of root's: podman's settings, and a fresh directory of state for a command
PODMAN = "/usr/bin/podman"
CRUN = "/usr/bin/crun"  # of the OCI runtimes the one that can leave cgroups alone
NEWUIDMAP = ("/usr/bin/newuidmap", "/usr/bin/newgidmap")
# What podman mounts over in the container, and directories that every root has.
_POINTS = ("proc", "sys", "dev", "root", "mnt", "srv", "media", "home", "var/cache", "var/lib")
_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf", "run/.containerenv")
_OWN = ("passwd", "group", "nsswitch.conf", "hosts", "resolv.conf")
# Of the host's /etc, files that programs read and that say nothing of its people or services.
_COPIED = (
    "bash.bashrc", "bindresvport.blacklist", "debconf.conf", "debian_version", "environment",
    "gai.conf", "gitconfig", "host.conf", "inputrc", "ld.so.cache", "ld.so.conf", "libaudit.conf",
    "localtime", "locale.alias", "locale.conf", "locale.gen", "login.defs", "magic", "mailcap",
    "mime.types", "os-release", "profile", "protocols", "redhat-release", "rpc", "services",
    "shells", "timezone", "vimrc", "wgetrc", "xattr.conf", "zsh",
)  # fmt: skip


class Range(Record):
    """Subordinate ids: `count` of them from `first` on, which are 0 and up in the container."""

    first: int
    count: int


def subordinate(worker: str) -> tuple[Range, ...]:
    """Return the worker's subordinate user and group ids (subuid(5), subgid(5)); empty: none."""
    found = []
    for path in ("/etc/subuid", "/etc/subgid"):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            fields = [line.strip().split(":") for line in file if line.startswith(f"{worker}:")]
        if not fields:
            return ()
        found.append(Range(first=int(fields[0][1]), count=int(fields[0][2])))
    return tuple(found)


def furnish(
    mounts: tuple[Mount, ...],
    links: tuple[str, ...],
    files: dict[str, bytes],
    owner: tuple[Range, Range],
) -> None:
    """Fill the container's root directory, of which the box has the mounts by now, and close it."""
    root = _Root(owner[0].first, owner[1].first)
    for name in _POINTS:
        root.directory(name)
    for link in links:
        root.link(*link.split("=", 1))
    for path in (INSIDE, *(bind.path for bind in binds(mounts))):
        if not os.path.lexists(f"{ROOTFS}{path}"):
            _point(root, path.lstrip("/"))
    for name in _FILES:
        root.file(name, b"")
    for name in _COPIED:
        _copy(root, name)
    for name in _OWN:
        root.file(f"etc/{name}", files[f"/etc/{name}"])
    root.link("etc/mtab", "/proc/self/mounts")
    root.close()
    _settings()


class Bind(Record):
    """A place of the box that the container has, too."""

    path: str
    writable: bool


def binds(mounts: tuple[Mount, ...]) -> tuple[Bind, ...]:
    """Return what of the box is shown in the container, what lies in it included."""
    scratch = ("/proc", "/run", "/run/lock")
    writable = outermost(tuple(m.at for m in mounts if m.writable and m.at not in scratch))
    shown = outermost(tuple(m.at for m in mounts if m.kind == "exposed"))
    kept = [path for path in shown if not any(within(path, other) for other in writable)]
    return (
        *(Bind(path=path, writable=True) for path in writable),
        *(Bind(path=path, writable=False) for path in (*kept, INSIDE)),
    )


def prepare(uid: int, gid: int) -> dict[str, str]:
    """Make podman's state for one command, fresh; returns podman's environment.

    With an older state podman would join namespaces that have ended, or that a command has chosen.
    """
    name = f"{PLACE}/{time.monotonic_ns()}"
    os.mkdir(name, 0o700)
    os.chown(name, uid, gid)
    storage(f"{name}.conf", images=f"{name}/storage", state=name)
    return {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "LC_ALL": "C",
        "HOME": name,
        "XDG_RUNTIME_DIR": name,
        "CONTAINERS_CONF": f"{PLACE}/containers.conf",
        "CONTAINERS_STORAGE_CONF": f"{name}.conf",
    }


def storage(path: str, *, images: str, state: str) -> None:
    """Write a configuration file of containers-storage.conf(5)."""
    lines = (
        "[storage]",
        'driver = "overlay"',
        *(f'{key} = "{images}"' for key in ("graphroot", "rootless_storage_path")),
        f'runroot = "{state}/run"',
    )
    write(path, "".join(f"{line}\n" for line in lines).encode())


def _settings() -> None:
    # Root's own, so that nothing that a command has put into its home speaks to the next podman.
    if not os.path.isdir(PLACE):
        os.mkdir(PLACE, 0o755)
    write(f"{PLACE}/containers.conf", b"")


class _Root:
    """The container's root directory, on a file system of its own."""

    def __init__(self, uid: int, gid: int) -> None:
        self._uid, self._gid = uid, gid
        os.chown(ROOTFS, uid, gid)
        for name in ("tmp", "var/tmp"):
            self.directory(name)
            os.chmod(f"{ROOTFS}/{name}", 0o1777)  # noqa: S103 - as everywhere

    def directory(self, name: str) -> None:
        path = ROOTFS
        for part in name.split("/"):
            path = f"{path}/{part}"
            if not os.path.lexists(path):
                os.mkdir(path, 0o755)
            if os.lstat(path).st_dev == os.stat(ROOTFS).st_dev:
                os.chown(path, self._uid, self._gid, follow_symlinks=False)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self.directory(os.path.dirname(name))
        path = f"{ROOTFS}/{name}"
        if os.path.lexists(path):
            os.unlink(path)
        write(path, content)
        os.chmod(path, mode)
        os.chown(path, self._uid, self._gid)

    def link(self, name: str, target: str) -> None:
        if not os.path.lexists(f"{ROOTFS}/{name}"):
            os.symlink(target, f"{ROOTFS}/{name}")

    def close(self) -> None:
        tree = os.open(ROOTFS, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sc.set_mount(tree, set_=sc.MOUNT_ATTR_RDONLY)
        os.close(tree)


def _point(root: _Root, name: str) -> None:
    if os.path.isdir(f"/{name}"):
        root.directory(name)
    else:
        root.file(name, b"")


def _copy(root: _Root, name: str) -> None:
    source = f"/etc/{name}"
    try:
        status = os.lstat(source)
    except OSError:
        return
    if stat.S_ISLNK(status.st_mode):
        root.directory("etc")
        root.link(f"etc/{name}", os.readlink(source))
    elif stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IROTH:
        with open(source, "rb") as file:
            root.file(f"etc/{name}", file.read())


def write(path: str, content: bytes, *, mode: int = 0o644) -> None:
    """Write a new file of root's."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, mode)
    while content:
        content = content[os.write(file, content) :]
    os.close(file)
