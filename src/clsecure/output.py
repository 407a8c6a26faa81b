"""The only writer to the terminal: it escapes everything that is not our own text."""

from __future__ import annotations

import os
import unicodedata

_KEPT = {"\n", "\t"}


def escape(text: str | bytes, *, multiline: bool = False) -> str:
    r"""Make text from a worker, a repository or the network safe to print.

    Control characters (C0, DEL, C1), bidirectional and other format characters, surrogates and
    unassigned code points become `\xNN`, `\uNNNN` or `\UNNNNNNNN`. With `multiline`, newline and tab stay.
    """
    source = os.fsdecode(text) if isinstance(text, bytes) else text
    if source.isascii() and source.isprintable():
        return source
    kept = _KEPT if multiline else set()
    return "".join(
        character if character in kept or _is_printable(character) else _code(character)
        for character in source
    )


def _is_printable(character: str) -> bool:
    return character == " " or (
        character.isprintable() and unicodedata.category(character) not in {"Cf", "Zl", "Zp"}
    )


def _code(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is not UTF-8, kept by surrogateescape
        return f"\\x{number - 0xDC00:02x}"
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
