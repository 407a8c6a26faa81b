"""Which commands of GitHub's program an agent may have run outside: its words, read and judged.

A table of commands and flags, and nothing that is not in it. The repository is always the project's
own. Left out on purpose: `api`, `auth`, `secret`, `workflow`, merging, closing and deleting; what
reads files or opens programs (`--body-file`, `--web`, `--editor`); searches, which can name other
repositories; `--jq` and `--template`, since an expression of jq can print gh's environment.
No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

_NUMBER = re.compile(r"#?[0-9]{1,18}")
_MOST_WORDS, _LONGEST = 50, 60_000  # words, and characters of one
_REPO = ("--repo", "-R")


class Command(NamedTuple):
    """One command: its flags, with a value and without, short ones after the long one's colon."""

    values: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    has_number: bool = False
    names_branch: bool = False


_LIST = ("json", "limit:L", "state:s", "author:A", "assignee:a", "label:l")
_COMMANDS: Mapping[tuple[str, str], Command] = {
    ("pr", "list"): Command((*_LIST, "base:B", "head:H"), ("draft:d",)),
    ("pr", "view"): Command(("json",), ("comments:c",), has_number=True),
    ("pr", "diff"): Command((), ("name-only", "patch"), has_number=True),
    ("pr", "checks"): Command((), ("required",), has_number=True),
    ("pr", "comment"): Command(("body:b",), has_number=True),
    ("pr", "create"): Command(
        ("title:t", "body:b", "base:B", "head:H", "label:l", "assignee:a", "reviewer:r"),
        ("draft:d",),
        names_branch=True,
    ),
    ("issue", "list"): Command((*_LIST, "milestone:m")),
    ("issue", "view"): Command(("json",), ("comments:c",), has_number=True),
    ("issue", "create"): Command(("title:t", "body:b", "label:l", "assignee:a")),
    ("issue", "comment"): Command(("body:b",), has_number=True),
    ("run", "list"): Command(("json", "limit:L", "branch:b", "user:u", "workflow:w")),
    ("run", "view"): Command(
        ("json", "job:j"), ("log", "log-failed", "exit-status", "verbose:v"), has_number=True
    ),
    ("repo", "view"): Command(("json",)),
}
# Their values are names of fields; elsewhere a value is a text like any other.
_FIELDS = re.compile(r"[A-Za-z]+(,[A-Za-z]+)*")


class Refused(ValueError):
    """Words that are not run; the text says why."""


def allowed(
    words: Sequence[str], repository: str, branch: str, branches: Sequence[str]
) -> tuple[str, ...]:
    """Return gh's words for what the agent asked. Raises Refused.

    `repository` is the project's; `branch` the one that is checked out in the box, `branches` the
    patterns of those that the agent pushes to.
    """
    if len(words) > _MOST_WORDS or any(len(word) > _LONGEST or "\0" in word for word in words):
        raise Refused("too many words, or too long ones")
    if list(words) == ["--version"]:
        return ("--version",)
    named = tuple(words[:2])
    command = _COMMANDS.get((named[0], named[1])) if len(named) > 1 else None
    if command is None:
        names = ", ".join(" ".join(each) for each in _COMMANDS)
        raise Refused(f"outside of the session these commands are run: {names}")
    numbers, flags = _read(words[2:], command, repository)
    if len(numbers) > command.has_number or (command.has_number and not numbers):
        wanted = "one number" if command.has_number else "no other words"
        raise Refused(f"{' '.join(named)} takes {wanted} here")
    if command.names_branch:
        flags = _with_branch(flags, branch, branches)
    if named == ("repo", "view"):
        return ("repo", "view", repository, *flags)
    return (*named, *numbers, *flags, f"--repo={repository}")


def _read(
    words: Sequence[str], command: Command, repository: str
) -> tuple[list[str], tuple[str, ...]]:
    values, switches = _spelled(command.values), _spelled(command.switches)
    numbers, flags, waiting = [], [], list(words)
    while waiting:
        word, equals, value = waiting.pop(0).partition("=")
        if not word.startswith("-"):
            if equals or not _NUMBER.fullmatch(word):
                raise Refused(f"not a number: {word[:80]}")
            numbers.append(word.lstrip("#"))
            continue
        if word in switches and not equals:
            flags.append(f"--{switches[word]}")
            continue
        if word not in values and word not in _REPO:
            raise Refused(f"{word[:80]} is not had here")
        if not equals:
            value = waiting.pop(0) if waiting else ""
        if word in values:
            flags.append(_with_value(values[word], value))
        elif value.lower() not in _same(repository):
            raise Refused(f"the repository is {repository}, and no other one")
    return numbers, tuple(flags)


def _with_value(name: str, value: str) -> str:
    if name == "json" and not _FIELDS.fullmatch(value):
        raise Refused("--json takes names of fields")
    return f"--{name}={value}"


def _spelled(flags: Sequence[str]) -> dict[str, str]:
    """Return each spelling of the flags, with the flag's long name."""
    found = {}
    for flag in flags:
        name, _, short = flag.partition(":")
        found[f"--{name}"] = name
        if short:
            found[f"-{short}"] = name
    return found


def _same(repository: str) -> tuple[str, str]:
    return repository.lower(), repository.lower().partition("/")[2]


def _with_branch(flags: tuple[str, ...], branch: str, branches: Sequence[str]) -> tuple[str, ...]:
    heads = [flag.removeprefix("--head=") for flag in flags if flag.startswith("--head=")]
    head = heads[-1] if heads else branch
    if not any(fnmatchcase(head, pattern) for pattern in branches):
        shown = head[:80] or "none"
        raise Refused(f"a request is made for {', '.join(branches)} (push_branches), not {shown}")
    return (*(flag for flag in flags if not flag.startswith("--head=")), f"--head={head}")
