"""What a session says it brings home. Written by a worker: every field is checked, or refused."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from clsecure.homecoming.refs import conflicting, valid_ref

FORMAT = 1
MAX_LINE = 32 << 20  # bytes
_MAX_REFS = 50_000
_MAX_STASH = 1_000
_MAX_TOLD = 200  # warnings and names: more are counted, not kept
_MAX_TEXT = 8_192  # characters of one text
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

Json = dict[str, Any]
_T = TypeVar("_T")


class BadManifest(Exception):
    """The manifest is not one that export.py writes; the text says which part."""


@dataclass(frozen=True)
class Snapshot:
    """The uncommitted work as one commit, and how many files it changes."""

    commit: str
    files: int


@dataclass(frozen=True)
class StashEntry:
    """An entry of the session's stash that was made in the session."""

    commit: str
    message: str


@dataclass(frozen=True)
class Ignored:
    """Changed files that git ignores and that stay in the session: how many, the first names."""

    count: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What export.py found. `refs` are those made or moved in the session, by their full name.

    `repositories` are paths in the tree that have a repository of their own; `lfs`: git-lfs keeps
    contents of the session's.
    """

    head: str | None
    branch: str | None
    refs: dict[str, str]
    deleted: tuple[str, ...]
    snapshot: Snapshot | None
    stash: tuple[StashEntry, ...]
    ignored: Ignored
    warnings: tuple[str, ...]
    bundle: bool
    repositories: tuple[str, ...] = ()
    lfs: bool = False


def parse(line: bytes) -> Manifest:
    """Check and return the manifest. Raises BadManifest."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadManifest("it is not JSON") from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise BadManifest("its format is not known")
    branch = _field(said, "branch", str, none=True)
    if branch is not None and not _is_ref(f"refs/heads/{branch}"):
        raise BadManifest("the branch has an impossible name")
    snapshot = _field(said, "snapshot", dict, none=True)
    head = _field(said, "head", str, none=True)
    warnings = [_text(warning) for warning in _needed(said, "warnings", list)]
    if len(warnings) > _MAX_TOLD:
        warnings[_MAX_TOLD:] = [f"{len(warnings) - _MAX_TOLD} more warnings"]
    return Manifest(
        head=None if head is None else _oid(head),
        branch=branch,
        refs=_refs(_needed(said, "refs", dict)),
        deleted=tuple(_text(name) for name in _needed(said, "deleted", list)[:_MAX_TOLD]),
        snapshot=None if snapshot is None else _snapshot(snapshot),
        stash=_stash(_needed(said, "stash", list)),
        ignored=_ignored(_needed(said, "ignored", dict)),
        warnings=tuple(warnings),
        bundle=_needed(said, "bundle", bool),
        repositories=tuple(_path(each) for each in _needed(said, "repositories", list)),
        lfs=_needed(said, "lfs", bool),
    )


def _refs(said: Json) -> dict[str, str]:
    if len(said) > _MAX_REFS:
        raise BadManifest(f"it has {len(said)} refs")
    if not all(_is_ref(name) for name in said):
        raise BadManifest("a ref has an impossible name")
    if conflicting(said, said):
        raise BadManifest("a ref is a directory of another one")
    return {name: _oid(oid) for name, oid in said.items()}


def _snapshot(said: Json) -> Snapshot:
    return Snapshot(_oid(said.get("commit")), _count(said, "files"))


def _stash(said: list[Any]) -> tuple[StashEntry, ...]:
    if len(said) > _MAX_STASH:
        raise BadManifest(f"it has {len(said)} stash entries")
    if not all(isinstance(entry, dict) for entry in said):
        raise BadManifest("a stash entry is not an object")
    return tuple(
        StashEntry(_oid(entry.get("commit")), _text(entry.get("message"))) for entry in said
    )


def _ignored(said: Json) -> Ignored:
    names = tuple(_text(name) for name in _needed(said, "names", list)[:_MAX_TOLD])
    return Ignored(_count(said, "count"), names)


def _is_ref(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False  # a surrogate that stands for no byte
    return valid_ref(name)


def _path(value: object) -> str:
    """Return a plain path below the tree."""
    path = _text(value)
    parts = path.split("/")
    if len(path) == _MAX_TEXT or "\0" in path or {"", ".", "..", ".git"} & set(parts):
        raise BadManifest("a path is not one below the tree")
    return path


def _oid(value: object) -> str:
    if not isinstance(value, str) or not _OID.fullmatch(value):
        raise BadManifest("an object id is not one")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadManifest("a text is not one")
    return value[:_MAX_TEXT]


def _count(said: Json, key: str) -> int:
    value = _needed(said, key, int)
    if not 0 <= value < 1 << 53:
        raise BadManifest(f"{key} is not a count")
    return value


def _field(said: Json, key: str, kind: type[_T], *, none: bool = False) -> _T | None:
    """Return a field that is exactly of `kind` (True is no count); `none`: or null."""
    value = said.get(key)
    if type(value) is kind or (none and value is None):
        return value
    raise BadManifest(f"{key} is not what it should be")


def _needed(said: Json, key: str, kind: type[_T]) -> _T:
    value = _field(said, key, kind)
    assert value is not None  # noqa: S101 - for the type checker: null is refused above
    return value
