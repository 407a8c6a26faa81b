"""Runs in the box as the worker: finds which repositories of submodules the session changed.

Standard input: a JSON list of git directories. Standard output: a JSON list of their positions.
A repository that cannot be read counts as changed: its export will say what is wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Look at each."""
    git_dirs = json.load(sys.stdin)
    changed = [number for number, git_dir in enumerate(git_dirs) if _is_changed(Path(git_dir))]
    sys.stdout.write(json.dumps(changed))
    return 0


def _is_changed(git_dir: Path) -> bool:
    if not git_dir.is_dir():
        return False
    try:
        seeded = [(git_dir / "clsecure" / name).read_bytes() for name in ("refs", "head")]
        head = (git_dir / "HEAD").read_bytes()
        log, stash = git_dir / "logs/refs/stash", git_dir / "clsecure/stash"
        if _content(log) != _content(stash):
            return True
    except OSError:
        return True
    listed = subprocess.run(
        ["git", "--git-dir", git_dir, "for-each-ref", "--format=%(objectname) %(refname)"],  # noqa: S607 - the box's own PATH
        cwd="/",
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    symbolic = [line for line in seeded[0].splitlines() if line[:1] != b"#"]
    return (
        bool(listed.returncode)
        or head != seeded[1]
        or _refs(listed.stdout) != _refs(b"\n".join(symbolic))
    )


def _refs(listing: bytes) -> set[bytes]:
    # A symbolic ref (a remote's HEAD) is listed but not seeded as one with an object of its own.
    return {line for line in listing.splitlines() if line and not line.endswith(b"/HEAD")}


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
