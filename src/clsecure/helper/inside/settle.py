"""Runs in the box as the worker, before the agent of a resumed session: answers what it would ask.

The key, the login or the directory may be others than at the first start. Arguments: a JSON list of
the directories to trust, then the command, which takes this program's place. The key is read from
the command's own environment; a login comes in a variable, which is not handed on.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOGIN = "CLSECURE_LOGIN"  # the content of the agent's credentials file
_KEY_TAIL = 20  # how much of an API key the agent itself stores, to remember that it was approved


def main() -> None:
    """Settle the worker's home and become the command."""
    places, *command = sys.argv[1:]
    home, login = os.environ["HOME"], os.environ.pop(LOGIN, None)
    try:
        path = f"{home}/.claude.json"
        known = _read(path)
        if known is not None:
            key = os.environ.get("ANTHROPIC_API_KEY", "")
            settled = answered(known, json.loads(places), key)
            if settled != known:
                _write(path, json.dumps(settled, indent=2))
        if login:
            _write(f"{home}/.claude/.credentials.json", login)
    except OSError as error:
        sys.stderr.write(f"clsecure: the agent's state cannot be settled: {error.strerror}\n")
    os.execvp(command[0], command)


def answered(known: dict[str, Any], places: list[str], key: str) -> dict[str, Any]:
    """Return the agent's state with the questions about places and key answered."""
    projects = dict(_mapping(known.get("projects")))
    for place in places:
        projects[place] = {**_mapping(projects.get(place)), "hasTrustDialogAccepted": True}
    settled = {**known, "hasCompletedOnboarding": True, "projects": projects}
    if key:
        tail = key[-_KEY_TAIL:]
        answers = _mapping(known.get("customApiKeyResponses"))
        approved, rejected = (
            _without(answers.get(name), tail) for name in ("approved", "rejected")
        )
        settled["customApiKeyResponses"] = {"approved": [*approved, tail], "rejected": rejected}
    return settled


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _without(value: object, item: str) -> list[Any]:
    return [each for each in value if each != item] if isinstance(value, list) else []


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError:
        return None  # damaged: the agent says so itself
    return document if isinstance(document, dict) else None


def _write(path: str, content: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fresh = f"{path}.clsecure-{os.getpid()}"
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(content)
    os.replace(fresh, path)


if __name__ == "__main__":
    main()
