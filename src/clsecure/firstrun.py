"""What a fresh home holds, so that the agent starts at its prompt: answers, no secrets of the host.

The screens that each line skips are listed in the agent's documentation of its settings; measured
with versions 2.1.197 and 2.1.330.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

_KEY_TAIL = 20  # how much of an API key the agent itself stores, to remember that it was approved
_LOOKS = ("theme", "editorMode", "preferredNotifChannel", "verbose")
_PORTABLE = ("CLAUDE.md", "agents", "commands", "skills", "output-styles")
_MAX_FILE = 1 << 20
_MAX_FILES = 500


def home_files(
    home: Path, places: tuple[Path, ...], environ: Mapping[str, str]
) -> dict[str, bytes]:
    """Return the first files of a worker's home, by relative path.

    `places` are the directories in which the agent will be started. Of a subscription login only
    the access token goes in: a refresh inside would log the human out (refresh tokens rotate).
    """
    files = {
        ".claude.json": _encode(state(_read_json(home / ".claude.json"), places, environ)),
        ".claude/settings.json": _encode({"skipDangerousModePermissionPrompt": True}),
    }
    login = _login(_read_json(home / ".claude/.credentials.json"))
    has_key = environ.get("ANTHROPIC_API_KEY") or environ.get("ANTHROPIC_AUTH_TOKEN")
    if login and not has_key:
        files[".claude/.credentials.json"] = _encode(login)
    return files | _portable(home / ".claude")


def state(
    known: Mapping[str, object], places: tuple[Path, ...], environ: Mapping[str, str]
) -> dict[str, object]:
    """Return the agent's own state file: onboarding done, these directories trusted."""
    answers: dict[str, object] = {name: known[name] for name in _LOOKS if name in known}
    answers |= {
        "hasCompletedOnboarding": True,
        "projects": {str(place): {"hasTrustDialogAccepted": True} for place in places},
    }
    key = environ.get("ANTHROPIC_API_KEY")
    if key:
        answers["customApiKeyResponses"] = {"approved": [key[-_KEY_TAIL:]], "rejected": []}
    return answers


def _login(credentials: Mapping[str, object]) -> dict[str, object] | None:
    login = credentials.get("claudeAiOauth")
    if not isinstance(login, dict) or not login.get("accessToken"):
        return None
    kept = ("accessToken", "scopes", "subscriptionType", "rateLimitTier")
    return {
        "claudeAiOauth": {
            **{name: login[name] for name in kept if name in login},
            "refreshToken": None,
            "expiresAt": None,
        }
    }


def _portable(directory: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in _PORTABLE:
        top = directory / name
        paths = sorted(top.rglob("*")) if top.is_dir() else [top]
        for path in paths:
            if len(found) < _MAX_FILES and path.is_file() and path.stat().st_size <= _MAX_FILE:
                found[f".claude/{path.relative_to(directory)}"] = path.read_bytes()
    return found


def _read_json(path: Path) -> dict[str, object]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _encode(document: object) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"
