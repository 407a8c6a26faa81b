"""look(): everything that a plan needs to know of host and repository, read once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from clsecure import git, paths
from clsecure.helper.layout import Host, look_at_host
from clsecure.program import Program

_ENGINES = {"firejail": "/usr/bin/firejail", "bubblewrap": "/usr/bin/bwrap"}
# What container mode consists of: the programs of each part, of which one must be there.
CONTAINER = {
    "podman": ("/usr/bin/podman",),
    "crun": ("/usr/bin/crun",),
    "conmon": ("/usr/bin/conmon", "/usr/libexec/podman/conmon"),
    "uidmap": ("/usr/bin/newuidmap",),
}


class Facts(NamedTuple):
    """One look at host and repository."""

    repository: git.Repository
    cwd: Path  # where the human is, below the top of the working tree
    home: Path
    host: Host
    kernel: tuple[int, int]
    filesystem: str  # the type of the one that holds the working tree
    engines: tuple[str, ...]  # those of namespace mode that are installed
    submounts: tuple[str, ...] = ()  # mount points below the top of the working tree


def look(cwd: Path, environ: Mapping[str, str], asked: Program | None = None) -> Facts:
    """Read host and repository; raises UserError when this is no place to work in.

    `asked` is what `gitcall.ask` returned for `cwd`, if it was called already.
    """
    repository = git.discover(cwd, asked)
    return Facts(
        repository=repository,
        cwd=Path(os.path.realpath(cwd)),
        home=Path(os.path.realpath(paths.home(environ))),
        host=look_at_host(),
        kernel=kernel(),
        filesystem=filesystem_of(repository.top),
        engines=engines(),
        submounts=submounts(repository.top),
    )


def engines() -> tuple[str, ...]:
    """Return the engines of namespace mode that are installed."""
    return tuple(name for name, path in _ENGINES.items() if os.access(path, os.X_OK))


def missing_for_containers() -> tuple[str, ...]:
    """Return the parts of container mode that are not installed, by their packages' names."""
    return tuple(
        part
        for part, programs in CONTAINER.items()
        if not any(os.access(program, os.X_OK) for program in programs)
    )


def kernel() -> tuple[int, int]:
    """Return the kernel's version: major, minor."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def submounts(top: Path) -> tuple[str, ...]:
    """Return where other file systems are mounted below `top`, relative to it."""
    # Spaces, tabs, newlines and backslashes are octal there: proc(5).
    escaped = str(top)
    for character in "\\ \t\n":
        escaped = escaped.replace(character, f"\\{ord(character):03o}")
    below = f"{escaped}/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split(" ", 5)[4] for line in file if below in line]
    return tuple(point.removeprefix(below) for point in points if point.startswith(below))


def filesystem_of(path: Path) -> str:
    """Return the type of the file system that holds `path`, as mountinfo names it."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    best, found = "", "unknown"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            words = before.split(" ")
            at = words[4]
            if words[2] == wanted:
                found = after.split(" ")[0]
                break
            # btrfs and others give each subvolume a device of its own: the nearest mount counts.
            if os.path.commonpath((at, path)) == at and len(at) >= len(best):
                best, found = at, after.split(" ")[0]
    return found
