"""Names of workers, made of the project's path and the session's name."""

from __future__ import annotations

import os

from clsecure.digests import sha256
from clsecure.helper.accounts import PREFIX

_SHORT = 10  # characters of the project's name; the whole fits into Linux's 32


def worker_names(project: str, session: str, uid: int) -> tuple[str, str]:
    """Return the worker's name for this project and session, and the one if it is taken.

    The first is the name that the bash tool of the same name gives.
    """
    kept = [c if c in "abcdefghijklmnopqrstuvwxyz0123456789" else "-" for c in _base(project)]
    words = [word for word in "".join(kept).split("-") if word]
    short = "-".join(words)[:_SHORT].strip("-") or "project"
    key = f"{project}:{session}" if session else project
    return f"{PREFIX}{short}-{_digest(key)}", f"{PREFIX}{short}-{_digest(f'{key}{chr(0)}{uid}')}"


def _base(project: str) -> str:
    return os.path.basename(project).lower()


def _digest(text: str) -> str:
    return sha256(os.fsencode(text))[:6]
