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

from clsecure.egress import dial, httphead, inspection, relay
from clsecure.egress.greeting import Language
from clsecure.egress.httpbody import Body
from clsecure.egress.journal import Entry, Journal, Unlogged
from clsecure.egress.names import Host
from clsecure.egress.refusals import Denied, Failed, explain, page
from clsecure.egress.rules import Policy, Verdict

_CHUNK = 65536


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

    async def open_local(self, name: str, path: str) -> Passage:
        """Write down and dial a socket of this host that the session was lent. Raises OSError."""
        host = Host(name=name)
        verdict = Verdict(allowed=True, rule=name, reason="lent by its human")
        entry = self._note(name, host, 0, verdict, path)
        outside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        outside.settimeout(0)
        try:
            await asyncio.get_running_loop().sock_connect(outside, path)
        except OSError as error:
            outside.close()
            self.journal.close(entry, 0, 0, error.strerror or "no answer")
            raise
        return Passage(host, 0, outside, entry)

    def admit(self, way: str, host: Host, port: int, rule: str, reason: str) -> Entry:
        """Write down what another rule than the policy's allows. Raises Denied."""
        return self._note(way, host, port, Verdict(allowed=True, rule=rule, reason=reason))

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
                target = (passage.host, passage.port)
                begun, language = await inspection.greeting(inside, target, first, answers)
                if language is Language.HTTP:
                    head, rest = await inspection.read_head(inside, begun)
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
            await _end(answers)
            reason = str(denied)
            self.refuse("inside", passage.host, passage.port, reason)
            answer = page(403, f"{passage.host} is blocked: {reason}.")
            await explain(inside, answer, denied.language)
        except httphead.BadHead as error:
            await _end(answers)
            reason = f"not a request: {error}"
            self.refuse("inside", passage.host, passage.port, reason)
            await explain(inside, page(error.status, f"this is {reason}."), Language.HTTP)
        except OSError as error:  # TimeoutError is one
            reason = error.strerror or "broken"
            await _end(answers)  # first: a number that is watched must not become another socket's
            relay.reset(inside)
            relay.reset(passage.outside)
        finally:
            await _end(answers)
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
            await _end(questions)

    @staticmethod
    async def _request(
        inside: socket.socket, passage: Passage, asked: Asked, count: relay.Count
    ) -> None:
        """Send one request on in origin form, with its body, and nothing that comes behind it."""
        inspection.agree(passage.host, httphead.host_field(asked.head), Language.HTTP)
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


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end, whatever that is."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
