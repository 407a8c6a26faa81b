"""What the door for git is told: the project's remotes, and what the agent may do there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PORT = 9418  # of the box's loopback: git's own, by git-daemon(1)
RULE = "push = origin"
WAYS = {"git-upload-pack": "git fetch", "git-receive-pack": "git push"}


class GitHosts(NamedTuple):
    """The remotes by the names that the box has for them, with their real addresses.

    `settings` are of the human's git, in order: how hosts are reached and as whom; both may hold
    secrets. `directory` is where the mirrors are made, `branches` are patterns of names.
    """

    remotes: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    object_format: str
    alternates: str
    shallow: bytes
    directory: Path
    branches: tuple[str, ...]
    may_force: bool
    github: str = ""  # the project's repository there, HOST/OWNER/NAME, where gh can be run


def address(name: str) -> str:
    """Return what the box calls a remote."""
    return f"git://127.0.0.1:{PORT}/{name}"
