"""A person's Claude plugins: where they are, and what in there is not for a session to see.

Layout, as measured with 2.1.197: `plugins/` holds marketplaces (git repositories), copies of the
installed plugins, and lists of both with absolute paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clsecure.listing import Listing

_MARKETPLACES = "known_marketplaces.json"
_MANIFEST = ".claude-plugin/marketplace.json"
# What may hold a credential although nothing in its name says so.
_LOOKED_INTO = (
    *("*.json", "marketplaces/*/.git/config", "cache/*/*/*/.git/config", "cache/*/*/*/.mcp.json"),
    *("cache/*/*/*/.claude-plugin/plugin.json", "marketplaces/*/.claude-plugin/marketplace.json"),
)
_IN_ADDRESS = re.compile(r"://[^/\s@:]*:[^/\s@]+@|://[^/\s@:$]{20,}@|extraheader", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{\w+(:-[^}]*)?\}")
_LARGEST = 4 << 20  # bytes


def marketplaces(top: str) -> Iterator[tuple[str, str]]:
    """Yield names and directories of the marketplaces that lie elsewhere."""
    path = Path(top, _MARKETPLACES)
    try:
        content = path.read_bytes()
    except OSError:
        return
    if b'"directory"' not in content and b'"file"' not in content:
        return
    import json

    try:
        known = json.loads(content)
    except (ValueError, RecursionError):
        return
    for name, one in known.items() if isinstance(known, dict) else ():
        place = one.get("installLocation") if isinstance(one, dict) else None
        if not isinstance(place, str) or not os.path.isabs(place):
            continue
        place = os.path.normpath(place)
        if not place.startswith(f"{top}/") and os.path.isfile(f"{place}/{_MANIFEST}"):
            yield name, place


def secrets(
    top: str,
    hide: Sequence[str],
    show: Sequence[str],
    environ: Mapping[str, str],
    listing: Listing | None = None,
) -> dict[str, str]:
    """Return the paths below the plugins' directory that hold credentials, and by what.

    `listing` is taken over, if it was begun already. Raises UserError when the search fails: then
    nothing is known to be safe.
    """
    from clsecure.claudestate import holds_credential
    from clsecure.workspace.exposed import secrets_below

    found = dict.fromkeys(secrets_below(top, hide, show, environ, listing), "by its name")
    for pattern in _LOOKED_INTO:
        for path in _matching(top, pattern.split("/")):
            text = _text(path)
            if text is None or holds_credential(text) or _IN_ADDRESS.search(text):
                found.setdefault(path, "by what is in it")
    return found


def _text(path: str) -> str | None:
    """Return a file's text without references to variables; None where it is too large to tell."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError:
        return None
    return _REFERENCE.sub("", content.decode("latin-1")) if len(content) <= _LARGEST else None


def _matching(directory: str, parts: list[str]) -> Iterator[str]:
    first, *rest = parts
    if "*" in first:
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            return
        end = first[1:]
        paths = [f"{directory}/{name}" for name in names if name.endswith(end)]
    else:
        paths = [f"{directory}/{first}"]
    for path in paths:
        if rest:
            yield from _matching(path, rest)
        elif os.path.isfile(path):
            yield path
