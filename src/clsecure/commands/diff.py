"""`clsecure diff`: a session's work as a diff."""

from __future__ import annotations

from clsecure.commands import common, ending
from clsecure.errors import ExitCode
from clsecure.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Print the diff from the session's start to its work, the uncommitted one included."""
    output = invocation.output
    with common.kept_session(invocation) as (_, session):
        work = ending.collect(session, output)
        text = ending.diff_of(session.plan.facts.repository, work)
        if invocation.flag("json"):
            files = [{"status": one.status, "path": one.path} for one in work.changes]
            output.json({"base": work.base, "tip": work.tip, "files": files, "diff": text})
        elif text:
            output.say(text.rstrip("\n"), multiline=True)
        else:
            output.note("the session made no changes")
    return ExitCode.OK
