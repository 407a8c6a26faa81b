"""`clsecure cleanup`: end sessions and remove their workers."""

from __future__ import annotations

from pathlib import Path

from clsecure import describe, hooks, privileged, session
from clsecure.commands import common, ending
from clsecure.commands.list import find_sessions
from clsecure.errors import ExitCode, UserError
from clsecure.helper.protocol import Remove, Removed, Session
from clsecure.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Remove the worker of this project, or with --all every one of this human's."""
    if invocation.flag("all_workers"):
        return _all(invocation)
    plan = common.make_plan(invocation, with_agent=False)
    with session.reach(plan, invocation.environ, invocation.output) as opening:
        if opening.found is None:
            invocation.output.note("there is no worker for this project")
            return ExitCode.OK
        _confirm(invocation, (opening.found,))
        with session.open_box(opening, invocation.environ, invocation.output) as opened:
            hooks.clean_up(opened, "purge", invocation.output)
            with invocation.output.progress("removing the worker"):
                session.remove(opening, opening.found.worker)
        ending.forget_refs(plan.facts.repository, opening.found.worker, keep=True)
        invocation.output.say(f"removed: {opening.found.worker}")
    return ExitCode.OK


def _all(invocation: Invocation) -> int:
    sessions = find_sessions(invocation)
    if not sessions:
        invocation.output.note("there are no workers")
        return ExitCode.OK
    _confirm(invocation, sessions)
    failed = 0
    for one in sessions:
        try:
            _remove(invocation, one)
            invocation.output.say(f"removed: {one.worker}")
        except UserError as error:
            invocation.output.error(f"{one.worker}: {error.message}", error.hint)
            failed = failed or error.code
    return failed


def _remove(invocation: Invocation, one: Session) -> None:
    # Without its hook: the project may be gone, and another project's settings do not count here.
    helper = privileged.start(invocation.environ, may_ask=invocation.output.can_ask)
    try:
        helper.ask(Remove(worker=one.worker), Removed)
    finally:
        helper.close()
    repository = common.repository_of(one.project) if Path(one.project).is_dir() else None
    if repository is not None:
        ending.forget_refs(repository, one.worker, keep=True)


def _confirm(invocation: Invocation, sessions: tuple[Session, ...]) -> None:
    for one in sessions:
        if one.commits == 0 and one.changes == 0:
            continue
        question = f"Remove {one.worker} ({describe.holds(one)}) of {one.project}?"
        if not invocation.output.confirm(question, default=False):
            raise UserError("nothing was removed", code=ExitCode.FAILURE)
