"""What a TLS client asks for in clear: the server's name, the protocols, whether ECH is used.

RFC 8446 section 5.1 (records) and 4.1.2 (ClientHello), RFC 6066 section 3 (server name), RFC 7301
section 3.1 (ALPN), RFC 9849 (Encrypted ClientHello). Everything that two readers could understand
in two ways is refused, so that the name read here is the name that the server will read.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_HELLO = 16384  # bytes of the handshake message; with post-quantum keys and tickets some 4,000
MAX_RECORDS = 64  # over which the message may be spread
MAX_NAME = 255  # bytes, as in OpenSSL's TLSEXT_MAXLEN_host_name

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_MAJOR = 3  # of every version from SSL 3.0 to TLS 1.3
_RECORD_HEADER = 5  # bytes: type, version, length
_RECORD_LIMIT = 16384  # bytes of plaintext in a record
_MESSAGE_HEADER = 4  # bytes: type and a length of 24 bits
_RANDOM = 32
_SESSION_ID_LIMIT = 32

_SERVER_NAME = 0
_ALPN = 16
_ENCRYPTED_CLIENT_HELLO = 0xFE0D
_HOST_NAME = 0
_VISIBLE = range(0x21, 0x7F)


class NotTls(ValueError):
    """These bytes do not begin a TLS connection; the text is a short reason."""


class BadHello(NotTls):
    """They do, but the hello breaks the rules: the connection must not be passed on at all."""


class Incomplete(Exception):
    """All is well so far, and more bytes are needed."""


class ClientHello(NamedTuple):
    """What was read of a hello; a name is as sent, in visible ASCII, not yet checked as a host."""

    server_name: str | None
    alpn: tuple[str, ...]  # bytes as Latin-1: a name of RFC 8701 (GREASE) need not be text
    has_ech: bool


def parse(data: bytes) -> ClientHello:
    """Read the hello at the start of a connection; what follows it in `data` is left alone.

    Raises Incomplete while more is needed, which ends at MAX_HELLO bytes in MAX_RECORDS records;
    NotTls where this is something else; BadHello where it cannot be trusted to mean one thing.
    """
    return _hello(_message(data))


def _message(data: bytes) -> bytes:
    """Put the first handshake message together from its records, and return its body."""
    message = bytearray()
    at = 0
    for _ in range(MAX_RECORDS):
        fragment, is_whole = _fragment(data, at)
        message += fragment
        at += _RECORD_HEADER + len(fragment)
        if message and message[0] != _CLIENT_HELLO:
            raise NotTls("not a ClientHello")
        if len(message) >= _MESSAGE_HEADER:
            end = _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER], "big")
            if end > MAX_HELLO:
                raise BadHello("the hello is too long")
            if len(message) > end:
                raise BadHello("more than a hello in its record")
            if is_whole and len(message) == end:
                return bytes(message[_MESSAGE_HEADER:])
        if not is_whole:
            raise Incomplete
    raise BadHello("the hello is spread over too many records")


def _fragment(data: bytes, at: int) -> tuple[bytes, bool]:
    """Return what is there of the record's content at `at`, and whether that is all of it."""
    header = data[at : at + _RECORD_HEADER]
    refusal = BadHello if at else NotTls
    if header and header[0] != _HANDSHAKE:
        raise refusal("not a handshake record")
    if len(header) > 1 and header[1] != _MAJOR:
        raise refusal("not a version of TLS")
    if len(header) < _RECORD_HEADER:
        return b"", False
    length = int.from_bytes(header[3:], "big")
    if not 0 < length <= _RECORD_LIMIT:
        raise refusal("a record of a forbidden length")
    start = at + _RECORD_HEADER
    fragment = data[start : start + length]
    return fragment, len(fragment) == length


class _Reader:
    """Takes fields from the front of `data`; raises BadHello where they are not all there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise BadHello("a field is cut off")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """Take a vector whose length is a number of `width` bytes (RFC 8446 section 3.4)."""
        return self.take(self.number(width))


def _hello(body: bytes) -> ClientHello:
    reader = _Reader(body)
    if reader.number(2) >> 8 != _MAJOR:
        raise BadHello("not a version of TLS")
    reader.take(_RANDOM)
    if len(reader.vector(1)) > _SESSION_ID_LIMIT:
        raise BadHello("the session id is too long")
    suites = reader.vector(2)
    if not suites or len(suites) % 2:
        raise BadHello("the list of cipher suites is not one")
    if not reader.vector(1):
        raise BadHello("no compression method")
    extensions = _extensions(reader.vector(2)) if reader else {}
    if reader:
        raise BadHello("something follows the extensions")
    name, protocols = extensions.get(_SERVER_NAME), extensions.get(_ALPN)
    return ClientHello(
        server_name=None if name is None else _server_name(name),
        alpn=() if protocols is None else _protocols(protocols),
        has_ech=_ENCRYPTED_CLIENT_HELLO in extensions,
    )


def _extensions(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    reader = _Reader(data)
    while reader:
        kind = reader.number(2)
        if kind in found:
            raise BadHello("an extension is there twice")  # RFC 8446 section 4.2
        found[kind] = reader.vector(2)
    return found


def _list(data: bytes) -> _Reader:
    """Open the one list that an extension consists of; it may not be empty."""
    reader = _Reader(data)
    content = reader.vector(2)
    if reader or not content:
        raise BadHello("the list in an extension is not one")
    return _Reader(content)


def _server_name(data: bytes) -> str:
    """Read the only name of the list; other types than host_name were never defined."""
    reader = _list(data)
    if reader.number(1) != _HOST_NAME:
        raise BadHello("a server name of an unknown type")
    name = reader.vector(2)
    if reader:
        raise BadHello("more than one server name")
    if not 0 < len(name) <= MAX_NAME:
        raise BadHello("the server name is empty or too long")
    if not all(byte in _VISIBLE for byte in name):
        raise BadHello("the server name is not visible ASCII")
    return name.decode("ascii")


def _protocols(data: bytes) -> tuple[str, ...]:
    reader = _list(data)
    protocols = []
    while reader:
        name = reader.vector(1)
        if not name:
            raise BadHello("a protocol without a name")
        protocols.append(name.decode("latin-1"))
    return tuple(protocols)
