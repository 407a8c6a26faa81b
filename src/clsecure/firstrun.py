"""What a fresh home holds, so that the agent starts at its prompt: answers, no secrets of the host.

The screens that each line skips are listed in the agent's documentation of its settings; measured
with versions 2.1.197 and 2.1.330.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from clsecure import claudestate
from clsecure.claudestate import HomeFile
from clsecure.credentials import LOGIN_FILE, Held
from clsecure.helper.inside import settle
from clsecure.helper.inside.offers import BROUGHT

_LOOKS = ("theme", "editorMode", "preferredNotifChannel", "verbose")


def home_files(
    home: Path, places: tuple[Path, ...], environ: Mapping[str, str], held: Held
) -> tuple[dict[str, HomeFile], list[str]]:
    """Return the first files of a worker's home, by relative path, and what was left out of them.

    `places` are the directories in which the agent will be started, `environ` its variables.
    """
    known = _read_json(home / ".claude.json")
    brought, lacking = claudestate.state(known, places)
    read = _read_json(home / ".claude/settings.json")
    settings, also = claudestate.settings(read, {*environ, *held.put_in})
    written, left = claudestate.files(home / ".claude")
    files = {
        **written,
        ".claude.json": HomeFile(_encode(state(_looks(known) | brought, places, environ))),
        ".claude/settings.json": HomeFile(_encode(settings)),
    }
    if written:
        from clsecure.digests import sha256

        marks = {name: sha256(file.content) for name, file in written.items()}
        files[BROUGHT] = HomeFile(_encode(marks))
    if held.login:
        files[LOGIN_FILE] = HomeFile(held.login.reveal().encode())
    return files, [*also, *lacking, *left]


def state(
    known: Mapping[str, object], places: tuple[Path, ...], environ: Mapping[str, str]
) -> dict[str, object]:
    """Return the agent's own state file: onboarding done, these directories trusted.

    `known` has the human's looks, and MCP servers and projects as they may be inside.
    """
    key = environ.get("ANTHROPIC_API_KEY", "")
    return settle.answered(dict(known), [str(place) for place in places], key)


def _looks(known: Mapping[str, object]) -> dict[str, object]:
    return {name: known[name] for name in _LOOKS if name in known}


def _read_json(path: Path) -> dict[str, object]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _encode(document: object) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"
