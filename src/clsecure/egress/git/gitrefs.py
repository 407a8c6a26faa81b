"""Which refs the agent may push: read from what git tells a hook, and judged. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

_HEADS = "refs/heads/"
_MOST = 50  # refs of one push
_LINE = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) ([^\n]+)")
# Names that git-check-ref-format(1) refuses, ':' among them: in a refspec it would part the name.
_NO_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^[./-]|\.lock(/|$)|[/.]$")
_MAX_NAME = 200
_SHORT = 12


class Update(NamedTuple):
    """One ref of a push; `old` and `new` are object ids, of zeros where there is none."""

    old: str
    new: str
    ref: str

    @property
    def branch(self) -> str:
        """The branch's name."""
        return self.ref.removeprefix(_HEADS)

    @property
    def is_new(self) -> bool:
        """Whether the remote has no such ref yet."""
        return not self.old.strip("0")

    @property
    def words(self) -> str:
        """What becomes of the ref, for a log."""
        return f"{self.ref} {'new' if self.is_new else self.old[:_SHORT]}..{self.new[:_SHORT]}"


class BadPush(ValueError):
    """A push that may not be; the text says why."""


def parse(text: str) -> tuple[Update, ...]:
    """Read the lines that a pre-receive hook is given: githooks(5). Raises BadPush."""
    found: list[Update] = []
    for line in text.removesuffix("\n").split("\n"):
        matched = _LINE.fullmatch(line)
        if not matched or len(found) >= _MOST:
            raise BadPush(f"more than {_MOST} refs at once" if matched else "not a list of refs")
        found.append(Update(matched[1], matched[2], matched[3]))
    return tuple(found)


def refusals(updates: Sequence[Update], branches: Sequence[str]) -> Iterator[tuple[Update, str]]:
    """Yield what may not be pushed, with the reason; whether it is a force push is not known."""
    for update in updates:
        name = update.branch
        if not update.ref.startswith(_HEADS):
            yield update, "only branches are pushed from a session"
        elif len(name) > _MAX_NAME or _NO_NAME.search(name):
            yield update, "not a name for a branch"
        elif not update.new.strip("0"):
            yield update, "branches are not deleted from a session"
        elif not any(fnmatchcase(name, pattern) for pattern in branches):
            yield update, f"a session pushes to {', '.join(branches)} only (push_branches)"
