"""Removes a tree that a worker made, whatever its shape, following no link."""

from __future__ import annotations

import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(parent: int, name: str) -> None:
    """Remove the directory `name` of the directory `parent`; raises OSError, naming the culprit.

    Directories further down are moved up first: a worker can nest them deeper than a path, the
    stack or the number of open descriptors allows. Nothing else may use the tree meanwhile.
    """
    top = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        aside = 0
        while entries := os.listdir(top):
            for entry in entries:
                if not _unlink(top, entry):
                    aside = _flatten(top, entry, aside)
                    os.rmdir(entry, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _flatten(top: int, name: str, aside: int) -> int:
    # Leaves the directory empty, its own directories beside it; returns the next free number.
    directory = os.open(name, _DIRECTORY, dir_fd=top)
    try:
        for entry in os.listdir(directory):
            if not _unlink(directory, entry):
                while _exists(top, f"aside-{aside}"):
                    aside += 1
                os.rename(entry, f"aside-{aside}", src_dir_fd=directory, dst_dir_fd=top)
    finally:
        os.close(directory)
    return aside


def _unlink(directory: int, name: str) -> bool:
    # False: it is a directory.
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        return False
    return True


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
