"""What a tool in the box is told when it may not have what it asked for, or does not get it."""

from __future__ import annotations

import asyncio
import socket

from clsecure.egress import relay
from clsecure.egress.greeting import Language, language_of

_EXPLAIN_SECONDS = 2.0
_CHUNK = 65536
_ALERT_DENIED = b"\x15\x03\x03\x00\x02\x02\x31"  # fatal, access_denied: RFC 8446, 6.2
_REASONS = {
    400: "Bad Request",
    403: "Blocked by clsecure",  # often all that a tool shows: of CONNECT few print the body
    408: "Request Timeout",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    505: "HTTP Version Not Supported",
}


class Denied(Exception):
    """The box may not have this: the text is the reason, `language` the one that the box speaks."""

    def __init__(self, reason: str, language: Language | None = Language.OTHER) -> None:
        super().__init__(reason)
        self.language = language


class Failed(Exception):
    """It would be allowed, but does not answer; the text says why."""


async def explain(
    inside: socket.socket, answer: bytes, language: Language | None, port: int = 0
) -> None:
    """Refuse a connection in the language that it speaks, as far as that has words, and end it.

    `answer` is what is said in HTTP; `language` None: the box's first bytes are still to be read.
    """
    try:
        if language is None:
            async with asyncio.timeout(_EXPLAIN_SECONDS):
                first = await asyncio.get_running_loop().sock_recv(inside, _CHUNK)
            language = language_of(first, port)
        if language is Language.TLS:
            await last_words(inside, _ALERT_DENIED)
        elif language is Language.HTTP:
            await last_words(inside, answer)
        else:
            relay.reset(inside)
    except OSError:  # TimeoutError is one
        relay.reset(inside)
    finally:
        inside.close()


async def last_words(inside: socket.socket, said: bytes) -> None:
    """Send the last that a connection gets, so that what it still sends cannot undo it; OSError."""
    await asyncio.get_running_loop().sock_sendall(inside, said)
    inside.shutdown(socket.SHUT_WR)
    await relay.discard(inside)


def blocked(target: str, reason: str) -> bytes:
    """Return the answer to a request for a host, `name:port`, that is not to be reached."""
    host = target.removesuffix(":443").removesuffix(":80")
    return page(
        403,
        f"{host} is blocked: {reason}. A person can allow it, outside of the box: "
        f"clsecure net allow {host}",
    )


def page(status: int, text: str) -> bytes:
    """Return a whole answer of HTTP in plain text, with which the connection ends."""
    body = f"clsecure: {text}\n".encode("ascii", "backslashreplace")
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
