"""The egress service: a process of the human's beside each box, which serves the box's doors.

It holds the listening sockets that root made in the box, decides, dials and logs outside, and ends
with the clsecure that started it. When it dies the doors are closed: the box then reaches nothing.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clsecure import child
from clsecure.choices import Network
from clsecure.egress.api.routes import Route
from clsecure.helper.lean import socket

if TYPE_CHECKING:
    from clsecure.egress.git.githosts import GitHosts

_START_SECONDS = 0.5  # after which the agent has most likely started
_END_SECONDS = 2.0
_ANSWER_SECONDS = 3.0
_MAX_SUMMARY = 1 << 20
_ALLOCATIONS = (700, 10, 10)  # before garbage is looked for, as CPython has it


class Settings(NamedTuple):
    """What a session's gateway is told.

    `api` is the agent's API, where requests to it are carried as they are. `about` is in each
    record of the log. `control` is the name of the control socket in `directory`, which also has
    the log.
    """

    level: Network
    allow: tuple[str, ...]
    api: tuple[str, int] | None
    directory: Path
    control: str
    about: Mapping[str, str]
    docker: str = ""  # the socket of the host's docker, where it is lent to the session
    routes: tuple[Route, ...] = ()  # of the API's door: then no other way leads to these APIs
    git: GitHosts | None = None  # the project's remotes, where the agent may push


class Service:
    """The running process."""

    def __init__(self, pid: int, channel: socket.socket, control: Path) -> None:
        self.pid, self._channel, self._control = pid, channel, control

    def summary(self) -> dict[str, object] | None:
        """Return what passed and what was blocked so far; None where the service is gone."""
        import json  # not before a session's end

        try:
            self._channel.settimeout(_ANSWER_SECONDS)
            self._channel.send(b"summary")
            document = json.loads(self._channel.recv(_MAX_SUMMARY))
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def close(self) -> None:
        """End the process and every connection; it is gone when this returns."""
        if self.pid:
            self._channel.close()
            pid, self.pid = self.pid, 0
            child.reap(pid, seconds=_END_SECONDS)
            with suppress(OSError):
                self._control.unlink()


def start(settings: Settings, sockets: Sequence[tuple[str, int]]) -> Service:
    """Serve the doors in `sockets` (role, descriptor) in a child process.

    The descriptors stay open here and may be closed at once. To be called in the main thread: the
    parent-death signal is sent when the thread that forked ends.
    """
    parent, descriptors = os.getpid(), tuple(descriptor for _, descriptor in sockets)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def main() -> None:
        child.die_with_parent(parent)
        gc.set_threshold(*_ALLOCATIONS)  # a start's is for a moment, and this goes on for hours
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the agent
        _let_the_agent_start((theirs.fileno(), *descriptors))
        from clsecure.egress import serving  # with asyncio: 50 ms

        serving.serve(settings, sockets, theirs)

    pid = child.fork(main, keep=(theirs.fileno(), *descriptors))
    theirs.close()
    return Service(pid, ours, settings.directory / f"{settings.control}.sock")


def _let_the_agent_start(sources: tuple[int, ...]) -> None:
    # Loading asyncio takes a processor's time, which the agent's start has more use for.
    poll = select.poll()
    for source in sources:
        poll.register(source, select.POLLIN)
    poll.poll(_START_SECONDS * 1000)
