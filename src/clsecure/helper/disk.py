"""A session's own disk of a given size: an image file, mounted where the session alone sees it.

Loaded only where there is one. The image is sparse: on the host it takes what was written to it. It
is an ext4 without a journal on a loop device that goes with its last mount, and it is mounted in
namespaces of the helper and of the box alone, so that nothing of it outlives them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time

from . import accounts
from . import syscalls as sc
from .protocol import Refusal

IMAGE, PLACE = "disk.img", "disk"
# Root's own on the disk: a file that is allocated and never written, and files without content.
_RESERVE, _SPARE, _SPARE_FILES = "reserve", "spare", 512
_PACKAGE = "the package 'e2fsprogs'"
# More than as much again as the limit is kept for bringing the work home, which writes each new
# file once more (see `lend`), and a tenth of all is what the file system needs for itself.
_RESERVE_OF, _IMAGE_OF = 1.1, 2.35  # times the limit
# An inode for each block: files that are not empty meet the limit on bytes first.
_OPTIONS = ("-q", "-F", "-t", "ext4", "-b", "4096", "-i", "4096", "-m", "0")
# The inodes' tables are holes of a new file: nothing has to be zeroed, then or later.
_FEATURES = ("-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0")
_MOUNT = "discard,noinit_itable"
_FULL = 2 << 20  # a disk with less room than that, in bytes, counts as full
_FEW = 100  # or with less than this part of its inodes
_SECONDS = 10.0  # for the session's last mount to be written and to go
# linux/loop.h: ioctls, flag, and struct loop_config with the struct loop_info64 in it.
_GET_FREE, _CONFIGURE, _AUTOCLEAR = 0x4C82, 0x4C0A, 4
_CONFIG = struct.Struct("II 5Q 4I 160s 2Q 8Q")
# ext4's superblock: its offset in the image; magic number and state in it; "cleanly unmounted".
_SUPERBLOCK, _STATE, _CLEAN = 1024, 58, 1
_MENDED = 1  # e2fsck(8): at most this, if all is well in the end

_is_apart = False  # whether this process has left the host's mount namespace


class Disk:
    """The mounted disk; `root` is a descriptor of its root directory.

    `limit` is in bytes. The reserve is lent at first, so that a full disk can be opened.
    """

    def __init__(self, state: str, limit: int) -> None:
        _leave_hosts_mounts()
        self._place = f"{state}/{PLACE}"
        image = _open_image(f"{state}/{IMAGE}")
        try:
            _mend(image, f"{state}/{IMAGE}")
            device, path = _attach(image)
        finally:
            os.close(image)  # the loop device holds it, and with it the lock
        try:
            flags = sc.MS_NOSUID | sc.MS_NODEV
            sc.mount(path, self._place, "ext4", flags, _MOUNT)
        finally:
            os.close(device)
        self.root = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._reserve = os.open(_RESERVE, flags, 0o600, dir_fd=self.root)
        self._limit, self._kept = limit, int(limit * _RESERVE_OF)
        try:
            os.mkdir(_SPARE, 0o700, dir_fd=self.root)
        except OSError:
            pass  # it is there, or the disk is full
        self.lend()

    def lend(self) -> None:
        """Give the reserve free, to whoever writes, if there is little room without it.

        The kernel's own reserved blocks would not do: an overlay writes as root.
        """
        self._is_lent = True
        status = os.statvfs(self.root)
        if status.f_bavail * status.f_frsize < self._limit // 2:
            os.ftruncate(self._reserve, 0)
        if status.f_favail < _SPARE_FILES:
            spare = self._open_spare()
            for name in os.listdir(spare):
                os.unlink(name, dir_fd=spare)
            os.close(spare)

    def take_back(self) -> None:
        """Put aside what of the reserve is not in use."""
        if not self._is_lent:
            return
        self._is_lent = False
        try:
            self._put_inodes_aside()
            self._put_room_aside()
        except OSError as error:
            if error.errno != errno.ENOSPC:  # then all that is left was put aside
                raise

    def _open_spare(self) -> int:
        return os.open(_SPARE, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.root)

    def _put_inodes_aside(self) -> None:
        spare = self._open_spare()
        try:
            there = set(os.listdir(spare))
            for name in map(str, range(_SPARE_FILES)):
                if name not in there:
                    os.mknod(name, 0o600, dir_fd=spare)
        finally:
            os.close(spare)

    def _put_room_aside(self) -> None:
        has = os.fstat(self._reserve).st_blocks * 512
        status = os.statvfs(self.root)
        more = min(self._kept - has, status.f_bavail * status.f_frsize)
        if more > 0:
            os.posix_fallocate(self._reserve, 0, has + more)

    def is_full(self) -> bool:
        """Say whether there is no room left without the reserve, or no inode."""
        status = os.statvfs(self.root)
        has_room = status.f_bavail * status.f_frsize >= _FULL
        return not has_room or status.f_favail * _FEW < status.f_files

    def close(self) -> None:
        """Unmount it; the last of its mounts, here or in the box, takes the loop device along."""
        os.close(self._reserve)
        os.close(self.root)
        sc.detach(self._place)


def make(state: str, limit: int) -> None:
    """Make the image with an empty file system in which `limit` bytes can be written."""
    os.mkdir(f"{state}/{PLACE}", 0o700)
    path = f"{state}/{IMAGE}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    image = os.open(path, flags, 0o600)
    os.truncate(image, int(limit * _IMAGE_OF) & -4096)
    os.close(image)
    code, said = accounts.run_program("mkfs.ext4", *_OPTIONS, *_FEATURES, path, package=_PACKAGE)
    if code:
        raise Refusal(f"mkfs.ext4 failed: {said.splitlines()[-1] if said else code}", code=4)


def _leave_hosts_mounts() -> None:
    global _is_apart  # noqa: PLW0603 - it is the process that leaves
    if not _is_apart:
        sc.unshare(sc.CLONE_NEWNS)
        # What the host unmounts still goes away here, too.
        sc.mount(None, "/", None, sc.MS_REC | sc.MS_SLAVE)
        _is_apart = True


def _open_image(path: str) -> int:
    # The lock is of this open file, which the loop device keeps for as long as it has it: twice
    # mounted, the file system would be destroyed.
    image = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    end = time.monotonic() + _SECONDS
    while True:
        try:
            fcntl.flock(image, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(image)
                raise Refusal(
                    "the session's disk is still in use", hint="try again", code=5
                ) from None
            time.sleep(0.002)
        else:
            return image


def _mend(image: int, path: str) -> None:
    (state,) = struct.unpack("<H", os.pread(image, 2, _SUPERBLOCK + _STATE))
    if state == _CLEAN:
        return
    code, said = accounts.run_program("e2fsck", "-p", path, package=_PACKAGE)
    if code > _MENDED:
        raise Refusal(
            f"the session's disk is damaged: {said.splitlines()[-1] if said else code}",
            hint=f"as root: e2fsck {path}",
            code=1,
        )


def _attach(image: int) -> tuple[int, str]:
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        try:
            return _configure(image, control)
        finally:
            os.close(control)
    except OSError as error:
        raise Refusal(
            f"a limit on disk use needs a loop device, and none can be had: {error.strerror}",
            hint="as root: modprobe loop; or leave out `disk`",
            code=4,
        ) from None


def _configure(image: int, control: int) -> tuple[int, str]:
    info = (*[0] * 5, *(0, 0, 0, _AUTOCLEAR), b"", *[0] * 10)
    while True:
        path = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
        device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(image, 0, *info))
        except OSError as error:
            os.close(device)
            if error.errno != errno.EBUSY:  # somebody was faster
                raise
        else:
            return device, path
