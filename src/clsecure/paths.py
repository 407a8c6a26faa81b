"""Where things of the human's are: configuration, state, the top of the repository."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from clsecure import ahead

PROJECT_DIRECTORY = ".clsecure"
PROJECT_CONFIG = f"{PROJECT_DIRECTORY}/config"
CLEANUP_HOOK = f"{PROJECT_DIRECTORY}/on-cleanup"
FORMER_PROJECT_CONFIG = ".clsecure.conf"


def home(environ: Mapping[str, str]) -> Path:
    """Return the human's home directory: `HOME`, or what the user database says."""
    named = environ.get("HOME", "")
    if os.path.isabs(named):
        return Path(named)
    import pwd  # a rare path

    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def user_config_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the places of the human's configuration; the first one that exists counts."""
    at_home = home(environ)
    directory = _base_directory(environ, "XDG_CONFIG_HOME", at_home / ".config")
    return directory / "clsecure" / "config", at_home / ".clsecurerc"


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory of what clsecure remembers for this human; it may not exist yet."""
    base = _base_directory(environ, "XDG_STATE_HOME", home(environ) / ".local" / "state")
    return base / "clsecure"


def network_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory of the network's log and of the running sessions' control sockets."""
    return state_directory(environ) / "net"


def find_top(start: Path) -> Path | None:
    """Return the top of the git working tree that holds `start`, or None outside of one."""
    found = ahead.find_top(os.fspath(start))
    return Path(found) if found else None


def _base_directory(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    named = environ.get(variable, "")
    # "All paths set in these environment variables must be absolute", else they are ignored:
    # https://specifications.freedesktop.org/basedir-spec/latest/
    return Path(named) if os.path.isabs(named) else default
