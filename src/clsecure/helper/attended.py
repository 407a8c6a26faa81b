"""One command in the box, attended from its start to the end of the last process it left behind."""

from __future__ import annotations

import os
import select
import time

from .broker import Broker
from .docker import Docker
from .launch import Box, Launch
from .lean import socket
from .protocol import REQUESTS, Checked, Exec, Exited, Failed, Signal, Started
from .wire import receive, send

_SIGNALS = {"INT": 2, "QUIT": 3, "TERM": 15, "HUP": 1, "CONT": 18}
_KILL, _TERMINATE, _CONTINUE = 9, 15, 18
_UNREADABLE = 255
_GRACE = 2.0  # seconds from asking a command which is over its time to end, to ending it


class Aides:
    """What works for the box while a command runs, where it is there."""

    def __init__(self, broker: Broker | None, docker: Docker | None) -> None:
        self.broker, self.docker = broker, docker


class Attended:
    """Starts one command for init, listens to its gate, passes signals, keeps its time."""

    def __init__(self, box: Box, channel: socket.socket, alarm: int, aides: Aides) -> None:
        self._box, self._channel, self._alarm = box, channel, alarm
        self._broker, self._docker = aides.broker, aides.docker
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
        if self._docker:
            self._docker.rest()
        self._answer(code)

    def _attend(self, launch: Launch) -> int:
        channel = self._channel.fileno()
        while True:
            ready = self._poll(launch)
            if launch.waiting in ready:
                code = self._hear(launch)
                if code is not None:
                    return code
            if channel in ready:
                self._take_signal(launch)
            _drain(self._alarm)
            self._watch_time()
            if self._docker and self._docker.waiting in ready:
                self._docker.start()
            for pid, status in _reap():
                if self._docker:
                    self._docker.has_ended(pid)
                if pid == launch.pid:
                    return os.waitstatus_to_exitcode(status)

    def _poll(self, launch: Launch) -> list[int]:
        """Wait for something to happen, of which the broker sees to its own part."""
        poll = select.poll()
        docker = self._docker.waiting if self._docker and self._checked else -1
        for source in (self._alarm, self._channel.fileno(), launch.waiting, docker):
            if source >= 0:
                poll.register(source, select.POLLIN)
        asked, wanted = self._broker.waits_for() if self._broker else (-1, 0)
        if asked >= 0:
            poll.register(asked, wanted)
        ready = dict(poll.poll(self._wait()))
        if self._broker:
            self._broker.step(ready.get(asked, 0))
        return list(ready)

    def _hear(self, launch: Launch) -> int | None:
        # First the gate's connection, then its findings, then the command's exit code.
        try:
            if launch.gate is None:
                launch.connect()
                return None
            said = launch.read()
            if not said:
                launch.gate.close()
                launch.gate = None
            elif self._checked:
                return _exit_code(said[0])
            else:
                self._judge(launch, said)
        except (OSError, ValueError) as error:
            if self._checked:
                return _UNREADABLE
            self._judge(launch, ["1", f"the check from inside cannot be read ({error})"])
        return None

    def _judge(self, launch: Launch, said: list[str]) -> None:
        self._faults = said[1:] if said[0] != "0" else []
        if said[0] != str(len(self._faults)):
            self._faults.append("the check from inside contradicts itself")
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
        ends = [self._deadline - time.monotonic()] if self._deadline else []
        if self._broker and self._broker.remaining() is not None:
            ends.append(self._broker.remaining() or 0.0)
        return max(0, int(min(ends) * 1000) + 1) if ends else None

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


def _exit_code(said: str) -> int:
    # The command is of the gate's user, so it can have the gate say anything.
    code = int(said) if said.isascii() and said.isdigit() and len(said) < 4 else _UNREADABLE  # noqa: PLR2004 - 0 to 255 have three digits
    return min(code, _UNREADABLE)


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
