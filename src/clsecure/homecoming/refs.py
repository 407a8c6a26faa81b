"""Names of refs: which are possible, which can stand side by side; and writing them at once."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from clsecure.errors import ExitCode, UserError
from clsecure.git import Git, Repository, Running, all_module_dirs, described
from clsecure.output import escape

BASE = "base"  # the commit that a session started from: refs/clsecure/<key>/base
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)")


def valid_ref(name: str) -> bool:
    """Return whether git would take `name` as a full ref name (git-check-ref-format(1))."""
    return (
        name.startswith("refs/")
        and name.count("/") > 1
        and not _FORBIDDEN.search(name)
        and not name.endswith(("/", "."))
    )


def valid_branch(name: str) -> bool:
    """Return whether git would take `name` as the name of a new branch."""
    return valid_ref(f"refs/heads/{name}") and not name.startswith("-") and name != "HEAD"


class Names:
    """A set of refs which knows what can be added: no ref is a directory of another one."""

    def __init__(self, names: Iterable[str]) -> None:
        self._files: set[str] = set()
        self._directories: set[str] = set()
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Take `name` in, whether it fits or not."""
        self._files.add(name)
        self._directories.update(_parents(name))

    def conflicts(self, name: str) -> bool:
        """Return whether `name` is a directory of another ref, or the other way round."""
        return name in self._directories or any(each in self._files for each in _parents(name))

    def has_room(self, name: str) -> bool:
        """Return whether `name` can be made: it is not there and conflicts with nothing."""
        return name not in self._files and not self.conflicts(name)

    def free(self, wanted: str) -> str:
        """Return `wanted`, or with the first number that makes it free; it is taken then."""
        name, number = wanted, 1
        while not self.has_room(name):
            number += 1
            name = f"{wanted}-{number}"
        self.add(name)
        return name


def conflicting(names: Collection[str], others: Iterable[str]) -> set[str]:
    """Return those of `names` that cannot stand beside `others`."""
    there = Names(others)
    return {name for name in names if there.conflicts(name)}


def _parents(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


def namespace(key: str) -> str:
    """Return the prefix of a session's refs."""
    return f"refs/clsecure/{key}/"


def start_bases(repository: Repository, key: str, oid: str) -> list[Running]:
    """Start to keep what a session builds on from git's garbage collection.

    It stays at refs/clsecure/<key>/base: here `oid`, in each submodule what is checked out there.
    """
    modules = (Git(described(path)) for path in all_module_dirs(repository.git_dir))
    inner = [each.start(*_keeping(key, "HEAD")) for each in modules]
    return [Git(repository).start(*_keeping(key, oid)), *inner]


def set_base(repository: Repository, key: str, oid: str) -> None:
    """Keep a session's start from git's garbage collection; raises UserError (IMPORT)."""
    await_bases([Git(repository).start(*_keeping(key, oid))])


def _keeping(key: str, commit: str) -> tuple[str, ...]:
    return ("update-ref", "--no-deref", f"{namespace(key)}{BASE}", commit)


def await_bases(running: Sequence[Running]) -> None:
    """Wait for what `start_bases` began; raises UserError (IMPORT)."""
    own, *inner = (each.result(check=False) for each in running)
    failed = [own] if own.returncode else []
    # A submodule without a commit has nothing to be kept.
    failed += [each for each in inner if each.returncode and b"HEAD" not in each.stderr]
    if failed:
        raise _not_written(failed[0].stderr)


def update_refs(git: Git, commands: Sequence[str]) -> None:
    """Run commands of `git update-ref --stdin -z` as one transaction.

    Raises UserError with ExitCode.IMPORT when git refuses; then none of them has been done.
    """
    if not commands:
        return
    text = os.fsencode("".join(commands))
    ended = git.run("update-ref", "--no-deref", "--stdin", "-z", stdin=text, check=False)
    if ended.returncode:
        raise _not_written(ended.stderr)


def _not_written(said: bytes) -> UserError:
    message = f"git cannot write the refs: {reason(said)}"
    return UserError(message, hint="git status", code=ExitCode.IMPORT)


def reason(said: bytes) -> str:
    """Return what git complained of first, on one line that is safe to print."""
    lines = [line for line in said.splitlines() if line.startswith((b"error: ", b"fatal: "))]
    return escape(lines[0].partition(b": ")[2] if lines else said.strip()[:200])
