"""The layer above the host's /etc: what the box has there of its own.

A mount on each single file would not do: whoever replaces the file on the host, as useradd does
with the password file, takes such a mount away in every namespace (detach_mounts() in fs/namei.c).
"""

from __future__ import annotations

import os
import stat

from . import syscalls as sc

_ETC = "/etc"
_QUIET = sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def etc_layer(files: dict[str, bytes]) -> int | None:
    """Return a tmpfs with those of `files` that belong there; None: /etc cannot be a lower layer.

    What the host has mounted in /etc would not show through a layer above: files are copied, and
    where there is a directory of that kind the answer is None.
    """
    mounted = _mounted_files()
    if mounted is None or os.path.islink(_ETC):
        return None
    layer = sc.new_filesystem("tmpfs", (("mode", "0755"), ("size", "16m")), (), _QUIET)
    for path, content in files.items():
        if path.startswith(f"{_ETC}/"):
            _write(layer, path, content, None)
    for path in mounted:
        if path not in files:
            with open(path, "rb") as file:
                _write(layer, path, file.read(), os.fstat(file.fileno()))
    return layer


def _mounted_files() -> list[str] | None:
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            at = line.split(" ")[4]
            if at.startswith(f"{_ETC}/"):
                if not stat.S_ISREG(os.stat(at).st_mode):
                    return None
                found.append(at)
    return found


def _write(layer: int, path: str, content: bytes, like: os.stat_result | None) -> None:
    *parents, name = path[len(_ETC) + 1 :].split("/")
    directory = os.open(".", _DIRECTORY, dir_fd=layer)
    original = _ETC
    for part in parents:
        original = f"{original}/{part}"
        _enter(directory, part, os.stat(original))
        below = os.open(part, _DIRECTORY, dir_fd=directory)
        os.close(directory)
        directory = below
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(name, flags, 0o600, dir_fd=directory)
    os.write(file, content)
    os.fchown(file, like.st_uid if like else 0, like.st_gid if like else 0)
    os.fchmod(file, stat.S_IMODE(like.st_mode) if like else 0o644)
    os.close(file)
    os.close(directory)


def _enter(directory: int, name: str, like: os.stat_result) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        return
    os.chown(name, like.st_uid, like.st_gid, dir_fd=directory)
    os.chmod(name, stat.S_IMODE(like.st_mode), dir_fd=directory)
