"""git in the box, as the worker, on the session's own repository, which may be in any state."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping

TIMEOUT = 900  # seconds for one git call; a filter of the worker's may hang
SETTINGS = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.bare=false",
    "core.safecrlf=false",
    "core.splitIndex=false",
    "core.untrackedCache=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "log.showSignature=false",
    "protocol.allow=never",
]


class Failed(Exception):
    """A step without which nothing can be exported did not work."""


def text(data: bytes) -> str:
    """Decode what git says; bytes that are not UTF-8 survive as surrogates."""
    return os.fsdecode(data)


def joined(names: Iterable[str]) -> bytes:
    """Return the names in the form that git's `-z` options read."""
    return b"".join(os.fsencode(name) + b"\0" for name in names)


def real_git_dir(git_dir: str) -> str:
    """Return the git directory itself where `git_dir` is a file that names it (gitfile)."""
    if not os.path.isfile(git_dir):
        return git_dir
    with open(git_dir, "rb") as file:
        named = os.fsdecode(file.read(1 << 16)).removeprefix("gitdir:").strip()
    return os.path.normpath(os.path.join(os.path.dirname(git_dir), named))


def _quoted(path: str) -> str:
    """Return a path as an entry of a list parted by colons: git(1), "C-style quoting"."""
    plain = range(0x20, 0x7F)
    body = "".join(
        chr(byte) if byte in plain and byte not in b'"\\' else f"\\{byte:03o}"
        for byte in os.fsencode(path)
    )
    return f'"{body}"'


class SessionGit:
    """git bound to the session's repository, and the warnings so far.

    Its index, and the objects that it makes, are our own, in the directory `scratch`.
    """

    def __init__(self, git_dir: str, work_tree: str, scratch: str) -> None:
        self.git_dir, self.work_tree = git_dir, work_tree
        self.warnings: list[str] = []
        self.repositories: list[str] = []  # in the tree, with one of their own each
        os.makedirs(f"{scratch}/objects", exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._environment = kept | {
            "GIT_DIR": git_dir,
            "GIT_WORK_TREE": work_tree,
            "GIT_INDEX_FILE": f"{scratch}/index",
            "GIT_OBJECT_DIRECTORY": f"{scratch}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(f"{git_dir}/objects"),
            "GIT_CONFIG_GLOBAL": os.devnull,  # the worker's own, in any state: not needed here
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_PAGER": "cat",
            "LC_ALL": "C",
        }

    def call(
        self,
        *args: str,
        stdin: bytes | int = b"",
        stdout: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        seconds: int = TIMEOUT,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git with the variables of `env` besides; the result may be a failure."""
        settings = [word for each in SETTINGS for word in ("-c", each)]
        source: dict[str, object] = (
            {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        )
        try:
            return subprocess.run(  # type: ignore[call-overload,no-any-return]
                ["git", "--no-pager", *settings, *args],  # noqa: S607 - the box's own PATH
                cwd=self.work_tree,
                env={**self._environment, **(env or {})},
                stdout=stdout,
                stderr=subprocess.PIPE,
                timeout=seconds,
                check=False,
                **source,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"git {args[0]} did not end in {seconds} s") from None

    def git(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Run git and return its output. Raises Failed."""
        ended = self.call(*args, stdin=stdin, env=env)
        if ended.returncode:
            raise Failed(f"git {args[0]}: {text(ended.stderr).strip()}")
        return ended.stdout or b""

    def object(self, name: str) -> str | None:
        """Return the id that `name` stands for, if there is such an object."""
        return text(self.call("rev-parse", "-q", "--verify", name).stdout).strip() or None

    def at(self, name: str) -> str:
        """Return the path of a file of the work tree."""
        return f"{self.work_tree}/{name}"
