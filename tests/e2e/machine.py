"""This machine with something changed, for one program only: a mount namespace of its own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from world.human import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path


def clsecure_after(
    human, changes: str, *words: str, cwd: Path, code: int | None = 0, env=None
) -> subprocess.CompletedProcess[str]:
    """Run clsecure where root has run the shell commands `changes`, which nobody else sees."""
    script = f'set -e; {changes}; cd "$0"; exec "$@"'
    argv = human.argv([PROGRAM, *words], env)
    ended = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(cwd), *argv],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if code is not None:
        assert ended.returncode == code, f"{ended.returncode}\n{ended.stdout}{ended.stderr}"
    return ended


def without(*programs: str) -> str:
    """Return the commands that make programs unusable."""
    return "; ".join(f"mount --bind /dev/null {program}" for program in programs)
