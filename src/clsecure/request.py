"""What the words of a command line ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from clsecure.values import Entry


class Request(NamedTuple):
    """A command, or help on it, or the version."""

    command: str
    named: bool  # False: no command was named, so that it is the default one
    options: Mapping[str, Entry] = MappingProxyType({})
    arguments: tuple[str, ...] = ()
    wants_help: bool = False
    wants_version: bool = False


def plain(words: Sequence[str]) -> Request | None:
    """Understand `clsecure` and `clsecure -- ARGS…`, the daily forms, without a parser."""
    if not words or words[0] == "--":
        return Request("run", named=False, arguments=tuple(words[1:]))
    return None
