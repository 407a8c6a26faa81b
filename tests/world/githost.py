"""A git host on the tests' internet that asks for a token, and a human who has it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from world.internet import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world.human import Human
    from world.internet import Internet

PORT = 8418
HOST = f"evil.test:{PORT}"  # which no session may reach by itself
_UPDATE = """#!/bin/sh
case $1 in
  */protected) printf 'GH006: Protected branch\\033[31m update failed\\n' >&2; exit 1 ;;
esac
"""


class GitHost:
    """The host: bare repositories in a directory of root's."""

    def __init__(self, directory: Path, token: str) -> None:
        self.directory, self.token = directory, token
        self.log = directory / "log"

    def url(self, name: str) -> str:
        """The address of one of its repositories."""
        return f"http://{HOST}/{name}.git"

    def git(self, name: str, *words: str, check: bool = True) -> str:
        """Run git on one of its repositories, as the host's own administrator."""
        argv = ["git", f"--git-dir={self.directory}/repositories/{name}.git", *words]
        ran = subprocess.run(argv, capture_output=True, text=True, check=check, env=_ENVIRONMENT)
        return ran.stdout.strip()

    def make(self, name: str) -> str:
        """Make an empty repository; returns its address."""
        path = self.directory / "repositories" / f"{name}.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True)
        self.git(name, "config", "http.receivepack", "true")
        hook = path / "hooks/update"
        hook.write_text(_UPDATE)
        hook.chmod(0o755)
        return self.url(name)

    def refs(self, name: str) -> dict[str, str]:
        """The refs of a repository and what they are at."""
        lines = self.git(name, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split() for line in lines)

    def asked(self) -> list[dict[str, object]]:
        """The requests so far: their paths, and whether they came with the token."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def project(self, human: Human, name: str) -> Path:
        """Make a repository of the human's whose `origin` is one of this host's, and push it."""
        top = human.repository(f"src/{name}")
        human.run("git", "remote", "add", "origin", self.make(name), cwd=top)
        human.run("git", "push", "-q", "-u", "origin", "main", cwd=top)
        return top


_ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


@contextmanager
def new_git_host(internet: Internet, human: Human, directory: Path) -> Iterator[GitHost]:
    """Start the host, and give the human its token, which git's own store has then."""
    host = GitHost(directory, f"ghp_{secrets.token_hex(18)}")
    (directory / "repositories").mkdir()
    secret = directory / "secret"
    secret.write_text(f"human:{host.token}")
    human.write(".git-credentials", f"http://human:{host.token}@{HOST}\n", mode=0o600)
    human.run("git", "config", "--global", "credential.helper", "store")
    program = Path(__file__).with_name("githttpd.py")
    argv = [*internet.prefix, sys.executable, str(program), OTHER, str(PORT)]
    argv += [str(directory / "repositories"), str(secret), str(host.log)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            yield host
        finally:
            running.kill()
