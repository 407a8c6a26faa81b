"""What a kept session brings to its next start, and what was decided when it was made."""

from __future__ import annotations

import os

from . import syscalls as sc
from .protocol import Open, Session
from .state import SYSTEM, State


def settle_layers(request: Open, state: State, session: Session) -> tuple[Open, Session]:
    """Return request and record of a session whose container can become writable, and stays so."""
    if request.engine != "podman" or not (request.writable or session.writable):
        return request, session
    if not session.writable:
        state.make_once(SYSTEM)
        session = session.replace(writable=True)
        state.write(session)
    return request.replace(writable=True), session


def kept_disk(request: Open, session: Session) -> tuple[str, ...]:
    """Return a warning where another limit on disk use is asked for than the session has."""
    if request.limits.disk in (0, session.disk):
        return ()
    has = f"its limit of {session.disk >> 20}M" if session.disk else "no limit"
    return (f"disk: this session was made with {has}, which stays; a fresh one gets yours",)


def without_former(request: Open, state: State) -> Open:
    """Return the request without the state in whose place the worker's home has something.

    That was made where none was shown, and stays in sight.
    """
    home = len(request.home) + 1
    kept = tuple(one for one in request.state if not holds_anything(state, one.at[home:]))
    return request.replace(state=kept)


def holds_anything(state: State, probe: str) -> bool:
    """Say whether that directory of the worker's home does: by descriptor and through no link."""
    home = state.open("home")
    try:
        directory = sc.openat2(
            home, probe, os.O_RDONLY | os.O_DIRECTORY, resolve=sc.NO_LINKS | sc.RESOLVE_BENEATH
        )
    except OSError:
        return False
    finally:
        os.close(home)
    try:
        return bool(os.listdir(directory))
    finally:
        os.close(directory)
