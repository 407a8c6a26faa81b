"""`clsecure list`: the human's sessions, in all projects."""

from __future__ import annotations

from datetime import UTC, datetime

from clsecure import paths, privileged
from clsecure.amounts import size_words
from clsecure.errors import ExitCode
from clsecure.helper.layout import within
from clsecure.helper.protocol import List, Listed, Session, Use
from clsecure.invocation import Invocation

_HEADERS = (
    "session",
    "project",
    "worker",
    "mode",
    "status",
    "created",
    "commits",
    "changes",
    "use",
)


def run(invocation: Invocation) -> int:
    """Print every session: whether it runs or is kept, and what it holds."""
    listed = _listed(invocation)
    sessions = tuple(zip(listed.sessions, listed.uses, strict=True))
    if invocation.flag("json"):
        invocation.output.json([_document(session) | _use(use) for session, use in sessions])
    elif sessions:
        home = str(paths.home(invocation.environ))
        rows = [(*_row(session, home), _use_words(use)) for session, use in sessions]
        invocation.output.table(_HEADERS, rows)
    else:
        invocation.output.note("no sessions; `clsecure` starts one in a git repository")
    return ExitCode.OK


def find_sessions(invocation: Invocation) -> tuple[Session, ...]:
    """Ask root for the sessions of this human."""
    return _listed(invocation).sessions


def _listed(invocation: Invocation) -> Listed:
    helper = privileged.start(invocation.environ, may_ask=invocation.output.can_ask)
    try:
        return helper.ask(List(), Listed)[0]
    finally:
        helper.close()


def _document(session: Session) -> dict[str, object]:
    return {
        "session": session.session or "default",
        "project": session.project,
        "worker": session.worker,
        "mode": session.mode,
        "status": "running" if session.running else "kept",
        "created": datetime.fromtimestamp(session.created, UTC).isoformat(timespec="seconds"),
        # Not known while it runs, and after an end that was no end: `clsecure show` counts.
        "commits": None if session.commits < 0 else session.commits,
        "changes": None if session.changes < 0 else session.changes,
    }


def _use(use: Use) -> dict[str, int | None]:
    """Return memory, processes and disk, the sizes in bytes; None: nothing, or not known."""
    return {name: None if number < 0 else number for name, number in use.to_json().items()}


def _use_words(use: Use) -> str:
    parts = [size_words(use.memory)] if use.memory >= 0 else []
    if use.processes >= 0:
        parts.append(f"{use.processes} process{'es' * (use.processes != 1)}")
    return ", ".join(parts + [f"{size_words(use.disk)} on disk"] * (use.disk >= 0))


def _row(session: Session, home: str) -> tuple[str, ...]:
    project, created = session.project, datetime.fromtimestamp(session.created, UTC).astimezone()
    shown = {
        **_document(session),
        "project": f"~{project[len(home) :]}" if within(project, home) else project,
        "created": f"{created:%Y-%m-%d %H:%M}",
    }
    return tuple("?" if shown[name] is None else str(shown[name]) for name in _HEADERS[:-1])
