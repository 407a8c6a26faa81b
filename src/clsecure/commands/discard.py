"""`clsecure discard`: a session's work, thrown away."""

from __future__ import annotations

from clsecure import session, sessionwords
from clsecure.choices import Need
from clsecure.commands import cleanup, common
from clsecure.errors import ExitCode, UserError
from clsecure.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Remove the session of this project, after a question."""
    plan = common.make_plan(invocation, need=Need.NONE)
    with session.reach(plan, invocation.environ, invocation.output) as opening:
        found = opening.found
        if found is None:
            raise common.no_session(plan)
        question = f"Throw the work of {found.worker} away ({sessionwords.holds(found)})?"
        if not invocation.output.confirm(question, default=False):
            raise UserError("nothing was discarded", code=ExitCode.FAILURE)
        cleanup.purge(invocation, opening, found, keep_left=False)
    return ExitCode.OK
