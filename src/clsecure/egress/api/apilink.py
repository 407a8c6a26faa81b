"""One connection that speaks HTTP/1.1, either side of it: h11 over an asyncio stream."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import TypeAlias

import h11

_CHUNK = 1 << 20  # bytes that are read at once, and wait to be
_MAX_HEAD = 65536  # bytes
_HANDSHAKE_SECONDS = 10.0
_DISCARD_SECONDS = 1.0

Role: TypeAlias = type[h11.CLIENT] | type[h11.SERVER]


class Link:
    """A connection and where it is in its requests; bytes are counted both ways."""

    def __init__(
        self, role: Role, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.state = h11.Connection(role, max_incomplete_event_size=_MAX_HEAD)
        self._reader, self._writer = reader, writer
        self.sent = self.received = 0

    @property
    def has_ended(self) -> bool:
        """Whether the other side has closed it, and nothing is left to be read."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def begun(self) -> None:
        """Wait until something is there to be read, or the end. Raises OSError."""
        if not self.state.trailing_data[0]:
            await self._read()

    async def _read(self) -> None:
        data = await self._reader.read(_CHUNK)
        self.received += len(data)
        self.state.receive_data(data)

    async def next(self) -> h11.Event:
        """Return what comes next. Raises h11.RemoteProtocolError, OSError."""
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                await self._read()
            elif event is h11.PAUSED:  # the other side is a request ahead
                raise h11.RemoteProtocolError("out of turn")
            elif not isinstance(event, type):
                return event

    async def send(self, *parts: h11.Event) -> None:
        """Send these, one after the other. Raises OSError."""
        for part in parts:
            data = self.state.send(part)
            if data:
                self.sent += len(data)
                self._writer.write(data)
        await self._writer.drain()

    async def finish(self) -> None:
        """Send the end, and read for a moment what nobody wants.

        Closed at once, it would take the answer with it.
        """
        with suppress(OSError, RuntimeError):  # TimeoutError is one of the first
            self._writer.write_eof()
            async with asyncio.timeout(_DISCARD_SECONDS):
                while await self._reader.read(_CHUNK):
                    pass

    def close(self) -> None:
        """Close it; what has been sent still arrives."""
        with suppress(OSError, RuntimeError):
            self._writer.close()

    def abort(self) -> None:
        """Cut it, so that the other side does not take it for an end."""
        self._writer.transport.abort()


async def over(
    connection: socket.socket,
    role: Role,
    secure: ssl.SSLContext | None = None,
    name: str = "",
) -> Link:
    """Return the link over a connected socket, which it takes over. Raises OSError."""
    if secure is None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=_CHUNK)
    else:
        reader, writer = await asyncio.open_connection(
            sock=connection,
            limit=_CHUNK,
            ssl=secure,
            server_hostname=name,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS,
        )
    return Link(role, reader, writer)


def context(further: str) -> ssl.SSLContext:
    """Return how servers prove who they are: to the system's authorities, and those in `further`.

    A file that cannot be read adds none, as with Node's variable for it.
    """
    made = ssl.create_default_context()
    made.set_alpn_protocols(["http/1.1"])
    if further:
        with suppress(OSError):  # ssl.SSLError is one
            made.load_verify_locations(further)
    return made
