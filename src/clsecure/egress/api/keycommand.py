"""Credentials that a command of the human's prints: a keyring's, a password manager's."""

from __future__ import annotations

import subprocess

_SECONDS = 60
_LONGEST = 16384  # characters of a credential


def printed(command: str) -> str:
    """Return the credential that a line for the shell prints; raises ValueError, without it."""
    words = ("/bin/sh", "-c", command)
    try:
        ended = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"it gave no answer in {_SECONDS} seconds") from None
    if ended.returncode:
        raise ValueError(f"it ended with code {ended.returncode}")
    return checked(ended.stdout.decode("utf-8", "replace"))


def checked(text: str) -> str:
    """Return a credential as it can stand in a header; raises ValueError, without it."""
    value = text.strip()
    if not value or len(value) > _LONGEST or not all("!" <= each <= "~" for each in value):
        raise ValueError("what it gave is not one word of ASCII")
    return value
