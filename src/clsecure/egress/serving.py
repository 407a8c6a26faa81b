"""The egress service's own process: accepts at every door, obeys the control channel."""

from __future__ import annotations

import asyncio
import html
import json
import os
import resource
import shutil
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from clsecure.egress import control, dns, publish, relay
from clsecure.egress.doors import Doors
from clsecure.egress.gateway import Gateway
from clsecure.egress.journal import Journal
from clsecure.egress.log import Log
from clsecure.egress.names import parse_host
from clsecure.egress.rules import Policy, parse_rule
from clsecure.egress.service import Settings
from clsecure.errors import UserError

if TYPE_CHECKING:
    from clsecure.egress.git.ghdoor import GhDoor
    from clsecure.egress.git.gitdoor import GitDoor

_MOST_CONNECTIONS = 2000
_DESCRIPTORS = 16384
_RESOLVERS = 32  # threads that wait for the system's resolver
_BUSY_SECONDS = 0.1
_NOTIFY_SECONDS = 5.0  # between two notifications: a program can try many hosts
_MOST_FAULTS = 20

Handler = Callable[[socket.socket], Awaitable[None]]


def serve(settings: Settings, sockets: Sequence[tuple[str, int]], channel: socket.socket) -> None:
    """Serve until `channel` is at its end. Takes the sockets over."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    asyncio.run(Serving(settings, sockets, socket.socket(fileno=channel.detach())).run())


class Serving:
    """One session's service."""

    def __init__(
        self, settings: Settings, sockets: Sequence[tuple[str, int]], channel: socket.socket
    ) -> None:
        self._settings, self._channel = settings, channel
        self._sockets = [(role, socket.socket(fileno=one)) for role, one in sockets]
        api = (parse_host(settings.api[0]), settings.api[1]) if settings.api else None
        self._policy = Policy(settings.level, [parse_rule(each) for each in settings.allow], api)
        doors = [(parse_host(each.host), each.port) for each in settings.routes]
        self._policy.by_door = frozenset(doors)
        log = Log(settings.directory)
        self._journal = Journal(log, settings.about, self._notify)
        self._gateway = Gateway(self._policy, self._journal)
        self._doors = Doors(self._gateway, dns.Names(lambda text: parse_host(text).name), api)
        self._doors.docker_socket, self._doors.routes = settings.docker, settings.routes
        self._git = self._git_door() if settings.git else None
        self._github: GhDoor | None = None
        self._broker: publish.Broker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[str] = []
        self._quiet_until = 0.0

    async def run(self) -> None:
        """Serve until the channel is at its end."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_RESOLVERS))
        for _, one in self._sockets:
            one.settimeout(0)
            relay.unpaced(one)
        handlers: dict[str, Handler] = {
            "proxy": self._doors.proxy,
            "transparent": self._doors.transparent,
            "resolver-tcp": self._doors.resolve_stream,
            "api": self._doors.api,
            "docker": self._doors.docker,
        }
        handlers |= {"git": self._git.serve, "gh": self._gh} if self._git else {}
        for role, one in self._sockets:
            if role == "broker":
                self._broker = publish.Broker(one)
        for role, one in self._sockets:
            port = publish.inner_port(role)
            if port is not None:
                self._publish(one, port)
            elif role == "resolver":
                loop.add_reader(one, self._resolve, one)
            elif role in handlers:
                self._spawn(self._accept(one, handlers[role]))
        self._open_control()
        try:
            await self._obey()
        finally:
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._close_git()

    async def _obey(self) -> None:
        self._channel.settimeout(0)
        while True:
            word = await asyncio.get_running_loop().sock_recv(self._channel, 64)
            if not word:
                return
            answer = {**self._journal.summary(), "faults": self._faults}
            self._channel.send(json.dumps(answer).encode())

    def _git_door(self) -> GitDoor | None:
        from clsecure.egress.git import gitdoor  # only where the agent may push

        hosts, project = self._settings.git, self._settings.about["project"]
        return gitdoor.GitDoor(self._gateway, hosts, project) if hosts else None

    async def _gh(self, inside: socket.socket) -> None:
        from clsecure.egress.git import ghdoor  # most sessions never do

        git = self._settings.git
        if git is None:
            relay.reset(inside)
            return
        self._github = self._github or ghdoor.GhDoor(self._gateway, git.github, git.branches)
        await self._github.serve(inside)

    def _close_git(self) -> None:
        if self._git:
            self._git.close()

    def _open_control(self) -> None:
        try:
            listening = control.listen(self._settings.directory, self._settings.control)
        except OSError as error:
            self._faults.append(f"`clsecure net` cannot reach it: {error.strerror}")
        else:
            self._spawn(control.serve(listening, self._act))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except OSError:
            return
        except Exception as error:  # noqa: BLE001 - one connection's defect must not end the others
            if len(self._faults) < _MOST_FAULTS:
                self._faults.append(f"{type(error).__name__}: {error}"[:200])

    async def _accept(self, listener: socket.socket, handler: Handler) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                inside, _ = await loop.sock_accept(listener)
            except OSError:  # no descriptor is free
                await asyncio.sleep(_BUSY_SECONDS)
                continue
            if len(self._tasks) >= _MOST_CONNECTIONS:
                relay.reset(inside)
                continue
            if inside.family != socket.AF_UNIX:
                inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._spawn(self._serve(inside, handler))

    @staticmethod
    async def _serve(inside: socket.socket, handler: Handler) -> None:
        try:
            await handler(inside)
        except BaseException:
            relay.reset(inside)
            raise

    def _resolve(self, resolver: socket.socket) -> None:
        with suppress(OSError):
            query, asker = resolver.recvfrom(65536)
            answer = self._doors.resolve(query)
            if answer is not None:
                resolver.sendto(answer, asker)

    def _publish(self, listening: socket.socket, port: int) -> None:
        broker, pipes = self._broker, self._gateway.pipes
        if broker is None:
            raise UserError("this box has no way for published ports")
        self._spawn(
            self._accept(listening, lambda outer: publish.serve_one(outer, broker, port, pipes))
        )

    def _act(self, request: Mapping[str, Any]) -> control.Answer:
        verb, host = request.get("do"), request.get("host")
        try:
            if verb == "describe":
                return {**self._settings.about, **self._journal.summary()}
            if verb == "publish":
                wanted = publish.parse(str(request.get("port")))
                self._publish(publish.listen(wanted), wanted.inner)
                where = f"{wanted.address}:{wanted.port}"
                return {"said": f"{where} leads to port {wanted.inner} of the box"}
            if verb in {"allow", "deny"} and isinstance(host, str):
                rule = parse_rule(host)
                (self._policy.allow if verb == "allow" else self._policy.deny)(rule)
                return {"said": f"{verb}: {rule.text}"}
        except UserError as error:
            return {"error": error.message, "hint": error.hint}
        return {"error": "unknown request"}

    def _notify(self, host: str, reason: str) -> None:
        program = shutil.which("notify-send")
        now = asyncio.get_running_loop().time()
        if not program or not _has_display() or now < self._quiet_until:
            return
        self._quiet_until = now + _NOTIFY_SECONDS
        # The body is read as markup; what stands behind "--" is never an option.
        text = html.escape(f"{host}: {reason}".encode("ascii", "backslashreplace").decode())
        argv = (program, "--app-name=clsecure", "--", "clsecure blocked a connection", text)
        actions = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
        with suppress(OSError):
            pid = os.posix_spawn(program, argv, os.environ, file_actions=actions)
            asyncio.get_running_loop().run_in_executor(None, os.waitpid, pid, 0)


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
