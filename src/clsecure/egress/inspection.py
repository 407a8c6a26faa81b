"""Reads what the box says first on a connection, and holds it against the connection's host."""

from __future__ import annotations

import asyncio
import socket

from clsecure.egress import clienthello, httphead
from clsecure.egress.greeting import Language, language_of
from clsecure.egress.names import BadHost, Host, parse_host, parse_target
from clsecure.egress.refusals import Denied

HEAD_SECONDS = 10.0  # for all that comes before a decision, and for a greeting
_CHUNK = 65536


async def greeting(
    inside: socket.socket, target: tuple[Host, int], first: bytes, answers: asyncio.Task[None]
) -> tuple[bytes, Language]:
    """Return the box's first bytes and their language; of TLS only those that name the host.

    `first` is what has come already, `answers` the relay of what the server says, which may be the
    first to speak. Raises Denied, OSError.
    """
    host, port = target
    first = first or await _first_bytes(inside, answers)
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            while first and (language := language_of(first, port)) is None:
                more = await asyncio.get_running_loop().sock_recv(inside, _CHUNK)
                if not more:
                    break
                first += more
            if not first or language is not Language.TLS:
                return first, (first and language) or Language.OTHER
            while (named := _server_name(first)) is None:
                more = await asyncio.get_running_loop().sock_recv(inside, _CHUNK)
                if not more:
                    raise Denied("an unfinished greeting of TLS")
                first += more
    except TimeoutError:
        raise Denied("an unfinished greeting") from None
    agree(host, named[0], Language.TLS)
    return first, Language.TLS


async def _first_bytes(inside: socket.socket, answers: asyncio.Task[None]) -> bytes:
    # A server may speak first (ssh, SMTP): its words pass meanwhile, and it may be the one to end.
    asked = asyncio.create_task(asyncio.get_running_loop().sock_recv(inside, _CHUNK))
    try:
        await asyncio.wait((asked, answers), return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            answers.result()
        return await asked
    finally:
        asked.cancel()


def _server_name(first: bytes) -> tuple[str | None] | None:
    """Return the name in a greeting of TLS, which may have none; None while it is unfinished."""
    try:
        return (clienthello.parse(first).server_name,)
    except clienthello.Incomplete:
        return None
    except clienthello.NotTls as error:
        raise Denied(f"not a greeting of TLS: {error}", Language.TLS) from None


async def read_head(inside: socket.socket, first: bytes = b"") -> tuple[httphead.Head, bytes]:
    """Read a request's head; returns it and what came behind. Raises httphead.BadHead, OSError."""
    async with asyncio.timeout(HEAD_SECONDS):
        while True:
            parsed = httphead.parse(first)
            if parsed is not None:
                head, used = parsed
                return head, first[used:]
            more = await asyncio.get_running_loop().sock_recv(inside, _CHUNK)
            if not more:
                raise ConnectionResetError("the request was cut short")
            first += more


def agree(host: Host, named: str | None, language: Language) -> None:
    """Raise Denied unless what names a host names the one that the connection was made to."""
    if named is None:
        return  # what was asked for, and dialled, is the host in any case
    try:
        found = parse_target(named, 80)[0] if language is Language.HTTP else parse_host(named)
    except BadHost as error:
        raise Denied(f"not a host name: {error}", language) from None
    if found != host:
        raise Denied(f"{language.value} names {found}, not {host}", language)
