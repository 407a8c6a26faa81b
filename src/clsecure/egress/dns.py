"""The box's resolver: it asks nobody, and gives each name an address of its own.

RFC 1035 (messages), RFC 6891 (EDNS), RFC 6761 section 6.3 (localhost). A synthetic address is of
198.18.0.0/15, which RFC 2544 keeps for measurements and nobody routes. It stands for the name when
the box connects to it; whether the connection is allowed is decided then, and not here. So a
query cannot carry anything out of the box, and an answer tells nothing of the world.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

TTL = 60  # seconds
MAX_QUERY = 512  # bytes, RFC 1035 section 2.3.4: one question and an OPT record, even a padded one
MAX_NAMES = 65536

_FIRST = int(IPv4Address("198.18.0.0"))
_USABLE = 0xFFFE  # addresses of a /16 without its first and its last
_HEADER = struct.Struct("!HHHHHH")  # id, flags, and how many records are in each section
_FIXED = struct.Struct("!HHIH")  # of a record after its name: type, class, TTL, length of the data
_MAX_LABEL = 63
_MAX_NAME = 255  # bytes in a message
_ROOT = b"\0"
_POINTER = b"\xc0\x0c"  # to the name of the question

_RESPONSE = 0x8000
_OPCODE = 0x7800
_TRUNCATED = 0x0200
_RECURSION_DESIRED = 0x0100
_RECURSION_AVAILABLE = 0x0080
_CHECKING_DISABLED = 0x0010  # copied, as RFC 4035 section 3.2.2 says
_DNSSEC_OK = 0x8000  # of an OPT record's flags; copied, as RFC 3225 section 3 says

_NOERROR, _FORMERR, _SERVFAIL, _NXDOMAIN, _NOTIMP, _REFUSED = range(6)
_BADVERS = 16  # RFC 6891 section 6.1.3; its upper eight bits stand in the OPT record

_IN = 1
_A, _PTR, _OPT = 1, 12, 41
_OUR_PAYLOAD = 1232  # bytes that a datagram to us may have, as most resolvers say

_LOCALHOST = "localhost"
_LOOPBACK = IPv4Address("127.0.0.1")
_REVERSE = re.compile(r"((?:[0-9]{1,3}\.){4})in-addr\.arpa")


class Names:
    """Which synthetic address stands for which name; a name keeps its address.

    `normalise` makes one spelling of a name's many, raises ValueError for what cannot be a
    host's name, and returns "" for what is one that cannot be asked for (an address).
    """

    def __init__(self, normalise: Callable[[str], str]) -> None:
        self.normalise = normalise
        self._addresses: dict[str, IPv4Address] = {}
        self._names: dict[IPv4Address, str] = {}

    def address_for(self, name: str) -> IPv4Address | None:
        """Return the address of the normalised `name`; None where MAX_NAMES others have one."""
        known = self._addresses.get(name)
        if known is not None or len(self._addresses) >= MAX_NAMES:
            return known
        network, host = divmod(len(self._addresses), _USABLE)
        address = IPv4Address(_FIRST + (network << 16) + host + 1)
        self._addresses[name] = address
        self._names[address] = name
        return address

    def name_of(self, address: IPv4Address | IPv6Address) -> str | None:
        """Return the name that `address` stands for."""
        return self._names.get(address) if isinstance(address, IPv4Address) else None


def is_synthetic(address: IPv4Address | IPv6Address) -> bool:
    """Whether `address` is of the range, given to a name or not: it is never to be dialled."""
    return isinstance(address, IPv4Address) and int(address) >> 17 == _FIRST >> 17


class _Malformed(Exception):
    """The query is not one that could be answered: FORMERR."""


class _Question(NamedTuple):
    labels: tuple[bytes, ...]
    kind: int
    category: int  # "class" in the RFC
    wire: bytes  # as in the query: an answer repeats its case (0x20 mixing)


class _Edns(NamedTuple):
    version: int
    is_dnssec_ok: bool


class _Query(NamedTuple):
    number: int  # "id" in the RFC
    flags: int
    question: _Question | None = None
    edns: _Edns | None = None


def answer(query: bytes, names: Names) -> bytes | None:
    """Answer one message; None where there is nothing to say (no header, or itself an answer).

    Over TCP the two bytes of length are the caller's. Never larger than MAX_QUERY. Answers:
    FORMERR for what is malformed, has not exactly one question, or has other records than one
    OPT; NOTIMP for other operations than a query; REFUSED for other classes than IN; NXDOMAIN for
    names that no host can have; SERVFAIL when the addresses are used up.
    """
    if len(query) < _HEADER.size:
        return None
    number, flags, *counts = _HEADER.unpack_from(query)
    if flags & _RESPONSE:
        return None
    asked = _Query(number, flags)
    if flags & _OPCODE:
        return _message(asked, _NOTIMP)
    try:
        asked = _parts(query, asked, counts)
    except _Malformed:
        return _message(asked, _FORMERR)
    code, data = _respond(asked, names)
    return _message(asked, code, data)


def _parts(query: bytes, asked: _Query, counts: list[int]) -> _Query:
    questions, answers, authorities, additional = counts
    if len(query) > MAX_QUERY or asked.flags & _TRUNCATED:
        raise _Malformed
    if questions != 1 or answers or authorities or additional > 1:
        raise _Malformed
    question, at = _question(query)
    edns = None
    if additional:
        edns, at = _edns(query, at)
    if at != len(query):
        raise _Malformed
    return asked._replace(question=question, edns=edns)


def _question(query: bytes) -> tuple[_Question, int]:
    at = start = _HEADER.size
    labels = []
    while True:
        length = query[at] if at < len(query) else _MAX_LABEL + 1
        at += 1
        if length > _MAX_LABEL:  # a pointer (there is nothing before to point to), or the end
            raise _Malformed
        if not length:
            break
        labels.append(query[at : at + length])
        at += length
    end = at + 4
    if at - start > _MAX_NAME or end > len(query):
        raise _Malformed
    kind, category = struct.unpack_from("!HH", query, at)
    return _Question(tuple(labels), kind, category, query[start:end]), end


def _edns(query: bytes, at: int) -> tuple[_Edns, int]:
    """Read the OPT record at `at`; its options (cookies, padding) mean nothing to us."""
    start = at + len(_ROOT)
    if query[at:start] != _ROOT or start + _FIXED.size > len(query):
        raise _Malformed
    kind, _payload, state, length = _FIXED.unpack_from(query, start)
    if kind != _OPT:
        raise _Malformed
    return _Edns(state >> 16 & 0xFF, bool(state & _DNSSEC_OK)), start + _FIXED.size + length


def _respond(asked: _Query, names: Names) -> tuple[int, bytes]:
    """Return the code, and the data of the one record of the answer, or b""."""
    question = asked.question
    if asked.edns and asked.edns.version:
        return _BADVERS, b""
    if question is None or question.category != _IN:
        return _REFUSED, b""
    if not question.labels:
        return _NOERROR, b""  # the root: it is there, and nothing is at it
    text = _text(question.labels)
    if text is None:
        return _NXDOMAIN, b""
    reverse = _REVERSE.fullmatch(text)
    if reverse:
        return _look_back(reverse[1], question.kind, names)
    return _look_up(text, question.kind, names)


def _look_up(text: str, kind: int, names: Names) -> tuple[int, bytes]:
    if text == _LOCALHOST or text.endswith("." + _LOCALHOST):
        return _NOERROR, _LOOPBACK.packed if kind == _A else b""
    try:
        name = names.normalise(text)
    except ValueError:
        name = ""
    if not name:
        return _NXDOMAIN, b""
    if kind != _A:
        return _NOERROR, b""
    address = names.address_for(name)
    return (_SERVFAIL, b"") if address is None else (_NOERROR, address.packed)


def _text(labels: tuple[bytes, ...]) -> str | None:
    """Return the name in lower case; None where a label is more than visible ASCII without dots."""
    for label in labels:
        if b"." in label or not all(0x20 < byte < 0x7F for byte in label):  # noqa: PLR2004 - ASCII
            return None
    return b".".join(labels).decode("ascii").lower()


def _look_back(numbers: str, kind: int, names: Names) -> tuple[int, bytes]:
    try:
        address = IPv4Address(".".join(reversed(numbers.rstrip(".").split("."))))
    except ValueError:
        return _NXDOMAIN, b""
    name = _LOCALHOST if address == _LOOPBACK else names.name_of(address)
    if name is None:
        return _NXDOMAIN, b""
    return _NOERROR, _wire(name) if kind == _PTR else b""


def _wire(name: str) -> bytes:
    labels = name.encode("ascii").split(b".")
    return b"".join(bytes([len(label)]) + label for label in labels) + _ROOT


def _message(asked: _Query, code: int, data: bytes = b"") -> bytes:
    question, edns = asked.question, asked.edns
    flags = asked.flags & (_OPCODE | _RECURSION_DESIRED | _CHECKING_DISABLED)
    flags |= _RESPONSE | _RECURSION_AVAILABLE | code & 0xF
    counts = (question is not None, bool(data), 0, edns is not None)
    parts = [_HEADER.pack(asked.number, flags, *counts)]
    if question:
        parts.append(question.wire)
        if data:
            parts.append(_POINTER + _FIXED.pack(question.kind, _IN, TTL, len(data)) + data)
    if edns:
        state = code >> 4 << 24 | (_DNSSEC_OK if edns.is_dnssec_ok else 0)
        parts.append(_ROOT + _FIXED.pack(_OPT, _OUR_PAYLOAD, state, 0))
    return b"".join(parts)
