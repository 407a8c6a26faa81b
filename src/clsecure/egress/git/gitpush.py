"""One push of the box: what its hook asks, what may be, and what the remote says to it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress

from clsecure.egress.gateway import Gateway
from clsecure.egress.git import gitrefs
from clsecure.egress.git.githook import MOST
from clsecure.egress.git.githosts import RULE, WAYS, GitHosts
from clsecure.egress.git.gitmirror import Mirror, Refused
from clsecure.egress.git.gitrefs import Update
from clsecure.egress.names import Host
from clsecure.egress.refusals import Denied
from clsecure.output import escape

_CHUNK = 65536
_WAY = WAYS["git-receive-pack"]
_LOSS = "commits on the remote would be lost; only push_force = true allows that"


class Pushing:
    """Answers the hook of one push; git waits for it meanwhile."""

    def __init__(self, gateway: Gateway, hosts: GitHosts, mirror: Mirror) -> None:
        self._gateway, self._hosts, self._mirror = gateway, hosts, mirror
        self._host = Host(name=mirror.host)

    async def answer(self, hook: socket.socket) -> None:
        """Answer the one question that comes, if one does. Raises OSError."""
        try:
            await self._answer(hook)
        finally:  # whatever it was: without an answer the hook refuses the push
            with suppress(OSError):
                hook.shutdown(socket.SHUT_RDWR)

    async def _answer(self, hook: socket.socket) -> None:
        loop, question = asyncio.get_running_loop(), b""
        while not question.endswith(b"\n"):
            more = await loop.sock_recv(hook, _CHUNK)
            if not more or len(question) > 2 * MOST:
                return
            question += more
        document = json.loads(question)
        code = 0
        try:
            said = await self._push(document["updates"], document["objects"])
        except Refused as refused:
            said, code = str(refused), 1
        answer = {"said": f"{said}\n" if said else "", "code": code}
        await loop.sock_sendall(hook, json.dumps(answer).encode("ascii") + b"\n")

    async def _push(self, text: str, objects: Mapping[str, str]) -> str:
        """Push on what may be pushed; returns what the remote said. Raises Refused."""
        try:
            updates = gitrefs.parse(text)
        except gitrefs.BadPush as error:
            self._refuse(str(error))
            raise Refused(f"clsecure: {error}") from None
        refused = list(gitrefs.refusals(updates, self._hosts.branches))
        forced = [] if refused else await self._mirror.force_pushes(updates, objects)
        if not self._hosts.may_force:
            refused += [(each, _LOSS) for each in forced]
        for update, reason in refused:
            self._refuse(f"{escape(update.words)}: {reason}")
        if refused:
            lines = [f"clsecure: {escape(each.ref)}: {reason}" for each, reason in refused]
            raise Refused("\n".join(lines))
        return await self._pass_on(updates, forced, objects)

    def _refuse(self, words: str) -> None:
        name, port = self._mirror.name, self._mirror.port
        self._gateway.refuse(_WAY, self._host, port, f"{name}: {words}")

    async def _pass_on(
        self, updates: Sequence[Update], forced: Sequence[Update], objects: Mapping[str, str]
    ) -> str:
        mirror, journal, entries = self._mirror, self._gateway.journal, []
        for update in updates:
            words = f"{mirror.name}: {escape(update.words)}{' by force' * (update in forced)}"
            try:
                entry = self._gateway.admit(_WAY, self._host, mirror.port, RULE, words)
            except Denied as denied:
                raise Refused(f"clsecure: {denied}") from None
            entries.append(entry)
        ended = "cut short"
        try:
            said = await mirror.push(updates, forced, objects)
            ended = ""
        except Refused as refused:
            ended = first(str(refused))
            raise
        finally:
            for entry in entries:
                journal.close(entry, 0, 0, ended)
        for update in updates:
            journal.pushed(f"{mirror.name} {update.branch}")
        return said


def first(text: str) -> str:
    """Return the line of a refusal that says most: git's error, or else the first."""
    lines = text.splitlines() or [""]
    return next((line for line in lines if line.startswith(("fatal:", "remote: error"))), lines[0])
