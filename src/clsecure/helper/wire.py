"""How the protocol's messages travel: one datagram each, descriptors beside it.

A message is a JSON object with a `verb`; descriptors travel beside it (SCM_RIGHTS). What does not
fit into a datagram travels in a memory file, the first of the descriptors.
"""

from __future__ import annotations

import os

from . import lean
from .records import BadField, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

_INLINE = 32 * 1024
_MAX_BODY = 64 << 20
_MAX_DESCRIPTORS = 200


def send(channel: socket.socket, message: Record, descriptors: tuple[int, ...] = ()) -> None:
    """Send one message; raises OSError when the other side is gone."""
    body = lean.encode({"verb": type(message).__name__, **message.to_json()})
    if len(body) <= _INLINE:
        lean.send_message(channel, b"=" + body, descriptors)
        return
    memory = memory_file(body)
    try:
        lean.send_message(channel, b"@", (memory, *descriptors))
    finally:
        os.close(memory)


def receive(
    channel: socket.socket, kinds: dict[str, type[Record]]
) -> tuple[Record, list[int]] | None:
    """Receive one message and its descriptors; None at the end. Raises BadField, OSError."""
    header, descriptors, is_cut = lean.receive_message(channel, _INLINE + 1, _MAX_DESCRIPTORS)
    if not header and not descriptors:
        return None
    try:
        if is_cut:
            raise BadField("message too long")
        if header[:1] == b"@" and descriptors:
            body = read_whole(descriptors[0], _MAX_BODY)
            os.close(descriptors.pop(0))
        else:
            body = header[1:]
        return _decode(body, kinds), descriptors
    except (OSError, ValueError, RecursionError) as error:  # BadField is a ValueError
        for descriptor in descriptors:
            os.close(descriptor)
        raise BadField(str(error)) from None


def _decode(body: bytes, kinds: dict[str, type[Record]]) -> Record:
    document = lean.decode(body)
    verb = document.pop("verb", None) if isinstance(document, dict) else None
    if not isinstance(verb, str) or verb not in kinds:
        raise BadField("unknown verb")
    return kinds[verb].from_json(document)


def memory_file(content: bytes) -> int:
    """Return a new memory file with this content, at its beginning."""
    descriptor = os.memfd_create("clsecure", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def read_whole(descriptor: int, limit: int) -> bytes:
    """All of a file from its beginning, without moving its offset; raises BadField past `limit`."""
    parts: list[bytes] = []
    size = 0
    while part := os.pread(descriptor, 1 << 20, size):
        size += len(part)
        if size > limit:
            raise BadField("message too long")
        parts.append(part)
    return b"".join(parts)
