"""Pid 1 of the box, as root: builds it, runs one command after the other, and leaves nothing running."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import struct
import time

from . import syscalls as sc
from .launch import Box, Launch
from .layout import INSIDE, Host
from .mounts import Builder, Unsupported
from .protocol import (
    REQUESTS,
    Checked,
    Exec,
    Exited,
    Failed,
    Ready,
    Refusal,
    Signal,
    Started,
    receive,
    send,
)
from .records import BadField

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .protocol import Listener

_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41
_SIGNALS = {"INT": 2, "QUIT": 3, "TERM": 15, "HUP": 1, "CONT": 18}
_IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP)
_KILL, _TERMINATE, _CONTINUE = 9, 15, 18
_GRACE = 2.0  # seconds from asking a command which is over its time to end, to ending it
# Answers that mean "build it another way", not "you may not".
UNSUPPORTED = "this tree cannot be shown copy-on-write"


class Init:
    """The box's first process; `serve` returns when the helper is gone."""

    def __init__(self, box: Box, channel: socket.socket) -> None:
        self._box, self._channel = box, channel
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
        sc.set_death_signal(_KILL)
        try:
            if self._box.request.network != "open":
                _raise_loopback()
            builder.build(self._box.mounts, host, self._box.request.masks)
            _write_inside(programs)
            builder.cover(files)
            listeners = [_listen(one) for one in self._box.request.listeners]
            builder.finish()
        except Unsupported as error:
            send(self._channel, Failed(message=UNSUPPORTED, hint=str(error), code=4))
            return False
        except Refusal as refusal:
            send(self._channel, refusal.answer)
            return False
        except OSError as error:
            send(self._channel, Failed(message=f"the box cannot be made: {error}", hint="", code=1))
            return False
        # The kernel forgot it at each change of identity above. A helper that died in between is seen
        # by its channel, which is at its end then.
        sc.set_death_signal(_KILL)
        send(self._channel, Ready(), tuple(one.fileno() for one in listeners))
        for one in listeners:
            one.close()
        return True

    def serve(self) -> None:
        """Run what the helper asks for, one command after the other."""
        while received := receive(self._channel, REQUESTS):
            request, descriptors = received
            if isinstance(request, Exec):
                _Run(self._box, self._channel, self._alarm).run(request, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


class _Run:
    """One command from its start to the end of the last process that it left behind."""

    def __init__(self, box: Box, channel: socket.socket, alarm: int) -> None:
        self._box, self._channel, self._alarm = box, channel, alarm
        self._checked = self._timed_out = False
        self._faults: list[str] = []
        self._deadline = 0.0

    def run(self, command: Exec, descriptors: list[int]) -> None:
        """Start it, attend to it, and answer with its end."""
        try:
            launch = Launch(self._box, command, tuple(descriptors))
        except OSError as error:
            send(
                self._channel,
                Failed(message=f"no command can be started: {error}", hint="", code=1),
            )
            return
        master = () if launch.terminal is None else (launch.terminal.master,)
        send(self._channel, Started(terminal=bool(master)), master)
        for descriptor in (*master, *descriptors):
            os.close(descriptor)
        descriptors.clear()
        self._deadline = time.monotonic() + command.timeout if command.timeout else 0.0
        code = self._attend(launch)
        launch.close()
        _end_all()
        self._answer(code)

    def _attend(self, launch: Launch) -> int:
        channel = self._channel.fileno()
        while True:
            sources = [self._alarm, channel, launch.waiting]
            poll = select.poll()
            for source in sources:
                if source >= 0:
                    poll.register(source, select.POLLIN)
            ready = [descriptor for descriptor, _ in poll.poll(self._wait())]
            if launch.waiting in ready:
                code = self._hear(launch)
                if code is not None:
                    return code
            if channel in ready:
                self._take_signal(launch)
            _drain(self._alarm)
            self._watch_time()
            for pid, status in _reap():
                if pid == launch.pid:
                    return os.waitstatus_to_exitcode(status)

    def _hear(self, launch: Launch) -> int | None:
        # First the gate's connection, then its findings, then the command's exit code.
        try:
            if launch.gate is None:
                launch.connect()
                return None
            said = launch.read()
            if said is None:
                launch.gate.close()
                launch.gate = None
            elif self._checked:
                return int(str(said))
            else:
                self._judge(launch, said)
        except (OSError, ValueError) as error:
            self._judge(launch, [f"the check from inside cannot be read ({error})"])
        return None

    def _judge(self, launch: Launch, said: object) -> None:
        self._faults = [str(fault) for fault in said] if isinstance(said, list) else ["no findings"]
        self._checked = True
        if self._faults:
            _signal_all(_KILL)
            return
        send(self._channel, Checked())
        launch.acknowledge()

    def _take_signal(self, launch: Launch) -> None:
        received = receive(self._channel, REQUESTS)
        if received is None:
            os._exit(0)  # the helper is gone: and with its init, the kernel ends the box
        request, _ = received
        if isinstance(request, Signal) and request.name in _SIGNALS:
            number = _SIGNALS[request.name]
            if number == _CONTINUE:
                _signal_all(number)
            elif self._checked:
                launch.signal(number)
            else:
                _signal_all(_KILL)

    def _wait(self) -> int | None:
        return (
            max(0, int((self._deadline - time.monotonic()) * 1000) + 1) if self._deadline else None
        )

    def _watch_time(self) -> None:
        if self._deadline and time.monotonic() >= self._deadline:
            _signal_all(_KILL if self._timed_out else _TERMINATE)
            self._timed_out = True
            self._deadline = time.monotonic() + _GRACE

    def _answer(self, code: int) -> None:
        engine = self._box.request.engine
        if self._faults:
            said = "; ".join(self._faults)
            answer = Failed(
                message=f"the box is not as planned, so nothing was run in it: {said}",
                hint="clsecure doctor says what this host lacks",
                code=3,
            )
            send(self._channel, answer)
        elif not self._checked:
            answer = Failed(
                message=f"the command was not started: {engine} ended with {code} before the check",
                hint="clsecure doctor says what this host lacks",
                code=4,
            )
            send(self._channel, answer)
        else:
            send(
                self._channel,
                Exited(code=code if code >= 0 else 128 - code, timed_out=self._timed_out),
            )


def _look_like_a_kernel() -> None:
    # firejail takes a pid namespace without kernel threads for a sandbox of its own, and then runs the
    # program with none: it looks for one by its name in /proc/1..10/comm.
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("kthreadd")


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


def _listen(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((listener.address, listener.port))
    listening.listen(256)
    return listening


def _write_inside(programs: dict[str, bytes]) -> None:
    os.makedirs(INSIDE, 0o755, exist_ok=True)
    for name, content in programs.items():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(f"{INSIDE}/{name}", flags, 0o644)
        os.fchmod(file, 0o644)
        os.write(file, content)
        os.close(file)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _signal_all(number: int) -> None:
    # From pid 1, -1 means every other process of the box, in nested namespaces too.
    _signal(-1, number)


def _end_all() -> None:
    while True:
        try:
            os.kill(-1, _KILL)
        except ProcessLookupError:
            return
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.001)  # dying, and not ours to reap yet


def _reap() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def _drain(pipe: int) -> None:
    try:
        while os.read(pipe, 512):
            pass
    except BlockingIOError:
        pass


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
