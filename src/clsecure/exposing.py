"""What of a home may be shown at all, and which tool a path in it belongs to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from clsecure.helper.layout import SYSTEM, is_reserved, within
from clsecure.installations import CREDENTIALS, INSTALLATIONS, Installation

_MAX_SETTINGS = 64 << 10  # bytes
_SECRET_WORDS = (b"token", b"secret", b"passw", b"auth", b"_key", b"apikey", b"@")


class Shown(NamedTuple):
    """A path, where it really is, and why it is shown, or is not."""

    path: str
    why: str
    source: str = ""  # empty: the same


class World(NamedTuple):
    """Where to look. `home` and `project` are without links; `hide` and `show` are absolute."""

    environ: Mapping[str, str]
    home: str
    project: str
    hide: tuple[str, ...] = ()
    show: tuple[str, ...] = ()


class Rules:
    """What may be shown, in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.credentials = tuple(f"{world.home}/{place}/" for place in CREDENTIALS)
        roots = [
            (root, one)
            for one in INSTALLATIONS
            for root in (world.environ.get(one.variable, ""), *one.roots)
            if root
        ]
        self.roots = sorted(
            ((root if root[0] == "/" else f"{world.home}/{root}", one) for root, one in roots),
            key=lambda pair: -len(pair[0]),
        )

    def why_not(self, path: str) -> str:
        """Return why that path is not to be shown; empty if it may be."""
        if within(self.world.home, path):
            return "it is, or holds, your home directory"
        if within(self.world.project, path) or within(path, self.world.project):
            return "the project is there"
        if is_reserved(path):
            return "it belongs to the system"
        if matches(path, self.world.hide):
            return "`hide` says so"
        if f"{path}/".startswith(self.credentials):
            return "" if matches(path, self.world.show) else "credentials are kept there"
        return ""

    def known(self, path: str) -> tuple[str, Installation] | None:
        """Return the installation, with its root, that a path is a shown part of."""
        for root, one in self.roots:
            if path.startswith(root) and within(path, root):
                parts = one.shown
                if not parts or any(within(path, f"{root}/{part}") for part in parts):
                    return root, one
        return None

    def holds_credentials(self, path: str) -> bool:
        """Say whether credentials are kept in that directory, or anywhere below it."""
        prefix = f"{path}/"
        return any(place.startswith(prefix) for place in self.credentials)


def is_system(path: str) -> bool:
    """Say whether every box has that path, as a part of the host's system."""
    return path.split("/", 2)[1] in SYSTEM


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a pattern stands for that path, or for a directory around it."""
    if not patterns:
        return False
    from fnmatch import fnmatchcase

    return any(within(path, one) or fnmatchcase(path, one) for one in patterns)


def below(root: str, pattern: str) -> Iterator[str]:
    """Yield the paths below `root` that are there; `*` stands for any one name."""
    before, star, after = pattern.partition("*")
    if not star:
        before, after = pattern, ""
    if root.endswith("/*"):
        root, before, star, after = root[:-2], "", "*", f"/{pattern}"
    path = f"{root}/{before}".rstrip("/")
    if not star:
        if os.path.lexists(path):
            yield path
        return
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return
    for name in names:
        if os.path.lexists(f"{path}/{name}{after}"):
            yield f"{path}/{name}{after}"


def says_secrets(path: str) -> bool:
    """Say whether a file of settings may hold a secret, or is too large to tell."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_SETTINGS + 1).lower()
    except OSError:
        return True
    return len(text) > _MAX_SETTINGS or any(word in text for word in _SECRET_WORDS)
