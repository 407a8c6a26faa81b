"""A view of the host of a test's own: /usr/lib and /etc/sudoers.d as its commands alone see them.

What `clsecure setup` installs is for the whole machine; in this view it is for the test.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from world import Human

_MAKE = """
set -e
mount -t tmpfs -o mode=0755 clsecure-test "$1"
mkdir "$1/upper" "$1/work" "$1/rules"
mount -t overlay -o "lowerdir=/usr/lib,upperdir=$1/upper,workdir=$1/work" clsecure-test /usr/lib
mount --bind "$1/rules" /etc/sudoers.d
echo ready
exec sleep infinity
"""


class View:
    """Runs commands as root in the view, and as a human who has no sudo rule there."""

    def __init__(self, pid: int, human: Human) -> None:
        self._enter = ["nsenter", "--target", str(pid), "--mount", "--"]
        self.human = human

    def root(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program as root; its code must be `code` (default 0), unless that is None."""
        return self._run(list(words), **options)

    def run(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program as the human."""
        return self._run(self.human.argv(words), **options)

    def terminal(self, *words: str | Path) -> pexpect.spawn[str]:
        """Start a program as the human, on a terminal of its own."""
        place = f"--wd={self.human.home}"
        first, *rest = [*self._enter[:-1], place, "--", *self.human.argv(words)]
        return pexpect.spawn(first, rest, dimensions=(24, 80), timeout=30, encoding="utf-8")

    def _run(
        self,
        words: Sequence[str | Path],
        *,
        code: int | None = 0,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        # nsenter goes to the root of the view: the directory is named again.
        place = f"--wd={cwd or self.human.home}"
        ended = subprocess.run(
            [*self._enter[:-1], place, "--", *map(str, words)],
            env=env or {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = ended.stdout + ended.stderr
        assert code in (None, ended.returncode), f"{words}: {ended.returncode}\n{said}"
        return ended


@contextmanager
def host_view(human: Human, scratch: Path) -> Iterator[View]:
    """Make a view of the host; it goes with its first process."""
    keeper = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MAKE, "sh", scratch],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "ready\n"
        yield View(keeper.pid, human)
    finally:
        keeper.kill()
        keeper.wait()
