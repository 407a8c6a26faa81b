"""The project's own remotes, and what of the human's settings says how git reaches them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from clsecure.git import Git, Repository
from clsecure.giturls import without_credentials
from clsecure.workspace.gitconfig import Entry, entries, value_of
from clsecure.workspace.gitseed import alternates, object_stores

# How a host is reached, and as whom. What else there is (hooks, filters, refs) is the repository's.
_SECTIONS = frozenset(["credential", "http", "protocol", "ssh", "url"])
_NAMES = frozenset(["core.sshcommand", "core.gitproxy"])
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class Remote(NamedTuple):
    """One address of a remote: what the box calls it, and what the human wrote."""

    name: str
    address: str

    @property
    def shown(self) -> str:
        """The address as the session's own settings have it."""
        return without_credentials(self.address)


class Remotes(NamedTuple):
    """What a process needs that speaks with the remotes in the human's place.

    `settings` may hold secrets. `alternates` are the human's object stores as a file of that name
    lists them, `shallow` the content of theirs.
    """

    remotes: tuple[Remote, ...]
    settings: tuple[tuple[str, str], ...] = ()
    object_format: str = "sha1"
    alternates: str = ""
    shallow: bytes = b""


def look(repository: Repository) -> Remotes:
    """Read the remotes of a repository; there are none for one without all of its objects."""
    listing = Git(repository).run("config", "--list", "--show-scope", "-z").stdout
    settings = [each for each in entries(listing) if each.scope != "command"]
    if any(_is_partial(each) for each in settings):
        return Remotes(())
    try:
        shallow = (repository.common_dir / "shallow").read_bytes()
    except FileNotFoundError:
        shallow = b""
    return Remotes(
        remotes=named(settings),
        settings=tuple((each.key, _text(each)) for each in settings if _is_needed(each)),
        object_format=value_of(settings, "extensions.objectformat") or "sha1",
        alternates=alternates(os.fspath(each) for each in object_stores(repository.common_dir)),
        shallow=shallow,
    )


def named(settings: Iterable[Entry]) -> tuple[Remote, ...]:
    """Return each address of each remote once, by names that differ."""
    found: dict[str, str] = {}  # as the box sees it, to its name
    made: list[Remote] = []
    for entry in settings:
        is_address = entry.section == "remote" and entry.name in {"url", "pushurl"}
        if not is_address or not entry.value or not _NAME.fullmatch(entry.subsection):
            continue
        shown, number, name = without_credentials(entry.value), 1, entry.subsection
        if shown in found or "\n" in shown:
            continue
        while name in found.values():
            number += 1
            name = f"{entry.subsection}-{number}"
        found[shown] = name
        made.append(Remote(name, entry.value))
    return tuple(made)


def _is_partial(entry: Entry) -> bool:
    return entry.key == "extensions.partialclone" or entry.name == "promisor"


def _is_needed(entry: Entry) -> bool:
    return entry.section in _SECTIONS or entry.key in _NAMES


def _text(entry: Entry) -> str:
    return "true" if entry.value is None else entry.value
