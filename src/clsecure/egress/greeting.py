"""What language a connection's first bytes are of: TLS, HTTP, or another one that is not read.

What a forgiving server might take for a request of HTTP counts as one, whatever its method and
however its words are parted: the strict parser then decides. At HTTP's own port nothing else
passes.
"""

from __future__ import annotations

import re
import string
from enum import Enum

MOST = 16384  # bytes in which a first line must end
HTTP_PORT = 80
_TLS_TYPES = range(20, 25)  # of records: RFC 8446, 5.1; a greeting is one of them, not always first
_TLS_MAJOR = b"\3"
_PRINTABLE = frozenset(range(0x21, 0x7F))
_LETTERS = frozenset(string.ascii_letters.encode())
# What servers part words at, or forgive before the first: what str.split() of Latin-1 does.
_BLANK = bytes(number for number in range(256) if chr(number).isspace())
_WORDS = re.compile(b"[^" + re.escape(_BLANK) + b"]+")
# Without a version after them (HTTP/0.9), which some servers take and read fields all the same.
_METHODS = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT")
)


class Language(Enum):
    """What the first bytes are of."""

    TLS = "TLS"
    HTTP = "HTTP"
    OTHER = "another language"


def language_of(first: bytes, port: int) -> Language | None:
    """Return what the first bytes of a connection are of; None while that cannot be said.

    `port` is the one that the connection goes to.
    """
    if port == HTTP_PORT:
        return Language.HTTP if first else None
    if first and first[0] in _TLS_TYPES:
        record = first[1:2]
        if record in {b"", _TLS_MAJOR}:
            return Language.TLS if record else None
    return _language_of_text(first)


def _language_of_text(first: bytes) -> Language | None:
    text = first.lstrip(_BLANK)
    found = _WORDS.match(text)
    word = found[0] if found else b""
    # No method has such a byte, and none is without a letter: binary protocols begin so.
    is_whole = len(word) < len(text)
    if not _PRINTABLE.issuperset(word) or (is_whole and not _LETTERS.intersection(word)):
        return Language.OTHER
    line, end, _ = text.partition(b"\n")
    if _is_request(line, is_whole=bool(end)) or (not end and len(first) >= MOST):
        return Language.HTTP
    return Language.OTHER if end else None


def _is_request(line: bytes, *, is_whole: bool) -> bool:
    if b"HTTP/" in line.upper():
        return True
    words = _WORDS.findall(line)[:2] if is_whole else []
    return len(words) > 1 and words[0] in _METHODS
