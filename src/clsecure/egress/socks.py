"""The proxy's side of SOCKS version 5 (RFC 1928), as bytes in and bytes out.

No authentication, CONNECT alone; a target is a name or an address, which the caller judges.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from ipaddress import ip_address

_VERSION = 5
_NO_AUTHENTICATION = 0
_NO_ACCEPTABLE_METHOD = 0xFF
_CONNECT = 1
_DOMAIN = 3
_ADDRESS_LENGTHS = {1: 4, 4: 16}  # bytes, by the type of the address
_REQUEST_HEADER = 4  # bytes: version, command, reserved, type of the address
_PORT = struct.Struct("!H")
_VISIBLE = range(0x21, 0x7F)


class Reply(IntEnum):
    """The codes of RFC 1928 section 6 that the proxy has a use for."""

    SUCCEEDED = 0
    FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    REFUSED = 5
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8


def reply(code: int) -> bytes:
    """Return the answer to a request; the address bound outside is not told (0.0.0.0:0)."""
    return bytes([_VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0])


class Negotiation:
    """One client's way to a target, whatever pieces its bytes come in.

    `target` is host and port as asked for, once that is known: the caller then answers with
    reply(), and `rest` is what the client sent beyond its request. With `failed` the connection
    is to be closed once the bytes that feed() returned are sent; `reason` says why in a few words.
    """

    def __init__(self) -> None:
        self.target: tuple[str, int] | None = None
        self.failed = False
        self.reason = ""
        self._buffer = b""
        self._is_greeted = False

    @property
    def rest(self) -> bytes:
        """The client's bytes after its request, for the target; b"" until there is one."""
        return self._buffer if self.target else b""

    def feed(self, data: bytes) -> bytes:
        """Take what was received, and return what to send; b"" once failed or at the target.

        At most 262 bytes of an unfinished message are kept, beside what `data` has beyond it.
        """
        if self.failed:
            return b""
        self._buffer += data
        answer = b""
        if not self._is_greeted:
            answer = self._greet()
        if self._is_greeted and not self.failed and not self.target:
            answer += self._request()
        return answer

    def _fail(self, reason: str, answer: bytes = b"") -> bytes:
        self.failed = True
        self.reason = reason
        self._buffer = b""
        return answer

    def _take(self, count: int) -> bytes:
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _greet(self) -> bytes:
        buffer = self._buffer
        if buffer and buffer[0] != _VERSION:
            return self._fail("not version 5 of SOCKS")
        if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:  # noqa: PLR2004 - version, count
            return b""
        methods = self._take(2 + buffer[1])[2:]
        if _NO_AUTHENTICATION not in methods:
            return self._fail("wants to log in", bytes([_VERSION, _NO_ACCEPTABLE_METHOD]))
        self._is_greeted = True
        return bytes([_VERSION, _NO_AUTHENTICATION])

    def _request(self) -> bytes:
        buffer = self._buffer
        if buffer and buffer[0] != _VERSION:
            return self._fail("not version 5 of SOCKS", reply(Reply.FAILURE))
        length = self._length()
        if self.failed:
            return reply(Reply.ADDRESS_TYPE_NOT_SUPPORTED)
        if length is None or len(buffer) < length:
            return b""
        request = self._take(length)
        command, reserved, kind = request[1:_REQUEST_HEADER]
        if command != _CONNECT:
            return self._fail("a command other than CONNECT", reply(Reply.COMMAND_NOT_SUPPORTED))
        address = request[_REQUEST_HEADER : -_PORT.size]
        (port,) = _PORT.unpack(request[-_PORT.size :])
        host = _name(address[1:]) if kind == _DOMAIN else str(ip_address(address))
        if reserved or not host or not port:
            return self._fail("a target that cannot be one", reply(Reply.FAILURE))
        self.target = host, port
        return b""

    def _length(self) -> int | None:
        """Return the length of the whole request; None where that is not known yet."""
        if len(self._buffer) <= _REQUEST_HEADER:
            return None
        kind = self._buffer[3]
        if kind == _DOMAIN:
            return _REQUEST_HEADER + 1 + self._buffer[4] + _PORT.size
        if kind not in _ADDRESS_LENGTHS:
            self._fail("an unknown type of address")
            return None
        return _REQUEST_HEADER + _ADDRESS_LENGTHS[kind] + _PORT.size


def _name(name: bytes) -> str:
    """Return the name; "" where it is empty, or has NUL, line ends, spaces or other than ASCII."""
    return name.decode("ascii") if all(byte in _VISIBLE for byte in name) else ""
