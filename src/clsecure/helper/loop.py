"""Root's main loop: one request after the other, for one human, until the channel ends."""

from __future__ import annotations

import errno
import os
import resource
import select
import sys

from . import check
from .box import Box
from .lean import signal, socket
from .protocol import REQUESTS, Exec, Exited, Failed, Refusal, Signal, no_room
from .records import BadField
from .sessions import Sessions
from .wire import receive, send

_ENDED = 3  # not 1, which is sudo's own code for "not allowed"
_IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGPIPE)


def main() -> int:
    """Serve the human on standard input; returns an exit code."""
    if len(sys.argv) > 1 or os.geteuid() != 0:
        sys.stderr.write("clsecure-helper is started by clsecure, as root, without arguments\n")
        return 2
    os.umask(0o077)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    try:
        control = socket.socket(fileno=os.dup(0))
        control.getpeername()
    except OSError:
        sys.stderr.write("clsecure-helper is started by clsecure, on a socket\n")
        return 2
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.chdir("/")
    _allow_descriptors()
    try:
        sessions = Sessions(check.caller(), control)
    except (Refusal, OSError) as error:
        _last_words(control, error)
        return _ENDED
    try:
        while _serve(control, sessions):
            pass
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except Exception as error:  # noqa: BLE001 - a defect gives one line, never root's traceback
        _last_words(control, error)
        return _ENDED
    finally:
        sessions.close()
    return 0


def _allow_descriptors() -> None:
    # The first files of a session arrive as one descriptor each.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _last_words(control: socket.socket, error: Exception) -> None:
    answer = _answer_for(error)
    try:
        send(control, answer)
    except OSError:
        pass  # nobody listens any more


def _answer_for(error: Exception) -> Failed:
    if isinstance(error, Refusal):
        return error.answer
    if isinstance(error, BadField):
        return Failed(message=f"bad message: {error}", hint="", code=2)
    if not isinstance(error, OSError):
        what = f"internal error in the root helper: {type(error).__name__}: {error}"
        return Failed(message=what[:500], hint="please report it", code=1)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_room(error)
    where = f": {error.filename}" if isinstance(error.filename, str) else ""
    return Failed(message=f"{error.strerror or error}{where}", hint="", code=1)


def _serve(control: socket.socket, sessions: Sessions) -> bool:
    if sessions.box is not None and not _wait(control, sessions.box):
        sessions.lose_box()
        return True
    received = receive(control, REQUESTS)
    if received is None:
        return False
    request, descriptors = received
    try:
        if isinstance(request, Exec):
            return _run(control, sessions, request, descriptors)
        try:
            answer, sent = sessions.answer(request, descriptors)
            send(control, answer, sent)
        finally:
            sessions.sent()
        sessions.prepare()
    except (BrokenPipeError, ConnectionResetError):
        raise
    except (Refusal, OSError) as error:
        send(control, _answer_for(error))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return True


def _wait(control: socket.socket, box: Box) -> bool:
    # True: the human says something. False: the box has ended on its own.
    ready, _, _ = select.select([control.fileno(), box.ended], [], [])
    return control.fileno() in ready


def _run(control: socket.socket, sessions: Sessions, request: Exec, descriptors: list[int]) -> bool:
    box = sessions.box
    check.check_exec(request, descriptors, may_be_root=box is not None and box.may_be_root)
    if box is None:
        raise Refusal("there is no box", code=2)
    sessions.lend_reserve(request)
    box.ask(request, tuple(descriptors))
    for descriptor in descriptors:
        os.close(descriptor)
    descriptors.clear()
    while True:
        ready, _, _ = select.select([control, box.channel], [], [])
        if box.channel in ready:
            answer, sent = box.answer()
            if isinstance(answer, Exited):
                answer = answer.replace(reached=sessions.reached())
            send(control, answer, tuple(sent))
            for descriptor in sent:
                os.close(descriptor)
            if isinstance(answer, (Exited, Failed)):
                return True
        elif not _pass_signal(control, box):
            return False


def _pass_signal(control: socket.socket, box: Box) -> bool:
    received = receive(control, REQUESTS)
    if received is None:
        return False
    request, descriptors = received
    for descriptor in descriptors:
        os.close(descriptor)
    if isinstance(request, Signal):
        box.ask(request)
        return True
    raise BadField("a command is running")
