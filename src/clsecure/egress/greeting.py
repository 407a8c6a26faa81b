"""What language a connection's first bytes are of: TLS, HTTP, or another one that is not read.

What a forgiving server might take for a request of HTTP counts as one, whatever its method: the
strict parser then decides.
"""

from __future__ import annotations

from enum import Enum

MOST = 16384  # bytes in which a first line must end
_TLS_TYPES = range(20, 25)  # of records: RFC 8446, 5.1; a greeting is one of them, not always first
_TLS_MAJOR = 3
_ENOUGH = 4  # bytes by which text is told from the rest
_PRINTABLE = range(0x20, 0x7F)
_BLANK = b"\r\n \t"


class Language(Enum):
    """What the first bytes are of."""

    TLS = "TLS"
    HTTP = "HTTP"
    OTHER = "another language"


def language_of(first: bytes) -> Language | None:
    """Return what the first bytes of a connection are of; None while that cannot be said."""
    if first[:1] and first[0] in _TLS_TYPES:
        if len(first) == 1:
            return None
        return Language.TLS if first[1] == _TLS_MAJOR else Language.OTHER
    text = first.lstrip(_BLANK)
    if any(byte not in _PRINTABLE and byte not in _BLANK for byte in text[:_ENOUGH]):
        return Language.OTHER
    line, end, _ = text.partition(b"\n")
    if b"HTTP/" in line.upper():
        return Language.HTTP
    if end:
        return Language.OTHER
    return Language.HTTP if len(first) >= MOST else None
