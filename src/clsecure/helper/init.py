"""Pid 1 of the box, as root: builds it, runs commands one by one, and leaves nothing running."""

from __future__ import annotations

import errno
import os

from . import container
from . import syscalls as sc
from .attended import Aides, Attended
from .broker import Broker
from .descent import get_oom_score, set_oom_score
from .docker import PROGRAMS, Docker, listen
from .launch import Box
from .layout import INSIDE, Host
from .lean import signal, socket
from .mounts import Builder, Unsupported
from .network import Network
from .protocol import REQUESTS, UNSUPPORTED, Exec, Failed, Ready, Refusal, no_room
from .records import BadField
from .rootfs import Rootfs
from .wire import receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NEVER, _SOONER = -1000, 300  # proc_pid_oom_score_adj(5)
_IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP)


class Init:
    """The box's first process; `serve` returns when the helper is gone."""

    def __init__(
        self, box: Box, channel: socket.socket, enter: Callable[[], None] | None = None
    ) -> None:
        self._box, self._channel, self._enter = box, channel, enter
        self._network: Network | None = None  # to be kept: it holds what steers connections
        self._broker: Broker | None = None
        self._docker: Docker | None = None
        self._alarm, alarm = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)

    def build(
        self, host: Host, builder: Builder, programs: dict[str, bytes], files: dict[str, bytes]
    ) -> bool:
        """Make the box and say so; False, after having said why, if it cannot be made."""
        os.setsid()
        os.umask(0o022)
        _look_like_a_kernel()
        sc.set_death_signal(signal.SIGKILL)
        try:
            if os.getpid() != 1:  # else "every other process" would mean those of the host
                raise OSError(errno.EPERM, "not the first process of a pid namespace")
            if self._enter is not None:
                self._enter()
            if self._box.request.limits.memory:
                self._box = self._box.replace(oom_score=_spare_us())
            network = Network(self._box.request, self._box.host_net_namespace)
            builder.build(self._box.mounts, host, self._box.request.masks, files)
            _write_inside(programs)
            if self._box.subordinate:
                links = None if self._box.request.image else host.links
                Rootfs(self._box.subordinate).furnish(self._box.mounts, files, links)
                container.settle()
            builder.complete()
            self._add_aides(network, programs)
            builder.finish()
        except Unsupported as error:
            send(self._channel, Failed(message=UNSUPPORTED, hint=str(error), code=4))
            return False
        except Refusal as refusal:
            send(self._channel, refusal.answer)
            return False
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            failed = Failed(message=f"the box cannot be made: {error}", hint="", code=1)
            send(self._channel, no_room(error) if full else failed)
            return False
        # The kernel forgot it at each change of identity above. A helper that died in between is
        # seen by its channel, which is at its end then.
        sc.set_death_signal(signal.SIGKILL)
        self._hand_out(network, builder.warnings)
        return True

    def _add_aides(self, network: Network, programs: dict[str, bytes]) -> None:
        if self._box.request.docker == "podman":
            self._docker = Docker(self._box)
        elif self._box.request.docker == "host":
            network.sockets.append(("docker", listen()))
        if any(one.role == "gh" for one in self._box.request.listeners):
            # On the PATH under the name that everybody types; it hands its words to the door.
            if not os.path.isdir(PROGRAMS):
                os.mkdir(PROGRAMS, 0o755)
            content = b"#!/usr/bin/env python3\n" + programs["gh.py"]
            container.write(f"{PROGRAMS}/gh", content, mode=0o755)

    def _hand_out(self, network: Network, warnings: list[str]) -> None:
        handed = list(network.sockets)
        if self._box.request.broker:
            self._broker = Broker()
            handed.append(("broker", self._broker.other))
        ready = Ready(
            warnings=(*warnings, *network.warnings), sockets=tuple(role for role, _ in handed)
        )
        send(self._channel, ready, tuple(each.fileno() for _, each in handed))
        for _, each in handed:
            each.close()
        self._network = network

    def serve(self) -> None:
        """Run what the helper asks for, one command after the other."""
        while received := receive(self._channel, REQUESTS):
            request, descriptors = received
            if isinstance(request, Exec):
                aides = Aides(self._broker, self._docker)
                attended = Attended(self._box, self._channel, self._alarm, aides)
                attended.run(request, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


def _spare_us() -> int:
    # Else the kernel could end the box itself for what is in it. Returns the commands' score.
    before = get_oom_score()
    try:
        set_oom_score(_NEVER)
    except PermissionError:  # root without CAP_SYS_RESOURCE, as in some containers
        return min(before + _SOONER, -_NEVER)
    return before


def _look_like_a_kernel() -> None:
    # firejail takes a pid namespace without kernel threads for a sandbox of its own, and then runs
    # the program with none: it looks for one by its name in /proc/1..10/comm.
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("kthreadd")


def _write_inside(programs: dict[str, bytes]) -> None:
    os.makedirs(INSIDE, 0o755, exist_ok=True)
    for name, content in programs.items():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(f"{INSIDE}/{name}", flags, 0o644)
        os.fchmod(file, 0o644)
        os.write(file, content)
        os.close(file)


def main(
    init: Init, host: Host, builder: Builder, programs: dict[str, bytes], files: dict[str, bytes]
) -> None:
    """Run as pid 1 and never return."""
    code = 1
    try:
        if init.build(host, builder, programs, files):
            init.serve()
        code = 0
    except (BadField, OSError) as error:
        if not isinstance(error, OSError) or error.errno not in (errno.EPIPE, errno.ECONNRESET):
            os.write(2, f"clsecure: the box failed: {error}\n".encode())
    finally:
        os._exit(code)
