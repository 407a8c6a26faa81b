"""The door of the agent's APIs: requests go out with the real credentials, which the box lacks.

The box speaks plain HTTP to it, on its own loopback; outside it is TLS, to the one host of a route.
A request is read whole, judged, given its credentials and written anew (`apirequest`), so that
nothing in it has a second reading. Answers are passed on as they come.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Sequence

import h11

from clsecure.egress.api import apilink, apirequest, current, substitution
from clsecure.egress.api.apilink import Link
from clsecure.egress.api.apirequest import Asked, Outgoing, Refused
from clsecure.egress.api.routes import Route
from clsecure.egress.gateway import Gateway, Passage
from clsecure.egress.inspection import HEAD_SECONDS
from clsecure.egress.names import parse_host
from clsecure.egress.refusals import Denied, Failed

_BODY_SECONDS = 30.0  # between two parts of a body
_IDLE_SECONDS = 600.0  # between two requests
_GONE_SECONDS = 1.0  # after which it is looked whether the box still waits for its answer
_MAX_BODY = 64 << 20  # bytes; the APIs themselves take 32 MiB
_MAX_ALL = 256 << 20  # bytes of all bodies that are held at once
_UNAUTHORIZED = 401
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    413: "request_too_large",
}


class Unanswered(Exception):
    """The API closed the connection without a word."""


class Way:
    """A route in use: its credentials as they are now, and the way out."""

    def __init__(self, route: Route, gateway: Gateway) -> None:
        self.route, self._gateway = route, gateway
        self._host = parse_host(route.host)
        self.credentials = [current.Current(each) for each in route.credentials]
        further = os.environ.get("NODE_EXTRA_CA_CERTS", "")
        self._secure = apilink.context(further) if route.scheme == "https" else None

    def secrets(self) -> list[bytes]:
        """Return what no answer may hold."""
        added = [value.reveal().encode() for _, value in self.route.headers]
        return [each for each in [*(one.secret() for one in self.credentials), *added] if each]

    def judge(self) -> None:
        """Raise Denied where the API is denied by now."""
        verdict = self._gateway.policy.judge(self._host, self.route.port)
        if not verdict.allowed:
            raise self.refuse(verdict.reason)

    def refuse(self, reason: str) -> Denied:
        """Write down that a request does not go out, and return that."""
        return self._gateway.refuse("api", self._host, self.route.port, reason)

    async def dial(self) -> tuple[Link, Passage]:
        """Return a connection to the API. Raises Denied, Failed."""
        passage = await self._gateway.open("api", self._host, self.route.port)
        try:
            link = await apilink.over(passage.outside, h11.CLIENT, self._secure, self.route.host)
        except OSError as error:
            passage.outside.close()
            said = getattr(error, "verify_message", "") or error.strerror or "no TLS"
            self._gateway.journal.close(passage.entry, 0, 0, said)
            raise Failed(f"{self.route.host}:{self.route.port}: {said}") from None
        return link, passage

    def close(self, link: Link, passage: Passage, reason: str) -> None:
        """Close a connection, and write its end down."""
        link.close()
        self._gateway.journal.close(passage.entry, link.sent, link.received, reason)


class Door:
    """The door of one session, to all of its APIs."""

    def __init__(self, routes: Sequence[Route], gateway_for: Callable[[Route], Gateway]) -> None:
        self._ways = [Way(route, gateway_for(route)) for route in routes]
        self._held = 0  # bytes of bodies

    async def serve(self, inside: socket.socket) -> None:
        """Serve one connection of the box to its end."""
        visit = Visit(self, await apilink.over(inside, h11.SERVER))
        try:
            await visit.run()
        except (OSError, h11.ProtocolError):  # TimeoutError is one
            visit.inside.abort()
        finally:
            visit.drop("")
            visit.inside.close()

    def way(self, target: str) -> tuple[Way, str]:
        """Return where a target leads, and the target there. Raises Refused."""
        for way in self._ways:
            start = f"/{way.route.name}"
            if target == start or target.startswith((f"{start}/", f"{start}?")):
                rest = target[len(start) :]
                return way, rest if rest.startswith("/") else f"/{rest}"
        raise Refused(404, "no API of this session is there")

    def hold(self, size: int) -> None:
        """Count bytes that are held in memory, less than 0 when they go. Raises Refused."""
        if size > 0 and self._held + size > _MAX_ALL:
            raise Refused(503, "too many requests at once")
        self._held += size


class Visit:
    """One connection of the box: one request after the other, and one connection outside."""

    def __init__(self, door: Door, inside: Link) -> None:
        self._door, self.inside = door, inside
        self._outside: tuple[Way, Link, Passage] | None = None
        self._holds = 0  # bytes of the body

    async def run(self) -> None:
        """Answer requests until the box has no more. Raises OSError, h11.ProtocolError."""
        state = self.inside.state
        while True:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self.inside.begun()
            async with asyncio.timeout(HEAD_SECONDS):
                request = await self.inside.next()
            if not isinstance(request, h11.Request):
                return
            try:
                await self._answer(request)
            except Refused as refused:
                await self._refuse(request, refused)
            except Denied as denied:
                await self._refuse(request, Refused(403, f"blocked: {denied}"))
            except Failed as failed:
                await self._refuse(request, Refused(502, str(failed)))
            finally:
                self._door.hold(-self._holds)
                self._holds = 0
            if state.our_state is not h11.DONE or state.their_state is not h11.DONE:
                await self.inside.finish()
                return
            state.start_next_cycle()

    async def _answer(self, request: h11.Request) -> None:
        way, target = self._door.way(request.target.decode("ascii", "replace"))
        body = await self._body()
        path, _, query = target.partition("?")
        asked = Asked(request.method.decode("ascii"), path, query, list(request.headers), body)
        try:
            pairs = await current.pairs(way.credentials)
            outgoing = apirequest.outgoing(way.route, asked, pairs)
        except current.Unavailable as error:
            raise Refused(_UNAUTHORIZED, str(error)) from None
        except Refused as refused:
            way.refuse(str(refused))
            raise
        way.judge()
        await self._exchange(way, outgoing)

    async def _body(self) -> bytes:
        parts: list[bytes] = []
        if self.inside.state.they_are_waiting_for_100_continue:
            await self.inside.send(h11.InformationalResponse(status_code=100, headers=[]))
        while True:
            async with asyncio.timeout(_BODY_SECONDS):
                event = await self.inside.next()
            if isinstance(event, h11.EndOfMessage):
                return b"".join(parts)
            if not isinstance(event, h11.Data):
                raise ConnectionResetError
            self._door.hold(len(event.data))
            self._holds += len(event.data)
            if self._holds > _MAX_BODY:
                raise Refused(413, "the request is too large")
            parts.append(bytes(event.data))

    async def _exchange(self, way: Way, outgoing: Outgoing) -> None:
        # A connection that was kept may be closed just now: then once more, on a fresh one.
        for _ in range(2):
            link, is_fresh = await self._connected(way)
            try:
                await self._send_and_pass(way, link, outgoing)
            except Unanswered:
                self.drop("no answer")
                if is_fresh:
                    break
            else:
                if link.state.our_state is not h11.DONE or link.state.their_state is not h11.DONE:
                    self.drop("")
                return
        raise Failed(f"{way.route.host} gives no answer")

    async def _connected(self, way: Way) -> tuple[Link, bool]:
        if self._outside and self._outside[0] is way and not self._outside[1].has_ended:
            self._outside[1].state.start_next_cycle()
            return self._outside[1], False
        self.drop("")
        self._outside = (way, *await way.dial())
        return self._outside[1], True

    async def _send_and_pass(self, way: Way, outside: Link, outgoing: Outgoing) -> None:
        method, target, headers, body = outgoing
        parts = (
            h11.Request(method=method, target=target, headers=headers),
            *((h11.Data(data=body),) if body else ()),
            h11.EndOfMessage(),
        )
        sending = asyncio.ensure_future(outside.send(*parts))
        try:
            head = await self._head(outside)
            if head.status_code == _UNAUTHORIZED:
                for each in way.credentials:
                    each.forget()
            await self._pass_on(way, outside, head)
        except (OSError, h11.ProtocolError):
            self.drop("broken")
            if self.inside.state.our_state is not h11.SEND_RESPONSE:
                raise
            raise Failed(f"{way.route.host} broke the connection") from None
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _head(self, outside: Link) -> h11.Response:
        begun = outside.received
        while True:
            try:
                event = await self._unless_gone(outside)
            except (OSError, h11.RemoteProtocolError):
                if outside.received == begun and not self.inside.has_ended:
                    raise Unanswered from None
                raise
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise Unanswered

    async def _pass_on(self, way: Way, outside: Link, head: h11.Response) -> None:
        secrets = way.secrets()
        guard = substitution.Guard(secrets)
        try:
            headers = substitution.incoming(head.headers, secrets)
            await self.inside.send(h11.Response(status_code=head.status_code, headers=headers))
            while not isinstance(event := await self._unless_gone(outside), h11.EndOfMessage):
                if not isinstance(event, h11.Data):
                    raise ConnectionResetError
                await self._give(guard.feed(bytes(event.data)))
            await self._give(guard.end())
            await self.inside.send(h11.EndOfMessage())
        except substitution.Leak:
            said = "the answer holds a credential, or is encoded so that one could be in it"
            self.drop(said)
            way.refuse(said)
            if self.inside.state.our_state is h11.SEND_RESPONSE:
                raise Refused(502, said) from None
            raise ConnectionResetError(said) from None

    async def _give(self, data: bytes) -> None:
        if data:
            await self.inside.send(h11.Data(data=data))

    async def _unless_gone(self, outside: Link) -> h11.Event:
        """Return what the API says next; raises OSError once the box does not wait any more."""
        coming = asyncio.ensure_future(outside.next())
        try:
            while True:
                done, _ = await asyncio.wait((coming,), timeout=_GONE_SECONDS)
                if done:
                    return coming.result()
                if self.inside.has_ended:
                    raise ConnectionResetError
        finally:
            coming.cancel()

    async def _refuse(self, request: h11.Request, refused: Refused) -> None:
        state = self.inside.state
        if state.our_state is not h11.SEND_RESPONSE:
            raise ConnectionResetError(str(refused))
        kind = _KINDS.get(refused.status, "api_error")
        said = {"type": "error", "error": {"type": kind, "message": f"clsecure: {refused}"}}
        body = json.dumps(said).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        if state.their_state is not h11.DONE:
            headers.append((b"connection", b"close"))
        content = () if request.method == b"HEAD" else (h11.Data(data=body),)
        answer = h11.Response(status_code=refused.status, headers=headers)
        await self.inside.send(answer, *content, h11.EndOfMessage())

    def drop(self, reason: str) -> None:
        """Close the connection outside, if there is one; the log has the reason."""
        if self._outside:
            way, link, passage = self._outside
            self._outside = None
            way.close(link, passage, reason)
