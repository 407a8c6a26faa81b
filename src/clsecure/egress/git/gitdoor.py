"""The box's door for git: git's own protocol, spoken for the project's own remotes alone.

A connection begins with one line that names a program and a remote (gitprotocol-pack(5), "Git
Transport"). git itself answers, on a mirror of that remote; see `gitmirror`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import socket
from pathlib import Path

from clsecure.egress import relay
from clsecure.egress.gateway import Gateway, Passage
from clsecure.egress.git import gitprogram, gitpush
from clsecure.egress.git.githosts import PORT, RULE, WAYS, GitHosts
from clsecure.egress.git.gitmirror import Mirror, Refused
from clsecure.egress.inspection import HEAD_SECONDS
from clsecure.egress.journal import Entry
from clsecure.egress.names import Host
from clsecure.egress.refusals import Denied, last_words
from clsecure.output import escape

_REQUEST = re.compile(rb"(git-upload-pack|git-receive-pack) /([^\0]{1,200})\0.*", re.DOTALL)
_LONGEST = 2000  # bytes of the first line
_AT_ONCE = 4
_LAST_SECONDS = 5.0  # for the box to close, once git has ended


class GitDoor:
    """Answers in one box."""

    def __init__(self, gateway: Gateway, hosts: GitHosts, project: str) -> None:
        self._gateway, self._hosts = gateway, hosts
        self._mirrors = {
            name: Mirror(hosts, name, address, project) for name, address in hosts.remotes
        }
        self._busy = 0
        self._lock = -1

    async def serve(self, inside: socket.socket) -> None:
        """Serve one connection."""
        name = ""
        try:
            service, name = await self._asked(inside)
            mirror = self._found(name)
        except Refused as refused:
            self._gateway.refuse("git", escape(name), PORT, str(refused))
            await _say(inside, f"clsecure: {refused}")
            return
        self._busy += 1
        try:
            await self._speak(inside, mirror, service)
        finally:
            self._busy -= 1

    async def _asked(self, inside: socket.socket) -> tuple[str, str]:
        """Read what a connection begins with: the program and the remote. Raises Refused."""
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                length = int(await _exactly(inside, 4), 16) - 4
                line = await _exactly(inside, length) if 0 < length <= _LONGEST else b""
        except ValueError:
            line = b""
        except TimeoutError:
            raise Refused("no request came in time") from None
        found = _REQUEST.fullmatch(line)
        if found is None:
            raise Refused("this door speaks git's own protocol only")
        return found[1].decode("ascii"), os.fsdecode(found[2])

    def _found(self, name: str) -> Mirror:
        """Return the mirror of a remote, with a place for it. Raises Refused."""
        if name not in self._mirrors:
            raise Refused(f"not a remote of this project; there is {', '.join(self._mirrors)}")
        if self._busy >= _AT_ONCE:
            raise Refused(f"{_AT_ONCE} connections of git are under way")
        try:
            self._make_directory()
        except OSError as error:
            raise Refused(f"no place to keep it: {error.strerror}") from None
        return self._mirrors[name]

    async def _speak(self, inside: socket.socket, mirror: Mirror, service: str) -> None:
        way, host = WAYS[service], Host(name=mirror.host)
        try:
            entry = self._gateway.admit(way, host, mirror.port, RULE, mirror.name)
        except Denied as denied:
            await _say(inside, f"clsecure: {denied}")
            return
        try:
            await mirror.refresh(may_grow=service == "git-receive-pack")
        except Refused as refused:
            self._gateway.journal.close(entry, 0, 0, gitpush.first(str(refused)))
            await _say(inside, str(refused))
            return
        await self._run(inside, mirror, service, entry)

    async def _run(self, inside: socket.socket, mirror: Mirror, service: str, entry: Entry) -> None:
        ours, theirs = socket.socketpair()
        asked, asks = socket.socketpair()
        with theirs, asks, asked:
            for one in (ours, asked):
                one.settimeout(0)
            words, env = mirror.command(service, asks.fileno())
            process = await gitprogram.serve(words, theirs.fileno(), env, asks.fileno())
            theirs.close()
            asks.close()
            passage = Passage(Host(name=mirror.host), mirror.port, ours, entry)
            carrying = asyncio.ensure_future(self._gateway.carry(inside, passage, inspect=False))
            pushing = gitpush.Pushing(self._gateway, self._hosts, mirror)
            answering = asyncio.ensure_future(pushing.answer(asked))
            try:
                await process.wait()
                await asyncio.wait((carrying,), timeout=_LAST_SECONDS)
            finally:
                gitprogram.kill(process)
                for task in (carrying, answering):
                    task.cancel()
                await asyncio.gather(carrying, answering, return_exceptions=True)

    def _make_directory(self) -> None:
        """Make the place of the mirrors; those of sessions that were killed are removed."""
        if self._lock >= 0:
            return
        top = self._hosts.directory
        top.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        making = _locked(top.parent, wait=True)
        try:
            for other in top.parent.iterdir():
                if (lock := _locked(other)) >= 0:
                    shutil.rmtree(other, ignore_errors=True)
                    os.close(lock)
            top.mkdir(mode=0o700)
            self._lock = _locked(top)
        finally:
            os.close(making)

    def close(self) -> None:
        """Remove the mirrors."""
        if self._lock >= 0:
            shutil.rmtree(self._hosts.directory, ignore_errors=True)


def _locked(directory: Path, *, wait: bool = False) -> int:
    """Return a descriptor that holds the lock of a directory; -1 where another process does."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor


async def _exactly(source: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        more = await asyncio.get_running_loop().sock_recv(source, length - len(found))
        if not more:
            raise ValueError("cut short")
        found += more
    return found


async def _say(inside: socket.socket, text: str) -> None:
    """Tell git in the box why it gets nothing: an ERR packet, gitprotocol-pack(5)."""
    said = b"ERR " + text.encode("utf-8", "backslashreplace")[:4000]
    try:
        await last_words(inside, b"%04x" % (len(said) + 4) + said)
    except OSError:
        relay.reset(inside)
    finally:
        inside.close()
