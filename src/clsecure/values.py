"""Text to value: what a file, a variable or the command line says, checked against its option."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

from clsecure.choices import Secret, Value
from clsecure.declaration import Kind, Option
from clsecure.errors import ExitCode, UserError

UNLIMITED = "unlimited"  # the word for no limit, whose value is None
_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})
_SESSION = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_SHOWN = 60  # characters of a bad value that its error repeats
_DIGITS = 9  # far above any bound; int() refuses thousands of digits with another error


class Layer(IntEnum):
    """Where values come from; the higher one wins."""

    DEFAULT = 0
    PROJECT = 1
    USER = 2
    ENVIRONMENT = 3
    COMMAND_LINE = 4


class Origin(NamedTuple):
    """Where one value comes from: a layer and, in it, `path:line`, a variable or a flag."""

    layer: Layer
    where: str = ""

    def __str__(self) -> str:
        """Name the place for a person."""
        if self.layer is Layer.DEFAULT:
            return "default"
        return f"environment variable {self.where}" if self.is_variable else self.where

    @property
    def is_variable(self) -> bool:
        """Whether the value was in the environment."""
        return self.layer is Layer.ENVIRONMENT


class Entry(NamedTuple):
    """One option that somebody set, and where."""

    name: str
    value: Value
    origin: Origin


def convert(option: Option, text: str, origin: Origin) -> Entry:
    """Make a value of `text`.

    Raises UserError (USAGE) that names the place and what is allowed.
    """
    if "\0" in text:
        raise _bad(option, origin, "holds a NUL character", "remove it")
    return Entry(option.name, _CONVERSIONS[option.kind](option, text.strip(), origin), origin)


def _boolean(option: Option, text: str, origin: Origin) -> Value:
    value = _truth(text)
    if value is None:
        raise _bad(option, origin, f"cannot be {_quote(text)}", "true, yes, 1, false, no, 0")
    return value


def _truth(text: str) -> bool | None:
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _choice(option: Option, text: str, origin: Origin) -> Value:
    if option.choices is None:
        raise TypeError(option.name)
    truth = _truth(text)
    if option.booleans is not None and truth is not None:
        return option.choices(option.booleans[0 if truth else 1])
    try:
        return option.choices(text.lower())
    except ValueError:
        allowed = ", ".join(option.choices)
        raise _bad(option, origin, f"cannot be {_quote(text)}", allowed) from None


def _integer(option: Option, text: str, origin: Origin) -> Value:
    low, high = map(int, option.bounds or (0, 10**_DIGITS))
    digits = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    if not digits or not low <= int(text) <= high:
        raise _bad(
            option, origin, f"cannot be {_quote(text)}", f"whole numbers from {low} to {high}"
        )
    return int(text)


def _count(option: Option, text: str, origin: Origin) -> Value:
    return None if text.lower() == UNLIMITED else _integer(option, text, origin)


def _amount(option: Option, text: str, origin: Origin) -> Value:
    if text.lower() == UNLIMITED:
        return None
    from clsecure import amounts  # only where there is a limit

    low, high = option.bounds or (0, float("inf"))
    value = amounts.READ[option.kind](text)
    if value is None or not low <= value <= high:
        allowed = " to ".join(amounts.words(option.kind, each) for each in (low, high))
        raise _bad(option, origin, f"cannot be {_quote(text)}", f"{allowed}, or {UNLIMITED}")
    return value


def _text(option: Option, text: str, origin: Origin) -> Value:
    if option.name == "session" and not _is_session(text):
        raise _bad(
            option,
            origin,
            f"cannot be {_quote(text)}",
            "up to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit",
        )
    if not text and origin.layer is Layer.COMMAND_LINE:
        raise _bad(option, origin, "cannot be empty", "any other text")
    return text or None


def _is_session(text: str) -> bool:
    # The name becomes a part of branch names: git takes no "..", and no "." or ".lock" at the end.
    is_reference = ".." not in text and not text.endswith((".", ".lock"))
    return is_reference and re.fullmatch(_SESSION, text) is not None


def _list(_option: Option, text: str, _origin: Origin) -> Value:
    return tuple(word for part in text.split(",") if (word := part.strip()))


def _secret(_option: Option, text: str, _origin: Origin) -> Value:
    return Secret(text) if text else None


_CONVERSIONS = {
    Kind.BOOLEAN: _boolean,
    Kind.CHOICE: _choice,
    Kind.INTEGER: _integer,
    Kind.COUNT: _count,
    Kind.SIZE: _amount,
    Kind.CPUS: _amount,
    Kind.TIME: _amount,
    Kind.TEXT: _text,
    Kind.LIST: _list,
    Kind.SECRET: _secret,
}


def _quote(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return f"'{shown}'"


def _bad(option: Option, origin: Origin, problem: str, allowed: str) -> UserError:
    in_file = origin.layer in {Layer.PROJECT, Layer.USER}
    subject = f"{origin}: {option.key}" if in_file else str(origin)
    hint = f"allowed: {allowed}"
    if origin.is_variable and option.flags:
        hint += f"; {option.flags[0].words[-1]} on the command line wins over the variable"
    return UserError(f"{subject} {problem}", hint=hint, code=ExitCode.USAGE)
