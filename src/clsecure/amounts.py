"""Amounts as people write them, `512M`, `90s`, `1.5`: text to numbers, and numbers to text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from clsecure.choices import Value
from clsecure.declaration import Kind

_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_TIME = re.compile(r"\d{1,9}|(?:\d{1,7}[smhd])+", re.ASCII | re.IGNORECASE)
_PART = re.compile(r"(\d+)(\D)", re.ASCII)
_CPUS = re.compile(r"\d{1,4}(?:\.\d{1,2})?", re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SECONDS = {"D": 86400, "H": 3600, "M": 60, "S": 1}
_IN_SECONDS = 120  # below that, a time is told in seconds alone


def size(text: str) -> int | None:
    """Return the bytes that `512M` or `1.5G` stand for (binary units); None: it is no size."""
    found = _SIZE.fullmatch(text)
    return int(float(found[1]) * _UNITS[found[2].upper()]) if found else None


def seconds(text: str) -> int | None:
    """Return the seconds that `90`, `90s` or `1h30m` stand for; None: it is no time."""
    if not _TIME.fullmatch(text):
        return None
    if text.isdigit():
        return int(text)
    return sum(int(number) * _SECONDS[unit.upper()] for number, unit in _PART.findall(text))


def processors(text: str) -> float | None:
    """Return the number of processors that `2` or `1.5` stands for; None: it is no such number."""
    return float(text) if _CPUS.fullmatch(text) else None


def size_words(number: int) -> str:
    """Return a size with one digit after the point at most; the reverse of `size`."""
    for unit in ("T", "G", "M", "K"):
        if number >= _UNITS[unit]:
            return f"{number / _UNITS[unit]:.1f}".removesuffix(".0") + unit
    return str(number)


def seconds_words(number: int) -> str:
    """Return a time in hours, minutes and seconds; the reverse of `seconds`."""
    if number < _IN_SECONDS:
        return f"{number}s"
    parts = []
    for unit, length in _SECONDS.items():
        count, number = divmod(number, length)
        parts += [f"{count}{unit.lower()}"] * bool(count)
    return "".join(parts)


def words(kind: Kind, value: Value) -> str:
    """Return a limit of that kind as a person would write it."""
    if not isinstance(value, (int, float)):
        return "unlimited"
    if kind is Kind.SIZE:
        return size_words(int(value))
    return seconds_words(int(value)) if kind is Kind.TIME else f"{value:g}"


READ: Mapping[Kind, Callable[[str], float | None]] = {
    Kind.SIZE: size,
    Kind.CPUS: processors,
    Kind.TIME: seconds,
}
