"""`clsecure cleanup`: end sessions and remove their workers."""

from __future__ import annotations

import os
from pathlib import Path

from clsecure import hooks, privileged, session, sessionwords
from clsecure.choices import Need
from clsecure.commands import common
from clsecure.commands.list import find_sessions
from clsecure.errors import ExitCode, UserError
from clsecure.git import Repository
from clsecure.helper.protocol import Remove, Removed, Session
from clsecure.homecoming import branch as homebranch
from clsecure.invocation import Invocation
from clsecure.paths import CLEANUP_HOOK
from clsecure.values import Entry, Layer, Origin


def run(invocation: Invocation) -> int:
    """Remove the worker of this project, or with --all every one of this human's."""
    if invocation.flag("all_workers"):
        return _all(invocation)
    plan = common.make_plan(invocation, need=Need.NONE)
    with session.reach(plan, invocation.environ, invocation.output) as opening:
        if opening.found is None:
            invocation.output.note("there is no worker for this project")
            return ExitCode.OK
        _confirm(invocation, (opening.found,))
        purge(invocation, opening, opening.found)
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
        except UserError as error:
            invocation.output.error(f"{one.worker}: {error.message}", error.hint)
            failed = failed or error.code
    return failed


def purge(
    invocation: Invocation, opening: session.Opening, found: Session, *, keep_left: bool = True
) -> None:
    """Run the project's hook, if there is one, and remove the worker, whatever came of the hook.

    With `keep_left`, refs that an import has left the only copy in stay in the repository, unless
    nothing of the session's is missing elsewhere.
    """
    output = invocation.output
    if _has_hook(found):
        try:
            with session.open_box(opening, invocation.environ, output) as opened:
                hooks.clean_up(opened, "purge", output)
        except UserError as error:
            output.warn(f"the cleanup hook was not run: {error.message}")
    with output.progress("removing the worker"):
        session.remove(opening, found.worker)
    _forget_refs(opening.plan.facts.repository, found, keep_left=keep_left)
    output.say(f"removed: {found.worker}")


def _remove(invocation: Invocation, one: Session) -> None:
    """Remove a session of any project, which may be gone by now."""
    if _has_hook(one):
        origin = Origin(Layer.COMMAND_LINE, "--all")
        options = {**invocation.options, "session": Entry("session", one.session or None, origin)}
        there = invocation._replace(cwd=Path(one.project), options=options)
        try:
            plan = common.make_plan(there, need=Need.NONE)
        except UserError as error:
            invocation.output.warn(f"the cleanup hook was not run: {error.message}")
        else:
            with session.reach(plan, there.environ, there.output) as opening:
                if opening.found is not None and opening.found.worker == one.worker:
                    purge(there, opening, opening.found)
                    return
    helper = privileged.start(invocation.environ, may_ask=invocation.output.can_ask)
    try:
        helper.ask(Remove(worker=one.worker), Removed)
    finally:
        helper.close()
    repository = common.repository_of(one.project) if Path(one.project).is_dir() else None
    if repository is not None:
        _forget_refs(repository, one, keep_left=True)
    invocation.output.say(f"removed: {one.worker}")


def _forget_refs(repository: Repository, one: Session, *, keep_left: bool) -> None:
    is_safe = one.commits == 0 and one.changes == 0
    homebranch.discard(repository, one.worker, keep_left=keep_left and not is_safe)


def _has_hook(one: Session) -> bool:
    return os.path.lexists(Path(one.project) / CLEANUP_HOOK)


def _confirm(invocation: Invocation, sessions: tuple[Session, ...]) -> None:
    for one in sessions:
        if one.commits == 0 and one.changes == 0:
            continue
        question = f"Remove {one.worker} ({sessionwords.holds(one)}) of {one.project}?"
        if not invocation.output.confirm(question, default=False):
            raise UserError("nothing was removed", code=ExitCode.FAILURE)
