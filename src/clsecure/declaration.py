"""What an option is: the form in which `options` declares each of them.

Records on the way to `--help` are named tuples: importing dataclasses takes 14 ms.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import NamedTuple

from clsecure.choices import Value


class Kind(Enum):
    """The types of option; `values.convert` makes a value of text."""

    BOOLEAN = "true or false"
    CHOICE = "one of"
    INTEGER = "whole number"
    SIZE = "a size such as `512M` or `4G`, or `unlimited`"
    CPUS = "a number such as `2` or `1.5`, or `unlimited`"
    COUNT = "a whole number, or `unlimited`"
    TIME = "a time such as `90s`, `30m` or `1h30m`, or `unlimited`"
    TEXT = "text"
    LIST = "comma-separated list"
    SECRET = "secret text"  # noqa: S105 - the name of a type


class Group(StrEnum):
    """Under which heading the help shows an option; in this order."""

    BOX = "the box"
    REACH = "what the agent reaches"
    LIMITS = "limits"
    SESSION = "the session"
    SETUP = "before the agent starts"
    END = "when the agent ends"
    SCRIPTS = "for scripts"


class Flag(NamedTuple):
    """One way to give an option on the command line.

    `constant` is the value that the flag stands for; None means that an argument follows, shown
    as `argument`.
    """

    words: tuple[str, ...]
    help: str
    constant: Value = None
    metavar: str = ""

    @property
    def argument(self) -> str:
        """What the help calls the flag's argument."""
        return self.metavar or self.words[-1].lstrip("-").replace("-", "_").upper()


class Option(NamedTuple):
    """One setting. `key` is its name in configuration files, empty where they cannot set it."""

    name: str
    kind: Kind
    group: Group
    flags: tuple[Flag, ...]
    commands: frozenset[str]
    default: Value = None
    key: str = ""
    aliases: tuple[str, ...] = ()
    variable: str = ""
    project: bool = False
    choices: type[StrEnum] | None = None
    booleans: tuple[str, str] | None = None  # what true and false mean where choices have levels
    bounds: tuple[float, float] | None = None
    meaning: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """All names that configuration files may use, the preferred one first."""
        return (self.key, *self.aliases) if self.key else ()


# Sets of commands that options go with.
STARTING = frozenset({"run", "shell", "exec"})
SHOWING = frozenset({"info", "config"})
SETTINGS = STARTING | SHOWING
BUILDING = SETTINGS | {"demo", "doctor"}
ONE_SESSION = SETTINGS | {"show", "diff", "import", "discard", "cleanup", "net"}
EVERYWHERE = ONE_SESSION | {"list", "setup", "doctor", "demo", "completion", "image"}
