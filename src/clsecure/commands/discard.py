"""`clsecure discard`: a session's work, thrown away."""

from __future__ import annotations

from clsecure import describe
from clsecure.commands import common, ending
from clsecure.errors import ExitCode, UserError
from clsecure.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Remove the session of this project, after a question."""
    with common.kept_session(invocation) as (opening, session):
        question = f"Throw the work of {session.record.worker} away"
        question += f" ({describe.holds(session.record)})?"
        if not invocation.output.confirm(question, default=False):
            raise UserError("nothing was discarded", code=ExitCode.FAILURE)
        ending.discard(opening, session, invocation.output)
    return ExitCode.OK
