"""Relay bytes and signals between our standard streams and a command in the box, without a tty."""

from __future__ import annotations

import os
import select
import signal
import stat
import time

from clsecure.terminal.base import READ_SIZE, Exited, Outlet, Peer, Signals, wait

GRACE_SECONDS = 5.0  # for the command to end by itself after SIGTERM or SIGHUP
_DRAIN_SECONDS = 2.0  # without a byte, after the command's end: nobody is left who could write
_BROKEN_PIPE = 128 + signal.SIGPIPE
_FORWARDED = {signal.SIGINT: "INT", signal.SIGTERM: "TERM", signal.SIGHUP: "HUP"}


def relay_pipes(stdin_write: int | None, stdout_read: int, stderr_read: int, peer: Peer) -> int:
    """Copy until the command has ended and both its outputs are at their end; its exit code.

    Takes over the three descriptors and closes them. SIGINT is passed on each time it comes;
    SIGTERM and SIGHUP are passed on, then SystemExit(128+n) is raised when the command has ended,
    or after GRACE_SECONDS. When our standard output is closed by its reader the command gets
    SIGTERM and the code is 141, as for a program that SIGPIPE ended. Raises UserError when the
    helper is gone.
    """
    with Signals(*_FORWARDED) as signals:
        return _PipeRelay(stdin_write, stdout_read, stderr_read, peer, signals).run()


class _Output:
    """One output of the command on its way to ours."""

    def __init__(self, source: int, target: int) -> None:
        self.source: int | None = source
        self.outlet = Outlet(target, piece=_piece(target), limit=4 * READ_SIZE)
        self.broken = False

    @property
    def ended(self) -> bool:
        return self.source is None and self.outlet.empty

    def read(self) -> bool:
        """Take what is there; False when there was only the end."""
        if self.source is None:
            return False
        data = os.read(self.source, READ_SIZE)
        if data:
            self.outlet.add(data)
            return True
        self.close()
        return False

    def write(self) -> None:
        try:
            self.outlet.write_while_ready()
        except OSError:  # the reader has gone; so the command's next write fails too
            self.broken = True
            self.outlet.discard()
            self.close()

    def close(self) -> None:
        if self.source is not None:
            os.close(self.source)
            self.source = None


class _PipeRelay:
    def __init__(
        self,
        stdin_write: int | None,
        stdout_read: int,
        stderr_read: int,
        peer: Peer,
        signals: Signals,
    ) -> None:
        self._peer = peer
        self._signals = signals
        self._input: Outlet | None = None
        if stdin_write is not None:
            os.set_blocking(stdin_write, False)
            self._input = Outlet(stdin_write)
        self._input_ended = False
        self._outputs = (_Output(stdout_read, 1), _Output(stderr_read, 2))
        self._exited: Exited | None = None
        self._end_by: int | None = None
        self._deadline: float | None = None

    def run(self) -> int:
        try:
            while not self._finished():
                self._step()
        finally:
            self._close_input()
            for output in self._outputs:
                output.close()
        if self._end_by is not None:
            raise SystemExit(128 + self._end_by)
        if self._outputs[0].broken:
            return _BROKEN_PIPE
        return self._exited.code if self._exited else 1

    def _finished(self) -> bool:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return True
        return self._exited is not None and all(output.ended for output in self._outputs)

    def _step(self) -> None:
        reading = [self._signals.fileno()]
        if self._exited is None:
            reading.append(self._peer.fileno())
        if self._input is not None and not self._input_ended and self._input.has_room:
            reading.append(0)
        reading += [o.source for o in self._outputs if o.source is not None and o.outlet.has_room]
        writing = [o.outlet.descriptor for o in self._outputs if not o.outlet.empty]
        if self._input is not None and not self._input.empty:
            writing.append(self._input.descriptor)
        seconds = None if self._deadline is None else self._deadline - time.monotonic()
        ready = wait(reading, writing, seconds)
        self._take_signals()
        self._move_outputs(ready)
        self._move_input(ready)
        if self._exited is None and self._peer.fileno() in ready:
            self._take_event()

    def _take_signals(self) -> None:
        for number in self._signals.take():
            if self._exited is None:
                self._peer.send_signal(_FORWARDED[signal.Signals(number)])
            if number != signal.SIGINT and self._end_by is None:
                self._end_by = number
                self._deadline = time.monotonic() + GRACE_SECONDS

    def _take_event(self) -> None:
        self._exited = self._peer.next_event()
        if self._exited is not None:
            self._close_input()
            if self._deadline is None:
                self._deadline = time.monotonic() + _DRAIN_SECONDS

    def _move_outputs(self, ready: dict[int, int]) -> None:
        for output in self._outputs:
            if output.source in ready and output.read() and self._exited and not self._end_by:
                self._deadline = time.monotonic() + _DRAIN_SECONDS
            if not output.outlet.empty and output.outlet.descriptor in ready:
                output.write()
                if self._exited and not self._end_by:
                    self._deadline = time.monotonic() + _DRAIN_SECONDS
                if output.broken and output is self._outputs[0] and self._exited is None:
                    self._peer.send_signal("TERM")

    def _move_input(self, ready: dict[int, int]) -> None:
        if self._input is None:
            return
        if 0 in ready and not self._input_ended:
            try:
                data = os.read(0, READ_SIZE)
            except OSError:
                data = b""
            self._input.add(data)
            self._input_ended = not data
        if not self._input.empty and ready.get(self._input.descriptor, 0) & ~select.POLLIN:
            try:
                self._input.write()
            except OSError:  # the command has closed its input
                self._close_input()
                return
        if self._input_ended and self._input.empty:
            self._close_input()

    def _close_input(self) -> None:
        if self._input is not None:
            os.close(self._input.descriptor)
            self._input = None


def _piece(descriptor: int) -> int:
    """How much a descriptor that poll calls ready takes without blocking.

    Ours are shared with whoever started us, so O_NONBLOCK must not be set on them. A pipe with a
    free slot takes PIPE_BUF bytes (pipe(7)); a file takes anything.
    """
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        regular = False
    return READ_SIZE if regular else select.PIPE_BUF
