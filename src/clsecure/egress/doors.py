"""The doors of the box: proxy (HTTP and SOCKS), transparent path, resolver, the API on loopback."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

from clsecure.egress import dial, dns, httphead, inspection, relay, socks
from clsecure.egress.gateway import Asked, Gateway
from clsecure.egress.names import BadHost, Host, parse_host
from clsecure.egress.refusals import Denied, Failed, blocked, explain, last_words, page

if TYPE_CHECKING:
    from clsecure.egress.api import apidoor
    from clsecure.egress.api.routes import Route

_CHUNK = 65536
_SOCKS = b"\x05"
_MAX_QUERY = 4096
_DNS_SECONDS = 10.0
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Doors:
    """What answers in one box."""

    def __init__(self, way_out: Gateway, names: dns.Names, api: tuple[Host, int] | None) -> None:
        self._gateway, self._names, self._api = way_out, names, api
        self.docker_socket = ""  # of the host's docker, where it is lent to the session
        self.routes: tuple[Route, ...] = ()  # of the API's door
        self._api_door: apidoor.Door | None = None

    async def proxy(self, inside: socket.socket) -> None:
        """Serve one connection to the explicit proxy."""
        try:
            async with asyncio.timeout(inspection.HEAD_SECONDS):
                first = await asyncio.get_running_loop().sock_recv(inside, _CHUNK)
            if first.startswith(_SOCKS):
                await self._socks(inside, first)
            elif first:
                await self._http(inside, first)
        except (OSError, TimeoutError):
            relay.reset(inside)
        finally:
            inside.close()

    async def _http(self, inside: socket.socket, first: bytes) -> None:
        answer = b""
        target = ""
        try:
            head, rest = await inspection.read_head(inside, first)
            name, port, path = httphead.authority(head)
            target = f"{name}:{port}"
            way = "connect" if head.method == "CONNECT" else "http"
            host = self._host(way, name, port)
            passage = await self._gateway.open(way, host, port)
            if way == "connect":
                try:
                    await asyncio.get_running_loop().sock_sendall(inside, _ESTABLISHED)
                finally:
                    await self._gateway.carry(inside, passage, rest)
            else:
                await self._gateway.carry_request(inside, passage, Asked(head, path, rest))
        except httphead.BadHead as error:
            self._gateway.refuse("http", "", 0, f"not a request: {error}")
            answer = page(error.status, f"this is not a request: {error}.")
        except TimeoutError:
            answer = page(408, "no whole request came in time.")
        except Denied as denied:
            answer = blocked(target, str(denied))
        except Failed as failed:
            answer = page(502, f"{failed}.")
        if answer:
            await last_words(inside, answer)

    async def _socks(self, inside: socket.socket, first: bytes) -> None:
        loop = asyncio.get_running_loop()
        negotiation = socks.Negotiation()
        async with asyncio.timeout(inspection.HEAD_SECONDS):
            while True:
                answer = negotiation.feed(first)
                if answer:
                    await loop.sock_sendall(inside, answer)
                if negotiation.failed:
                    self._gateway.refuse("socks", "", 0, negotiation.reason)
                    return
                if negotiation.target is not None:
                    break
                first = await loop.sock_recv(inside, _CHUNK)
                if not first:
                    return
        name, port = negotiation.target
        try:
            passage = await self._gateway.open("socks", self._host("socks", name, port), port)
        except Denied:
            await loop.sock_sendall(inside, socks.reply(socks.Reply.NOT_ALLOWED))
        except Failed:
            await loop.sock_sendall(inside, socks.reply(socks.Reply.HOST_UNREACHABLE))
        else:
            try:
                await loop.sock_sendall(inside, socks.reply(socks.Reply.SUCCEEDED))
            finally:
                await self._gateway.carry(inside, passage, negotiation.rest)

    async def transparent(self, inside: socket.socket) -> None:
        """Serve one connection that was made to a name's or to any other address."""
        target, port = inside.getsockname()[:2]
        try:
            host = self._meant(ip_address(target), port)
            target = str(host)
            passage = await self._gateway.open("transparent", host, port)
        except Denied as denied:
            await explain(inside, blocked(f"{target}:{port}", str(denied)), None, port)
        except Failed:
            relay.reset(inside)
        else:
            await self._gateway.carry(inside, passage)

    async def api(self, inside: socket.socket) -> None:
        """Serve one connection to the agent's API: by its requests, where there are routes."""
        if self.routes:
            await self._by_request(inside)
            return
        if self._api is None:
            relay.reset(inside)
            return
        try:
            passage = await self._gateway.open("api", *self._api)
        except (Denied, Failed):
            relay.reset(inside)
        else:
            await self._gateway.carry(inside, passage, inspect=False)

    async def _by_request(self, inside: socket.socket) -> None:
        if self._api_door is None:
            from clsecure.egress.api import apidoor  # with h11 and ssl: 50 ms

            self._api_door = apidoor.Door(self.routes, self._gateway_to)
        await self._api_door.serve(inside)

    def _gateway_to(self, route: Route) -> Gateway:
        policy = self._gateway.policy.only(parse_host(route.host), route.port)
        return Gateway(policy, self._gateway.journal)

    async def docker(self, inside: socket.socket) -> None:
        """Serve one connection to the host's docker, where it is lent to the session."""
        passage = await self._gateway.open_local("docker", self.docker_socket)
        await self._gateway.carry(inside, passage, inspect=False)

    async def resolve_stream(self, inside: socket.socket) -> None:
        """Serve one connection to the resolver: messages behind their lengths (RFC 1035, 4.2.2)."""
        loop = asyncio.get_running_loop()
        waiting = b""
        try:
            async with asyncio.timeout(_DNS_SECONDS):
                while more := await loop.sock_recv(inside, _CHUNK):
                    waiting += more
                    while len(waiting) > 1:
                        length = int.from_bytes(waiting[:2], "big")
                        if len(waiting) < length + 2:
                            break
                        answer = self.resolve(waiting[2 : length + 2])
                        waiting = waiting[length + 2 :]
                        if answer is None:
                            return
                        await loop.sock_sendall(inside, len(answer).to_bytes(2, "big") + answer)
        except (OSError, TimeoutError):
            return
        finally:
            inside.close()

    def resolve(self, query: bytes) -> bytes | None:
        """Answer one message to the resolver; None where there is nothing to answer."""
        return dns.answer(query, self._names) if len(query) <= _MAX_QUERY else None

    def _host(self, way: str, name: str, port: int) -> Host:
        try:
            return parse_host(name)
        except BadHost as error:
            raise self._gateway.refuse(way, name[:253], port, f"not a host name: {error}") from None

    def _meant(self, address: dial.Address, port: int) -> Host:
        if not dns.is_synthetic(address):
            return Host(address=address)
        name = self._names.name_of(address)
        if name is None:
            raise self._gateway.refuse(
                "transparent", str(address), port, "no name has this address"
            )
        return parse_host(name)
