"""The decisions on one session's connections, and what is sent where: the egress proxy itself.

Whatever way a connection takes out of the box, it is judged on one normalised host, before and
after that host is resolved, and it stays with it: the first bytes that the box sends (TLS's server
name, HTTP's Host) must name the same one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from clsecure.egress import clienthello, dial, httphead, relay
from clsecure.egress.greeting import Language, language_of
from clsecure.egress.httpbody import Body
from clsecure.egress.journal import Entry, Journal, Unlogged
from clsecure.egress.names import BadHost, Host, parse_host, parse_target
from clsecure.egress.rules import Policy, Verdict

HEAD_SECONDS = 10.0  # for all that comes before a decision, and for a ClientHello
_EXPLAIN_SECONDS = 2.0
_CHUNK = 65536
_ALERT_DENIED = b"\x15\x03\x03\x00\x02\x02\x31"  # fatal, access_denied: RFC 8446, 6.2


class Denied(Exception):
    """The box may not have this: the text is the reason, `language` the one that the box speaks."""

    def __init__(self, reason: str, language: Language | None = Language.OTHER) -> None:
        super().__init__(reason)
        self.language = language


class Failed(Exception):
    """It would be allowed, but does not answer; the text says why."""


class Passage(NamedTuple):
    """An open way out: the connection outside, and the entry of the log to be closed."""

    host: Host
    port: int
    outside: socket.socket
    entry: Entry


class Asked(NamedTuple):
    """A request of HTTP: its head, its path in origin form, and what has come behind the head."""

    head: httphead.Head
    path: str
    rest: bytes


class Gateway:
    """One session's way out."""

    def __init__(self, policy: Policy, journal: Journal) -> None:
        self.policy, self.journal = policy, journal
        self.pipes = relay.Pipes()

    async def open(self, way: str, host: Host, port: int) -> Passage:
        """Judge, resolve, judge again, write down and dial. Raises Denied, Failed."""
        verdict = self.policy.judge(host, port)
        addresses: tuple[dial.Address, ...] = ()
        if verdict.allowed:
            try:
                addresses = await dial.addresses_of(host)
            except (OSError, UnicodeError) as error:
                said = getattr(error, "strerror", "") or "no answer"
                self._note(way, host, port, verdict._replace(reason=f"not resolved: {said}"))
                raise Failed(f"{host} cannot be resolved: {said}") from None
            verdict = self.policy.judge_addresses(host, port, addresses)
        entry = self._note(way, host, port, verdict, str(addresses[0]) if addresses else "")
        if not verdict.allowed:
            raise Denied(verdict.reason)
        try:
            outside = await dial.connect(addresses, port)
        except OSError as error:
            said = error.strerror or "no answer"
            self.journal.close(entry, 0, 0, said)
            raise Failed(f"{host}:{port} cannot be reached: {said}") from None
        return Passage(host, port, outside, entry)

    def refuse(self, way: str, host: Host | str, port: int, reason: str) -> Denied:
        """Write a refusal down that the policy was not asked for, and return it."""
        self.journal.decide(way, host, port, Verdict(allowed=False, rule="", reason=reason))
        return Denied(reason)

    def _note(self, way: str, host: Host, port: int, verdict: Verdict, address: str = "") -> Entry:
        try:
            return self.journal.decide(way, host, port, verdict, address)
        except Unlogged as error:
            raise Denied(f"the decision cannot be logged: {error}") from None

    async def carry(
        self, inside: socket.socket, passage: Passage, first: bytes = b"", *, inspect: bool = True
    ) -> None:
        """Carry a connection to its end; `first` is what the box has sent already.

        With `inspect`, the first bytes of the box go out only when they agree with the host.
        """

        async def questions(answers: asyncio.Task[None], count: relay.Count) -> None:
            begun = first
            if inspect:
                begun, language = await _greeting(inside, passage.host, first, answers)
                if language is Language.HTTP:
                    head, rest = await read_head(inside, begun)
                    await self._request(inside, passage, Asked(head, head.target, rest), count)
                    return
            await asyncio.get_running_loop().sock_sendall(passage.outside, begun)
            count.bytes += len(begun)
            await self._rest(inside, passage, count, answers)

        await self._carry(inside, passage, questions)

    async def carry_request(self, inside: socket.socket, passage: Passage, asked: Asked) -> None:
        """Carry one request of HTTP and its answer."""

        async def questions(_: asyncio.Task[None], count: relay.Count) -> None:
            await self._request(inside, passage, asked, count)

        await self._carry(inside, passage, questions)

    async def _carry(
        self,
        inside: socket.socket,
        passage: Passage,
        questions: Callable[[asyncio.Task[None], relay.Count], Awaitable[None]],
    ) -> None:
        sent, received = relay.Count(), relay.Count()
        reason = ""
        answers = asyncio.create_task(relay.pump(passage.outside, inside, self.pipes, received))
        try:
            await questions(answers, sent)
            await answers
            await relay.discard(inside)
        except Denied as denied:
            reason = str(denied)
            self.refuse("inside", passage.host, passage.port, reason)
            await explain(inside, f"{passage.host} is blocked: {reason}.", denied.language)
        except httphead.BadHead as error:
            reason = f"not a request: {error}"
            self.refuse("inside", passage.host, passage.port, reason)
        except OSError as error:  # TimeoutError is one
            reason = error.strerror or "broken"
            relay.reset(inside)
            relay.reset(passage.outside)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            inside.close()
            passage.outside.close()
            self.journal.close(passage.entry, sent.bytes, received.bytes, reason)

    async def _rest(
        self,
        inside: socket.socket,
        passage: Passage,
        count: relay.Count,
        answers: asyncio.Task[None],
    ) -> None:
        questions = asyncio.create_task(relay.pump(inside, passage.outside, self.pipes, count))
        try:
            done, _ = await asyncio.wait((questions, answers), return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            questions.cancel()
            await asyncio.gather(questions, return_exceptions=True)

    @staticmethod
    async def _request(
        inside: socket.socket, passage: Passage, asked: Asked, count: relay.Count
    ) -> None:
        """Send one request on in origin form, with its body, and nothing that comes behind it."""
        _agree(passage.host, httphead.host_field(asked.head), Language.HTTP)
        loop, rest = asyncio.get_running_loop(), asked.rest
        body, part = Body(asked.head), httphead.forward(asked.head, asked.path)
        while True:
            await loop.sock_sendall(passage.outside, part)
            count.bytes += len(part)
            if body.is_complete:
                return
            rest = rest or await loop.sock_recv(inside, _CHUNK)
            if not rest:
                raise ConnectionResetError("the request was cut short")
            part, rest = body.take(rest), b""


async def read_head(inside: socket.socket, first: bytes = b"") -> tuple[httphead.Head, bytes]:
    """Read a request's head; returns it and what came behind. Raises httphead.BadHead, OSError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(HEAD_SECONDS):
        while True:
            parsed = httphead.parse(first)
            if parsed is not None:
                head, used = parsed
                return head, first[used:]
            more = await loop.sock_recv(inside, _CHUNK)
            if not more:
                raise ConnectionResetError("the request was cut short")
            first += more


def _agree(host: Host, named: str | None, language: Language) -> None:
    """Raise Denied unless a greeting names the host that the connection was made to."""
    if named is None:
        return  # what was asked for, and dialled, is the host in any case
    try:
        found = parse_target(named, 80)[0] if language is Language.HTTP else parse_host(named)
    except BadHost as error:
        raise Denied(f"not a host name: {error}", language) from None
    if found != host:
        raise Denied(f"{language.value} names {found}, not {host}", language)


async def _greeting(
    inside: socket.socket, host: Host, first: bytes, answers: asyncio.Task[None]
) -> tuple[bytes, Language]:
    """Return the box's first bytes and their language; of TLS only those that name the host."""
    loop = asyncio.get_running_loop()
    first = first or await _first_bytes(inside, answers)
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            while first and (language := language_of(first)) is None:
                more = await loop.sock_recv(inside, _CHUNK)
                if not more:
                    break
                first += more
            if not first or language is not Language.TLS:
                return first, (first and language) or Language.OTHER
            while (named := _server_name(first)) is None:
                more = await loop.sock_recv(inside, _CHUNK)
                if not more:
                    raise Denied("an unfinished greeting of TLS")
                first += more
    except TimeoutError:
        raise Denied("an unfinished greeting") from None
    _agree(host, named[0], Language.TLS)
    return first, Language.TLS


def _server_name(first: bytes) -> tuple[str | None] | None:
    """Return the name in a greeting of TLS, which may have none; None while it is unfinished."""
    try:
        return (clienthello.parse(first).server_name,)
    except clienthello.Incomplete:
        return None
    except clienthello.NotTls as error:
        raise Denied(f"not a greeting of TLS: {error}", Language.TLS) from None


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


async def explain(inside: socket.socket, text: str, language: Language | None = None) -> None:
    """Tell a blocked tool why, in the language that it speaks, as far as that has one.

    `language` None: its first bytes are still to be read.
    """
    loop = asyncio.get_running_loop()
    try:
        if language is None:
            async with asyncio.timeout(_EXPLAIN_SECONDS):
                language = language_of(await loop.sock_recv(inside, _CHUNK))
        if language is Language.TLS:
            await loop.sock_sendall(inside, _ALERT_DENIED)
        elif language is Language.HTTP:
            await loop.sock_sendall(inside, page(403, text))
        else:
            relay.reset(inside)
    except OSError:
        relay.reset(inside)
    finally:
        inside.close()


def blocked(target: str, reason: str) -> str:
    """Return what a tool is told whose host, `name:port`, is not to be reached."""
    host = target.removesuffix(":443").removesuffix(":80")
    return (
        f"{host} is blocked: {reason}. A person can allow it, outside of the box: "
        f"clsecure net allow {host}"
    )


def page(status: int, text: str) -> bytes:
    """Return a whole answer of HTTP in plain text, with which the connection ends."""
    body = f"clsecure: {text}\n".encode("ascii", "backslashreplace")
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


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
