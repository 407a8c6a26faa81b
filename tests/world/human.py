"""A human: a real user of this machine who may use sudo, made for a test and removed after it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect

from world import leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAM = Path(sys.executable).parent / "clsecure"
_SECONDS = 60


class Human:
    """Runs programs as that user, with a clean environment."""

    def __init__(self, name: str) -> None:
        self.account = pwd.getpwnam(name)
        self.name = name
        self.prefix: tuple[str, ...] = ()  # what runs the human's commands elsewhere
        self.home = Path(self.account.pw_dir)
        self.environment = {
            "HOME": str(self.home),
            "USER": name,
            "LOGNAME": name,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "PATH": f"{self.home}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        }

    def argv(self, words: Sequence[str | Path], env: Mapping[str, str] | None = None) -> list[str]:
        """The command line that runs these words as the human, from root."""
        variables = {**self.environment, **(env or {})}
        pairs = [f"{key}={value}" for key, value in variables.items()]
        return [
            *self.prefix,
            "runuser",
            "-u",
            self.name,
            "--",
            "env",
            "-i",
            *pairs,
            *map(str, words),
        ]

    def run(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        code: int | None = 0,
        seconds: float = _SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; its code must be `code`, unless that is None."""
        ended = subprocess.run(
            self.argv(words, env),
            cwd=cwd or self.home,
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=seconds,
            check=False,
        )
        if code is not None:
            said = f"{words}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
            assert ended.returncode == code, said
        return ended

    def clsecure(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the program under test; see `run`."""
        return self.run(PROGRAM, *words, **options)

    def start(
        self, *words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start the program under test in the background, its own process group."""
        return subprocess.Popen(
            self.argv([PROGRAM, *words], env), cwd=cwd, start_new_session=True, **options
        )

    def terminal(
        self,
        *words: str | Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        size: tuple[int, int] = (30, 100),
    ) -> pexpect.spawn[str]:
        """Start a program on a terminal of its own; without words, the program under test."""
        first, *rest = self.argv(words or [PROGRAM], env)
        return pexpect.spawn(
            first, rest, cwd=str(cwd), dimensions=size, timeout=30, encoding="utf-8"
        )

    def write(self, path: Path | str, text: str, *, mode: int = 0o644) -> Path:
        """Write a file of the human's; a relative path is below the home."""
        target = self.home / path
        script = 'mkdir -p "${1%/*}" && cat > "$1" && chmod "$2" "$1"'
        self.run("sh", "-c", script, "sh", target, f"{mode:o}", stdin=text)
        return target

    def repository(self, path: str = "src/project", files: Mapping[str, str] | None = None) -> Path:
        """Make a repository with one commit that holds `files`."""
        top = self.home / path
        self.run("mkdir", "-p", top)
        self.run("git", "init", "-q", "-b", "main", cwd=top)
        for name, text in (files or {"README": "hello\n"}).items():
            self.write(top / name, text)
        self.run("git", "add", "-A", cwd=top)
        self.run("git", "commit", "-q", "-m", "first", cwd=top)
        return top

    def agent(self, script: str) -> Path:
        """Put a program named `claude` on the human's PATH: a shell script."""
        return self.write("bin/claude", f"#!/bin/sh\n{script}\n", mode=0o755)

    def workers(self) -> list[str]:
        """The names of the human's workers, by root's own records."""
        import json

        listed = self.clsecure("list", "--json").stdout
        return [session["worker"] for session in json.loads(listed)]


@contextmanager
def new_human() -> Iterator[Human]:
    """Make a human with sudo and a git identity; everything of theirs is gone in the end."""
    name = f"{leftovers.HUMAN}{secrets.token_hex(4)}"
    subprocess.run(["useradd", "-m", "-s", "/bin/bash", name], check=True)
    rule = Path(f"/etc/sudoers.d/{name}")
    rule.write_text(f"{name} ALL=(root) NOPASSWD: ALL\n")
    rule.chmod(0o440)
    human = Human(name)
    leftovers.register(human.account)
    try:
        human.home.chmod(0o700)
        human.run("git", "config", "--global", "user.name", "A Human")
        human.run("git", "config", "--global", "user.email", "human@example.org")
        yield human
    finally:
        end_processes(human)  # of a test that was interrupted, perhaps
        human.clsecure("cleanup", "--all", "--yes", code=None)
        human.clsecure("image", "prune", "--yes", code=None)
        rule.unlink(missing_ok=True)
        end_processes(human)
        subprocess.run(["userdel", "-r", "-f", name], check=False, capture_output=True)
        shutil.rmtree(human.home, ignore_errors=True)


def end_processes(human: Human) -> None:
    """End every process of a human made by a test, and root's in their service."""
    for _ in range(100):
        found = [one.pid for one in leftovers.processes() if one.serves(human.account)]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
