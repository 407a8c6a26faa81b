"""Overlays, detached: by descriptors where the kernel has that, else by names on a shelf."""

from __future__ import annotations

import errno
import os

from . import syscalls as sc

STAGING = "/var/lib/clsecure"  # root-owned and there on every host: what is put on it is ours alone


def overlay(
    lowers: tuple[int, ...],
    upper: int | None,
    work: int | None,
    options: tuple[tuple[str, str], ...],
    attributes: int,
    *,
    staging: str = STAGING,
) -> int:
    """Return a detached overlay of those layers, the first lower on top.

    Layers by descriptor need Linux 6.13; before that they are attached to a tmpfs of our own at
    `staging`, and named by their paths there.
    """
    writable = () if upper is None or work is None else (("upperdir", upper), ("workdir", work))
    layers = (*(("lowerdir+", lower) for lower in lowers), *writable)
    try:
        return sc.new_filesystem("overlay", options, layers, attributes)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
    shelf = sc.new_filesystem("tmpfs", (("mode", "0700"), ("size", "1m")))
    sc.attach(shelf, _open(staging))
    try:
        names = []
        for number, layer in enumerate(lowers):
            os.mkdir(f"l{number}", dir_fd=shelf)
            target = os.open(f"l{number}", os.O_PATH | os.O_DIRECTORY, dir_fd=shelf)
            sc.attach(_attachable(layer), target)
            names.append(f"{staging}/l{number}")
        data = ["lowerdir=" + ":".join(names), *(f"{key}={value}" for key, value in options)]
        data += [f"{key}=/proc/self/fd/{layer}" for key, layer in writable]
        os.mkdir("merged", dir_fd=shelf)
        sc.mount("overlay", f"{staging}/merged", "overlay", 0, ",".join(data))
        tree = sc.clone_tree(_open(f"{staging}/merged"))
        sc.set_mount(tree, set_=attributes)
        return tree
    finally:
        sc.detach(staging)


def _attachable(layer: int) -> int:
    # A plain descriptor (an empty directory) is no mount of its own yet.
    try:
        return sc.clone_tree(layer)
    except OSError:
        return layer


def _open(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
