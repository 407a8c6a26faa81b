"""The box's servers at the human's own addresses: its init makes each connection inside."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from clsecure.egress import relay
from clsecure.errors import ExitCode, UserError

LOOPBACK = "127.0.0.1"
_SECONDS = 3.0
_MOST_PORT = 65535
_FORM = re.compile(
    r"((?P<address>\[[0-9a-fA-F:]+\]|[0-9]+(\.[0-9]+){3}):)?((?P<outer>[0-9]{1,5}):)?(?P<inner>[0-9]{1,5})"
)


class Publication(NamedTuple):
    """`address`:`port` on the host leads to `inner` on the box's loopback."""

    address: str
    port: int
    inner: int


def parse(text: str) -> Publication:
    """Understand `[[ADDRESS:]HOST_PORT:]PORT`; raises UserError (USAGE)."""
    found = _FORM.fullmatch(text)
    if found and all(0 < int(each) <= _MOST_PORT for each in found.group("outer", "inner") if each):
        address = (found["address"] or LOOPBACK).strip("[]")
        try:
            ip_address(address)
        except ValueError:
            pass
        else:
            return Publication(address, int(found["outer"] or found["inner"]), int(found["inner"]))
    raise UserError(
        f"not a port to publish: {text}",
        hint="for example 3000, 8080:3000 or 0.0.0.0:8080:3000",
        code=ExitCode.USAGE,
    )


def role(publication: Publication) -> str:
    """Return what the service calls a socket that listens for it."""
    return f"publish {publication.address} {publication.port} {publication.inner}"


def inner_port(of_role: str) -> int | None:
    """Return the port in the box of a socket of that role; None for another kind of socket."""
    word, *rest = of_role.split(" ")
    return int(rest[-1]) if word == "publish" else None


def listen(publication: Publication) -> socket.socket:
    """Return a socket that listens at the publication's address; raises UserError."""
    try:
        return _listen(publication)
    except OSError as error:
        raise UserError(
            f"{publication.address}:{publication.port} cannot be used: {error.strerror}",
            hint="publish it at another port: HOST_PORT:PORT",
        ) from None


def _listen(publication: Publication) -> socket.socket:
    family = socket.AF_INET6 if ":" in publication.address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((publication.address, publication.port))
        listening.listen(64)
        listening.settimeout(0)
    except BaseException:
        listening.close()
        raise
    return listening


class Broker:
    """The socket to the box's init, which connects to a port in the box and hands that over."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._channel.settimeout(0)
        self._turn = asyncio.Lock()

    async def connect(self, port: int) -> socket.socket:
        """Return a connection to that port of the box's loopback; raises OSError."""
        async with self._turn, asyncio.timeout(_SECONDS):
            self._drop_late_answers()
            self._channel.send(port.to_bytes(2, "big"))
            await self._heard()
            said, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
        if said[:1] == b"\0" and descriptors:
            connection = socket.socket(fileno=descriptors[0])
            connection.settimeout(0)
            return connection
        raise OSError(said[0] if said else 0, os.strerror(said[0]) if said else "the box has ended")

    async def _heard(self) -> None:
        loop, answered = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._channel, answered.set)
        try:
            await answered.wait()
        finally:
            loop.remove_reader(self._channel)

    def _drop_late_answers(self) -> None:
        with suppress(BlockingIOError):
            while True:
                said, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
                for descriptor in descriptors:
                    os.close(descriptor)
                if not said:
                    return


async def serve_one(outer: socket.socket, broker: Broker, port: int, pipes: relay.Pipes) -> None:
    """Serve one connection from outside."""
    try:
        inner = await broker.connect(port)
    except OSError:
        relay.reset(outer)
        return
    try:
        await relay.both_ways(outer, inner, pipes, (relay.Count(), relay.Count()))
    except OSError:
        relay.reset(outer)
        relay.reset(inner)
    finally:
        outer.close()
        inner.close()
