"""The parts of `signal`, `socket` and `json` that are written in C, without their packages.

Those import `enum` and `re`, and take as long as all the rest of the helper: half of its start,
which is waited for at every start of a session. The helper runs on the distribution's CPython.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Callable, Sequence

    encode_basestring_ascii: Callable[[str], str]
    make_scanner: Callable[[object], Callable[[str, int], tuple[object, int]]]
else:
    import _signal as signal
    import _socket as socket

    try:
        from _json import encode_basestring_ascii, make_scanner
    except ImportError:  # an interpreter without json's accelerator
        from json.encoder import py_encode_basestring_ascii as encode_basestring_ascii
        from json.scanner import py_make_scanner as make_scanner

__all__ = ["accept", "decode", "encode", "receive_message", "send_message", "signal", "socket"]


class _Reading:
    """What json's scanner wants to know: nothing but plain JSON is read."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner's own, written in Python, uses it

    @staticmethod
    def parse_constant(word: str) -> object:
        """Refuse NaN and Infinity."""
        raise ValueError(f"not JSON: {word}")


_scan = make_scanner(_Reading())


def decode(body: bytes) -> object:
    """Read one JSON value; raises ValueError and RecursionError."""
    text = body.decode("ascii").strip()
    try:
        value, end = _scan(text, 0)
    except (StopIteration, SystemError):
        # CPython 3.11 has no exception to set where the package json has not been imported.
        raise ValueError("not JSON") from None
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def encode(value: object) -> bytes:
    """Write a value made of dict, list, tuple, str, int, bool and None as JSON, in ASCII."""
    return _text(value).encode("ascii")


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        pairs = [f"{_text(key)}:{_text(item)}" for key, item in value.items()]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    raise TypeError(f"{type(value).__name__} is not for JSON")


def send_message(channel: socket.socket, body: bytes, descriptors: Sequence[int]) -> None:
    """Send one datagram with descriptors beside it (SCM_RIGHTS, unix(7))."""
    rights = struct.pack(f"{len(descriptors)}i", *descriptors)
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    channel.sendmsg([body], beside)


def receive_message(
    channel: socket.socket, size: int, most_descriptors: int
) -> tuple[bytes, list[int], bool]:
    """Receive one datagram: its bytes, its descriptors (close-on-exec), and whether it was cut."""
    room = socket.CMSG_LEN(most_descriptors * _INT)
    body, beside, flags, _ = channel.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    descriptors: list[int] = []
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            count = len(data) // _INT
            descriptors += struct.unpack(f"{count}i", data[: count * _INT])
    return body, descriptors, bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))


def accept(listener: socket.socket) -> socket.socket:
    """Accept a connection."""
    descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - C's accept
    return socket.socket(fileno=descriptor)


_INT = struct.calcsize("i")
