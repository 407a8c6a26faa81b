"""Furnishes the root directory of a container, before anything of the worker runs in its box.

It holds the host's own programs or an image, of which nobody knows who made it: every path is
resolved as if that directory were the root (RESOLVE_IN_ROOT of openat2(2)), so that no link in it
leads root elsewhere. Its files belong to the worker's first subordinate id, root in the container.
"""

from __future__ import annotations

import errno
import os
import stat

from . import syscalls as sc
from .container import Range, binds
from .layout import INSIDE, ROOTFS, Mount, has_writable_root, within
from .protocol import Refusal

# Directories that every root has, and what podman mounts over.
_POINTS = (
    *("var", "proc", "sys", "dev", "root", "mnt", "srv", "media", "home", "var/cache", "var/lib"),
    *("etc", "run", "tmp", "var/tmp"),
)
_SCRATCH = ("tmp", "var/tmp")
_EMPTY = ("etc/hostname", "run/.containerenv")
_OWN = ("etc/hosts", "etc/resolv.conf")
_ACCOUNTS = ("etc/passwd", "etc/group")
# Of the host's /etc, files that programs read and that say nothing of its people or services.
_COPIED = (
    "bash.bashrc", "bindresvport.blacklist", "debconf.conf", "debian_version", "environment",
    "gai.conf", "gitconfig", "host.conf", "inputrc", "ld.so.cache", "ld.so.conf", "libaudit.conf",
    "localtime", "locale.alias", "locale.conf", "locale.gen", "login.defs", "magic", "mailcap",
    "mime.types", "os-release", "profile", "protocols", "redhat-release", "rpc", "services",
    "shells", "timezone", "vimrc", "wgetrc", "xattr.conf", "zsh",
)  # fmt: skip
_MOST_ACCOUNTS = 1 << 20  # bytes of an image's file of accounts
_FOLLOWING_NOTHING = os.O_NOFOLLOW | os.O_CLOEXEC


class Rootfs:
    """The root directory of a container."""

    def __init__(self, owner: tuple[Range, ...]) -> None:
        """Open it where the layout has mounted it; raises OSError."""
        self._uid, self._gid = (each.first for each in owner)
        self._root = os.open(ROOTFS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def furnish(
        self, mounts: tuple[Mount, ...], files: dict[str, bytes], links: tuple[str, ...] | None
    ) -> None:
        """Fill and close it; `links` are the host's, for its own programs, None for an image.

        Raises Refusal where the image has no room for something, and OSError.
        """
        os.fchown(self._root, self._uid, self._gid)
        for link in links or ():
            self._link(*link.split("=", 1))
        for name in _POINTS:
            self._take(name)
        for name in _SCRATCH:
            directory = self._directory(name)
            os.chmod(f"/proc/self/fd/{directory}", 0o1777)  # noqa: S103 - as everywhere
            os.close(directory)
        for path in (INSIDE, *(bind.path for bind in binds(mounts))):
            self._point(path.lstrip("/"), is_file=not os.path.isdir(path))
        for name in _EMPTY:
            self._file(name, b"")
        for name in _OWN:
            self._file(name, files[f"/{name}"])
        for name in _ACCOUNTS:
            own = files[f"/{name}"]
            self._file(name, own if links is not None else self._joined(name, own))
        if links is not None:
            self._furnish_for_host(files, is_writable=has_writable_root(mounts))
        self._link("etc/mtab", "/proc/self/mounts")
        sc.set_mount(self._root, set_=sc.MOUNT_ATTR_RDONLY)
        os.close(self._root)

    def _furnish_for_host(self, files: dict[str, bytes], *, is_writable: bool) -> None:
        if is_writable:
            self._take("var/log/apt")  # without which apt ends with an error
        self._file("etc/nsswitch.conf", files["/etc/nsswitch.conf"])
        for name in _COPIED:
            self._copy(name)

    def _open(self, path: str, flags: int) -> int:
        resolve = sc.RESOLVE_IN_ROOT | sc.RESOLVE_NO_MAGICLINKS
        return sc.openat2(self._root, path or ".", flags, resolve=resolve)

    def _directory(self, path: str) -> int:
        """Return a descriptor of a directory, made where it is missing."""
        try:
            return self._open(path, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _no_place(path, error) from None
        above, _, name = path.rpartition("/")
        parent = self._directory(above)
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _FOLLOWING_NOTHING, dir_fd=parent)
            os.fchown(made, self._uid, self._gid)
            os.fchmod(made, 0o755)
        except OSError as error:
            raise _no_place(path, error) from None
        finally:
            os.close(parent)
        return made

    def _take(self, path: str) -> None:
        # What making the mounts has left on the root's own file system is real root's so far.
        directory = self._directory(path)
        if os.fstat(directory).st_dev == os.fstat(self._root).st_dev:
            os.chown(f"/proc/self/fd/{directory}", self._uid, self._gid)
        os.close(directory)

    def _point(self, path: str, *, is_file: bool) -> None:
        try:
            os.close(self._open(path, os.O_PATH))
        except FileNotFoundError:
            if is_file:
                self._file(path, b"")
            else:
                os.close(self._directory(path))

    def _file(self, path: str, content: bytes) -> None:
        above, _, name = path.rpartition("/")
        parent = self._directory(above)
        try:
            try:
                os.unlink(name, dir_fd=parent)
            except FileNotFoundError:
                pass
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FOLLOWING_NOTHING
            file = os.open(name, flags, 0o644, dir_fd=parent)
            with os.fdopen(file, "wb") as stream:
                stream.write(content)
                os.fchmod(file, 0o644)
                os.fchown(file, self._uid, self._gid)
        except OSError as error:
            raise _no_place(path, error) from None
        finally:
            os.close(parent)

    def _link(self, path: str, target: str) -> None:
        above, _, name = path.rpartition("/")
        parent = self._directory(above)
        try:
            os.symlink(target, name, dir_fd=parent)
            os.chown(name, self._uid, self._gid, dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            pass
        finally:
            os.close(parent)

    def _joined(self, path: str, own: bytes) -> bytes:
        """Return the image's accounts, and those of ours that it has no line for."""
        try:
            file = self._open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return own
        with os.fdopen(file, "rb") as stream:
            is_file = stat.S_ISREG(os.fstat(file).st_mode)
            content = stream.read(_MOST_ACCOUNTS) if is_file else b""
        kept = content.splitlines()
        names = {line.partition(b":")[0] for line in kept}
        added = [line for line in own.splitlines() if line.partition(b":")[0] not in names]
        return b"".join(line + b"\n" for line in (*kept, *added))

    def _copy(self, name: str) -> None:
        source = f"/etc/{name}"
        try:
            status = os.lstat(source)
        except OSError:
            return
        if stat.S_ISLNK(status.st_mode):
            self._link(f"etc/{name}", os.readlink(source))
        elif stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IROTH:
            with open(source, "rb") as file:
                self._file(f"etc/{name}", file.read())


def _no_place(path: str, error: OSError) -> Refusal:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise error
    return Refusal(
        f"the container's root directory has no place for /{path}: {error.strerror}",
        hint="choose another image",
        code=4,
    )


def interpreter(mounts: tuple[Mount, ...], python: str) -> tuple[str, ...]:
    """Return how the host's Python is started in the container, whatever the image has.

    By the host's own dynamic loader, from the host's programs, which are shown at another place.
    """
    host = next((mount.at for mount in mounts if mount.kind == "interpreter"), "")
    if not host:
        return (python,)
    above = os.path.dirname(host)
    program = os.path.realpath(python)
    loader = os.path.realpath(_loader(program))
    libraries = dict.fromkeys((os.path.dirname(loader), "/usr/lib64", "/usr/lib"))
    path = ":".join(f"{above}{each}" for each in libraries if within(each, "/usr"))
    return (f"{above}{loader}", "--inhibit-cache", "--library-path", path, f"{above}{program}")


def _loader(program: str) -> str:
    """Return the dynamic loader that a program names: PT_INTERP, elf(5)."""
    with open(program, "rb") as file:
        content = file.read(4096)
    at = content.find(b"/lib")
    return content[at : content.index(b"\0", at)].decode("ascii")
