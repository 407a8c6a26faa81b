"""What the checks of a host are made of: programs and their versions, files, what mends a lack."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum

from clsecure import modes, process

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGES = {
    "useradd": {"dnf": "shadow-utils", "pacman": "shadow", "zypper": "shadow", "": "passwd"},
    "find": {"": "findutils"},
    "mkfs.ext4": {"": "e2fsprogs"},
    "python3": {"pacman": "python", "": "python3"},
}


class Status(StrEnum):
    """How it is."""

    OK = "ok"
    WEAK = "weak"  # a session runs, with less
    MISSING = "missing"  # no session runs in the default mode


@dataclass(frozen=True)
class Check:
    """One thing: its name, what it is for, what was found, and the command that mends it."""

    check: str
    status: Status
    purpose: str
    found: str
    mend: str = ""


def version_of(program: str) -> tuple[int, ...]:
    """Return the numbers of what `--version` prints; empty where it does not run."""
    try:
        said = process.run(program, "--version", env={"PATH": _PATH, "LC_ALL": "C"}, check=False)
    except OSError:
        return ()
    found = re.search(r"\d+(\.\d+)+", said.text)
    return tuple(map(int, found[0].split("."))) if found else ()


def dotted(version: tuple[int, ...]) -> str:
    """Return a version as it is written."""
    return ".".join(map(str, version)) or "?"


def find(program: str) -> str:
    """Return where the system has a program; empty: nowhere."""
    places = (f"{directory}/{program}" for directory in _PATH.split(":"))
    return next((path for path in places if os.access(path, os.X_OK)), "")


def is_set_uid(path: str) -> bool:
    """Say whether a program is root's and set-uid."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_uid == 0 and bool(status.st_mode & 0o4000)


def first_line(path: str) -> str:
    """Return a file's first line; empty where it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def install(program: str) -> str:
    """Return the command that installs what has that program, with root's rights."""
    return as_root(bare(program))


def bare(program: str) -> str:
    """Return that command for root."""
    names = _PACKAGES.get(program, {"": program})
    manager = next((name for name in modes.INSTALL if find(name)), "")
    return modes.install_hint(names.get(manager, names[""]))


def as_root(command: str, *, whole: bool = False) -> str:
    """Return a command with what gives root's rights; `whole`: it is a shell's."""
    if os.getuid() == 0:
        return command
    return f"sudo sh -c '{command}'" if whole else f"sudo {command}"
