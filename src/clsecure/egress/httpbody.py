"""Where the body of a request ends, so that nothing after it reaches the server as a second one.

RFC 9112 section 6 (length) and 7.1 (chunks). The bytes are passed on as they came; chunk
extensions, which nobody needs and readers disagree about, are refused.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from clsecure.egress.httphead import BadHead, Head, body_length, read_fields

MAX_LINE = 1024  # bytes of a chunk's size or a trailer field, with its end
MAX_TRAILER = 8192

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_NOT_IN_TRAILER = frozenset(("content-length", "transfer-encoding", "host"))  # RFC 9110, 6.5.1


class _State(Enum):
    SIZE = auto()  # a line with the size of a chunk comes next
    DATA_END = auto()  # the line end after a chunk
    TRAILER = auto()  # a trailer field, or the empty line that ends the body
    COMPLETE = auto()


class Body:
    """Follows the body behind `head`, in whatever pieces it comes."""

    def __init__(self, head: Head) -> None:
        length = body_length(head)
        self._left = length or 0  # bytes of data until something else comes
        self._state = _State.SIZE if length is None else _State.COMPLETE
        self._line = b""
        self._trailer = 0  # bytes

    @property
    def is_complete(self) -> bool:
        """Whether the last byte of the body was there."""
        return self._state is _State.COMPLETE and not self._left

    def take(self, data: bytes) -> bytes:
        """Return the leading part of what was received that is the body's, to be sent on.

        Raises BadHead where the chunks are not well formed: the connection is then to be cut.
        """
        at = 0
        while at < len(data) and not self.is_complete:
            if self._left:
                taken = min(self._left, len(data) - at)
                self._left -= taken
            else:
                taken = self._take_line(data, at)
            at += taken
        return data[:at]

    def _take_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1 or len(data)
        self._line += data[at:end]
        if len(self._line) > MAX_LINE:
            raise BadHead("a line in the body is too long")
        if self._line.endswith(b"\n"):
            line, self._line = self._line, b""
            if not line.endswith(b"\r\n"):
                raise BadHead("a line in the body that ends with LF alone")
            self._end_line(line[:-2])
        return end - at

    def _end_line(self, line: bytes) -> None:
        if self._state is _State.SIZE:
            if not _SIZE.fullmatch(line):
                raise BadHead("not the size of a chunk")
            self._left = int(line, 16)
            self._state = _State.DATA_END if self._left else _State.TRAILER
        elif self._state is _State.DATA_END:
            if line:
                raise BadHead("a chunk longer than its size")
            self._state = _State.SIZE
        elif line:
            self._check_trailer(line)
        else:
            self._state = _State.COMPLETE

    def _check_trailer(self, line: bytes) -> None:
        self._trailer += len(line)
        if self._trailer > MAX_TRAILER:
            raise BadHead("the trailer is too long", 431)
        for name, _ in read_fields(line):
            if name.lower().replace("_", "-") in _NOT_IN_TRAILER:
                raise BadHead(f"{name} in the trailer")
