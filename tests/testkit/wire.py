"""As much of HTTP/1.1 as the client speaks: requests in, heads, chunks and errors out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping

LONGEST_BODY = 64 << 20
END_OF_CHUNKS = b"0\r\n\r\n"
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


class BadRequest(Exception):
    """What came is no request; the text says why."""


@dataclass(frozen=True)
class Request:
    """One request; header names are in lower case, repeated headers joined by a comma."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def keep_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read a request; None at the end of the stream. Raises BadRequest, IncompleteReadError."""
    line = await reader.readline()
    if not line.strip():
        return None
    words = line.decode("latin-1").split()
    if len(words) != 3:
        raise BadRequest("malformed request line")
    path, _, query = words[1].partition("?")
    headers = await _read_headers(reader)
    if headers.get("transfer-encoding", "").lower().endswith("chunked"):
        body = await _read_chunks(reader)
    else:
        body = await _read_length(reader, headers.get("content-length") or "0")
    return Request(words[0], path, query, headers, body)


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _read_length(reader: asyncio.StreamReader, length: str) -> bytes:
    if not length.isdecimal() or int(length) > LONGEST_BODY:
        raise BadRequest(f"content-length {length}")
    return await reader.readexactly(int(length))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        try:
            size = int((await reader.readline()).split(b";")[0], 16)
        except ValueError:
            raise BadRequest("malformed chunk") from None
        if len(body) + size > LONGEST_BODY:
            raise BadRequest("body too large")
        if size == 0:
            await _read_headers(reader)  # trailers
            return bytes(body)
        body += await reader.readexactly(size)
        await reader.readline()


def head(status: int, extra: Iterable[tuple[str, str]] = (), length: int | None = None) -> bytes:
    """Build the head of a response; its body is chunked when `length` is None."""
    reason = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Status"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in extra)]
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def document(
    status: int, content: Any, extra: Iterable[tuple[str, str]] = (), *, body: bool = True
) -> bytes:
    """Build a whole JSON response; `body` False for the answer to HEAD."""
    data = json.dumps(content).encode()
    start = head(status, [("content-type", "application/json"), *extra], len(data))
    return start + data if body else start


def error(status: int, message: str) -> dict[str, Any]:
    """Build the API's error document."""
    kind = ERROR_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}
