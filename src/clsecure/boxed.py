"""An open box, seen from outside: run commands in it, ask what has changed."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Mapping, Sequence

from clsecure import terminal
from clsecure.errors import UserError
from clsecure.helper.protocol import (
    Changed,
    Changes,
    Checked,
    Exec,
    Exited,
    Note,
    Noted,
    Reached,
    Session,
    Signal,
    Started,
)
from clsecure.helper.wire import memory_file
from clsecure.output import escape
from clsecure.privileged import Helper

_MAX_ERRORS = 1 << 20
_LIMIT = 1 << 30  # of a list of changed paths, in bytes
_TIMED_OUT = 124  # timeout(1)
_PIECE = 65536  # bytes read at once; also the longest line that is shown in one piece


class BoxedCommand:
    """A command under way in the box, for the relay of the human's terminal."""

    def __init__(self, helper: Helper, timeout: int = 0) -> None:
        self._helper, self._timeout = helper, timeout
        self.reached: tuple[Reached, ...] = ()

    def fileno(self) -> int:
        """Return a descriptor that is readable when an event is pending."""
        return self._helper.channel.fileno()

    def next_event(self) -> terminal.Exited | None:
        """Take the pending event; None when it is not for the relay. Raises UserError."""
        message, _ = self._helper.receive()
        if isinstance(message, Exited):
            self.reached = message.reached
            if message.timed_out and self._timeout:
                self.reached += (Reached(limit="time", value=self._timeout),)
            return terminal.Exited(code=message.code, timed_out=message.timed_out)
        return None

    def send_signal(self, name: str) -> None:
        """Send a signal to the command's processes."""
        self._helper.send(Signal(name=name))


class Listener:
    """Reads what a command says until it ends, and shows it in whole lines."""

    def __init__(self, peer: BoxedCommand, source: int, show: Callable[[str], None]) -> None:
        self._peer, self._source, self._show = peer, source, show
        self._line = b""
        self._open = True

    def run(self) -> terminal.Exited:
        """Return the command's end, after which no process is left that could say more."""
        ended, interrupted = None, False
        while ended is None or self._open:
            try:
                ended = self._step(ended)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                self._peer.send_signal("INT")
        if self._line:
            self._show(os.fsdecode(self._line))
        return ended

    def _step(self, ended: terminal.Exited | None) -> terminal.Exited | None:
        poll = select.poll()
        if self._open:
            poll.register(self._source, select.POLLIN)
        if ended is None:
            poll.register(self._peer, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll()]
        if self._source in ready:
            self._read()
        return self._peer.next_event() if self._peer.fileno() in ready else ended

    def _read(self) -> None:
        data = os.read(self._source, _PIECE)
        self._open = bool(data)
        lines, newline, rest = (self._line + data).rpartition(b"\n")
        self._line = rest
        if newline:
            self._show(os.fsdecode(lines))
        if len(self._line) > _PIECE:
            self._show(os.fsdecode(self._line))
            self._line = b""


class Box:
    """The box of one session; it lasts as long as its helper."""

    def __init__(self, helper: Helper, session: Session, environment: Mapping[str, str]) -> None:
        self.helper, self.session = helper, session
        self.reached: list[Reached] = []  # limits, by what has been run so far
        self._environment = environment

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        variables: Mapping[str, str] | None = None,
        timeout: int = 0,
        rooted: bool = False,
    ) -> int:
        """Run a command for the human to see, and return its exit code.

        On the human's terminal it gets one of its own in the box; else three pipes. `timeout` is in
        seconds, 0 for none; the code is 124 when it was ended then, as timeout(1) has it. With
        `rooted` it is root of the container. Raises UserError when the box is not as planned, or
        the helper is gone.
        """
        on_terminal = terminal.has_terminal()
        rows, columns = terminal.terminal_size() if on_terminal else (0, 0)
        request = Exec(
            argv=tuple(argv),
            environment=self._words(variables or {}),
            cwd=cwd,
            rows=rows,
            columns=columns,
            timeout=timeout,
            rooted=rooted,
        )
        peer = BoxedCommand(self.helper, timeout)
        code = (self._run_on_terminal if on_terminal else self._run_piped)(request, peer)
        self.reached += peer.reached
        return _TIMED_OUT if any(one.limit == "time" for one in peer.reached) else code

    def _run_on_terminal(self, request: Exec, peer: BoxedCommand) -> int:
        _, (master,) = self.helper.ask(request, Started)
        try:
            from clsecure.terminal.interactive import relay_terminal  # the box starts it meanwhile

            self._await_check(master)
            return relay_terminal(master, peer)
        finally:
            os.close(master)

    def _await_check(self, source: int) -> None:
        """Wait until the box has been found as planned; `source` is where an engine complains.

        Until then nothing is relayed, so Ctrl-C is clsecure's own and ends the session.
        """
        try:
            message = None
            while not isinstance(message, Checked):
                message, _ = self.helper.receive()
        except UserError as error:
            said = _last_line(source)
            if not said:
                raise
            raise UserError(f"{error.message}: {said}", hint=error.hint, code=error.code) from None

    def _run_piped(self, request: Exec, peer: BoxedCommand) -> int:
        stdin, stdout, stderr = (os.pipe2(os.O_CLOEXEC) for _ in range(3))
        theirs = (stdin[0], stdout[1], stderr[1])
        try:
            try:
                self.helper.ask(request, Started, theirs)
            finally:
                for one in theirs:
                    os.close(one)
            from clsecure.terminal.pipes import relay_pipes

            self._await_check(stderr[0])
        except BaseException:
            for one in (stdin[1], stdout[0], stderr[0]):
                os.close(one)
            raise
        return relay_pipes(stdin[1], stdout[0], stderr[0], peer)

    def run_shown(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        variables: Mapping[str, str],
        show: Callable[[str], None],
        timeout: int = 0,
        rooted: bool = False,
    ) -> terminal.Exited:
        """Run a command without input, and hand what it says to `show`, some lines at a time.

        `timeout` is in seconds, 0 for none. Ctrl-C ends the command, a second one everything.
        Raises UserError as `run` does.
        """
        request = Exec(
            argv=tuple(argv),
            environment=self._words(variables),
            cwd=cwd,
            timeout=timeout,
            rooted=rooted,
        )
        said, says = os.pipe2(os.O_CLOEXEC)
        with open("/dev/null", "rb") as null, os.fdopen(said, "rb", buffering=0) as stream:
            try:
                self.helper.ask(request, Started, (null.fileno(), says, says))
            finally:
                os.close(says)
            peer = BoxedCommand(self.helper)
            ended = Listener(peer, stream.fileno(), show).run()
            self.reached += peer.reached
            return ended

    def run_inside(
        self, argv: Sequence[str], *, stdin: bytes | int, stdout: int, env: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Run a program of clsecure's own in the box as the worker, outside the mode's engine.

        `stdout` is a descriptor to write to. Returns exit code and standard error.
        """
        said = os.memfd_create("stderr", os.MFD_CLOEXEC)
        given = memory_file(stdin) if isinstance(stdin, bytes) else os.dup(stdin)
        request = Exec(
            argv=tuple(argv),
            environment=self._words(env),
            cwd=self.session.project,
            confined=False,
        )
        try:
            self.helper.ask(request, Started, (given, stdout, said))
            peer = BoxedCommand(self.helper)
            ended = None
            while ended is None:
                ended = peer.next_event()
            self.reached += peer.reached
            return ended.code, os.pread(said, _MAX_ERRORS, 0)
        finally:
            os.close(said)
            os.close(given)

    def changed_paths(self) -> list[str]:
        """Return what the session changed in its copy-on-write view. Raises UserError."""
        _, (listing,) = self.helper.ask(Changes(), Changed)
        with os.fdopen(listing, "rb") as file:
            return [os.fsdecode(path) for path in file.read(_LIMIT).split(b"\0") if path]

    def note(self, commits: int, changes: int) -> None:
        """Have root remember the numbers that `list` shows."""
        self.helper.ask(Note(commits=commits, changes=changes), Noted)

    def _words(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        merged = {**self._environment, **variables}
        return tuple(f"{name}={value}" for name, value in merged.items())


def _last_line(source: int) -> str:
    os.set_blocking(source, False)
    try:
        lines = os.read(source, _PIECE).split(b"\n")
    except OSError:
        return ""
    words = [line.strip() for line in lines if line.strip()]
    return escape(words[-1]) if words else ""
