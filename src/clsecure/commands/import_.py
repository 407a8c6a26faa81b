"""`clsecure import`: a session's work as a branch."""

from __future__ import annotations

from clsecure.commands import common, ending, offering, outward
from clsecure.errors import ExitCode
from clsecure.homecoming.offers import Offers
from clsecure.homecoming.work import Work
from clsecure.invocation import Invocation
from clsecure.session import OpenSession


def run(invocation: Invocation) -> int:
    """Make the branch; the human's tree, index and checked-out branch stay as they are."""
    output = invocation.output
    with common.kept_session(invocation) as (opening, session):
        config, repository = session.plan.config, session.plan.facts.repository
        outward.check_push(repository, config)
        work = ending.collect(session, output)
        found = offering.look(session)
        if invocation.flag("json"):
            return _as_json(invocation, session, work, found)
        ending.show_summary(work, session, output)
        offering.show(found, output)
        if work.is_empty and offering.offer(invocation, session, found):
            return ExitCode.OK
        imported = ending.import_work(invocation, session, work)
        ending.show_import(imported, output)
        ending.note_import(session, imported)
        offering.offer(invocation, session, found)
        ending.after_import(invocation, opening, session, imported)
    return ExitCode.OK


def _as_json(invocation: Invocation, session: OpenSession, work: Work, found: Offers) -> int:
    """Import, take what was named, and print one document."""
    aside = invocation._replace(output=invocation.output.beside())
    document: dict[str, object] = {"branch": "", "commits": 0, "files": 0}
    document |= {"signed": 0, "pushed": None}
    config, repository = session.plan.config, session.plan.facts.repository
    warnings = work.warnings
    taken = offering.offer(aside, session, found) if work.is_empty else ()
    if not taken:
        imported = ending.import_work(invocation, session, work)
        ending.note_import(session, imported)
        document = {
            "branch": imported.branch,
            "commits": imported.commits,
            "files": imported.files,
            "signed": imported.signed,
            "pushed": None,
        }
        warnings = imported.warnings
        taken = offering.offer(aside, session, found)
    try:
        branch = str(document["branch"])
        remote = outward.push(repository, branch, config, aside.output, may_ask=False)
        document["pushed"] = remote or None
    finally:  # the branch is there, whatever became of the push
        invocation.output.json({**document, "settings": [*taken], "warnings": [*warnings]})
    return ExitCode.OK
