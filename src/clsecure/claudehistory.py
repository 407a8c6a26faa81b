"""Which conversations in a directory of Claude's are of one project: two may share its name.

The directory of a project is called after its path, with every other sign than letters and digits
as a dash: `a/b` and `a-b` are one. What was said in which one, each conversation says itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_END, _MEMORY = ".jsonl", "memory"
_AT_FIRST, _AT_MOST = 16 << 10, 4 << 20  # bytes of a conversation in which its place must stand
# In a text of a conversation the quotes are escaped.
_PLACE = rb'"cwd":("(?:[^"\\]|\\.)*")'


def encoded(place: Path) -> str:
    """Return what the directory of the conversations held at `place` is called."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in os.fspath(place))


def strange(directory: str, place: Path) -> Iterator[str]:
    """Yield the names there that belong to conversations of another place than this one.

    One that says nothing of its place is taken for another's, and with one of these goes all that
    is not clearly of this place. What was held at a place of another name has been put there by the
    human, as after a project was moved: it is theirs to have there.
    """
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    talks = [name for name in names if name.endswith(_END)]
    own = [name for name in talks if _is_own(_place_of(f"{directory}/{name}"), place)]
    if len(own) < len(talks):
        kept = {_MEMORY, *own, *(name.removesuffix(_END) for name in own)}
        yield from (name for name in names if name not in kept)


def _is_own(where: Path | None, place: Path) -> bool:
    return where is not None and (where == place or encoded(where) != encoded(place))


def _place_of(path: str) -> Path | None:
    for size in (_AT_FIRST, _AT_MOST):
        try:
            with open(path, "rb") as file:
                found = re.search(_PLACE, file.read(size))
        except OSError:
            return None
        if found:
            return _path(found[1])
    return None


def _path(text: bytes) -> Path | None:
    if b"\\" not in text and text.isascii():
        return Path(text[1:-1].decode())
    import json  # only for names of other languages

    try:
        return Path(json.loads(text))
    except (ValueError, TypeError):
        return None
