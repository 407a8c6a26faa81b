"""The present value of a credential: of a login that is renewed, of a command for new keys."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from clsecure.egress.api import keycommand
from clsecure.egress.api.routes import Credential
from clsecure.egress.api.substitution import Pair

_SHORTEST = 12  # of one that is looked for in answers: a shorter one may be a word in them


class Unavailable(Exception):
    """There is no such credential now; the text says what its human can do."""


class Current:
    """One credential as it is at the moment."""

    def __init__(self, credential: Credential) -> None:
        self.credential = credential
        self._value = credential.value.reveal() if credential.value else ""
        self._until = time.monotonic() + credential.seconds
        self._stamp: tuple[int, int] | None = None
        self._expires = 0.0
        self._asking = asyncio.Lock()

    async def pair(self) -> Pair:
        """Return the stand-in and what goes out for it; raises Unavailable."""
        if self.credential.login:
            self._read_login()
        elif self.credential.command:
            async with self._asking:
                if not self._value or time.monotonic() >= self._until:
                    await self._ask()
        return Pair(self.credential.stand_in.reveal(), self._value, self.credential.in_both)

    def forget(self) -> None:
        """Ask for a new one the next time: the API did not take this one."""
        self._until = 0.0
        self._stamp = None

    def secret(self) -> bytes:
        """Return what must not come into the box, empty where nothing must not."""
        value = self._value
        is_known = value == self.credential.stand_in.reveal()
        return b"" if is_known or len(value) < _SHORTEST else value.encode()

    def _read_login(self) -> None:
        path = self.credential.login
        if path is None:
            return
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_mtime_ns)
            if stamp != self._stamp:
                login = json.loads(path.read_bytes())["claudeAiOauth"]
                self._value, self._stamp = keycommand.checked(str(login["accessToken"])), stamp
                self._expires = float(login.get("expiresAt") or 0) / 1000
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise Unavailable("your Claude login is gone: start claude on the host") from None
        if 0 < self._expires < time.time():
            raise Unavailable(
                "your Claude login has expired: start claude once on the host, outside of the "
                "session, and go on here"
            )

    async def _ask(self) -> None:
        loop, command = asyncio.get_running_loop(), self.credential.command
        try:
            value = await loop.run_in_executor(None, keycommand.printed, command)
        except ValueError as error:
            if not self._value:
                raise Unavailable(f"{self.credential.name}: {error}") from None
        else:
            self._value = value
        self._until = time.monotonic() + self.credential.seconds


async def pairs(all_of: Sequence[Current]) -> list[Pair]:
    """Return the pairs of those credentials that there are; raises Unavailable if there is none."""
    found: list[Pair] = []
    reason: Unavailable | None = None
    for each in all_of:
        try:
            found.append(await each.pair())
        except Unavailable as error:
            reason = error
    if reason and not found:
        raise reason
    return found
