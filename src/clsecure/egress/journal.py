"""What the gateway decided and carried: to the log first, and added up for the session's end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from clsecure.egress.log import Log
from clsecure.egress.names import Host
from clsecure.egress.rules import Verdict

_MOST_HOSTS = 1000  # that are added up by name; the log has them all
_TOLD = 50  # of which a summary tells: it is to fit into one message


class Unlogged(Exception):
    """A decision could not be written down, so that it must be no; the text says why."""


class Entry(NamedTuple):
    """A connection that was let through; `close` is called with its bytes."""

    number: int
    host: str
    began: float


class Journal:
    """Writes decisions to the log and keeps the sums of one session."""

    def __init__(
        self, log: Log, about: Mapping[str, str], on_block: Callable[[str, str], None]
    ) -> None:
        """Write to `log`; `about` is in each record, `on_block` hears host and reason."""
        self._log, self._about, self._on_block = log, dict(about), on_block
        self._next = 1
        self._passed: dict[str, list[int]] = {}  # host to connections, sent, received
        self._blocked: dict[str, tuple[int, str]] = {}  # host to attempts, the last reason
        self._attempts = 0
        self._pushed: list[str] = []
        self.unlogged = 0

    def decide(
        self, way: str, host: Host | str, port: int, verdict: Verdict, address: str = ""
    ) -> Entry:
        """Write a decision down; raises Unlogged for one that was yes and cannot be written."""
        number, self._next = self._next, self._next + 1
        name = str(host)
        record: dict[str, str | int | float] = {
            "event": "open",
            "id": number,
            "way": way,
            "host": name,
            "port": port,
            "address": address,
            "verdict": "allow" if verdict.allowed else "deny",
            "rule": verdict.rule,
            "reason": verdict.reason,
        }
        if not verdict.allowed:
            self._block(f"{name}:{port}", verdict.reason)
        self._write(record, needed=verdict.allowed)
        if verdict.allowed:
            self._sums(f"{name}:{port}")[0] += 1
        return Entry(number, f"{name}:{port}", time.monotonic())

    def close(self, entry: Entry, sent: int, received: int, reason: str = "") -> None:
        """Write down how a connection ended; bytes as the box sent and received them."""
        sums = self._sums(entry.host)
        sums[1] += sent
        sums[2] += received
        record: dict[str, str | int | float] = {
            "event": "close",
            "id": entry.number,
            "host": entry.host,
            "sent": sent,
            "received": received,
            "seconds": round(time.monotonic() - entry.began, 3),
            "reason": reason,
        }
        self._write(record, needed=False)

    def pushed(self, what: str) -> None:
        """Remember a branch that the box pushed, for the end."""
        if what not in self._pushed:
            self._pushed.append(what)

    def summary(self) -> dict[str, object]:
        """Return the sums so far, as JSON: the hosts with most bytes, and the last blocked ones."""
        largest = sorted(self._passed.items(), key=lambda each: -(each[1][1] + each[1][2]))
        last = list(self._blocked.items())[-_TOLD:]
        return {
            "passed": {
                host: {"connections": sums[0], "sent": sums[1], "received": sums[2]}
                for host, sums in largest[:_TOLD]
            },
            "blocked": {
                host: {"attempts": attempts, "reason": reason} for host, (attempts, reason) in last
            },
            "hosts_passed": len(self._passed),
            "hosts_blocked": len(self._blocked),
            "attempts_blocked": self._attempts,
            "unlogged": self.unlogged,
            "pushed": self._pushed[:_TOLD],
        }

    def _write(self, record: Mapping[str, str | int | float], *, needed: bool) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        whole = {"time": f"{stamp}.{int(now % 1 * 1000):03}Z", **self._about, **record}
        try:
            self._log.append(whole)
        except OSError as error:
            self.unlogged += 1
            if needed:
                raise Unlogged(error.strerror or str(error)) from None

    def _block(self, host: str, reason: str) -> None:
        self._attempts += 1
        attempts = self._blocked.pop(host, (0, ""))[0]
        if len(self._blocked) >= _MOST_HOSTS:
            self._blocked.pop(next(iter(self._blocked)))
        self._blocked[host] = (attempts + 1, reason)
        if not attempts:
            self._on_block(host, reason)

    def _sums(self, host: str) -> list[int]:
        if host not in self._passed and len(self._passed) >= _MOST_HOSTS:
            host = "others"
        return self._passed.setdefault(host, [0, 0, 0])
