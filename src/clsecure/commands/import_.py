"""`clsecure import`: a session's work as a branch."""

from __future__ import annotations

from clsecure.commands import common, ending
from clsecure.errors import ExitCode
from clsecure.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Make the branch; the human's tree, index and checked-out branch stay as they are."""
    output = invocation.output
    with common.kept_session(invocation) as (opening, session):
        work = ending.collect(session, output)
        as_json = invocation.flag("json")
        if not as_json:
            ending.show_summary(work, session, output)
        imported = ending.import_work(invocation, session, work)
        if as_json:
            output.json(
                {
                    "branch": imported.branch,
                    "commits": imported.commits,
                    "files": imported.files,
                    "warnings": list(imported.warnings),
                }
            )
            ending.note_import(session, imported)
            return ExitCode.OK
        ending.show_import(imported, output)
        ending.note_import(session, imported)
        ending.after_import(invocation, opening, session, imported)
    return ExitCode.OK
