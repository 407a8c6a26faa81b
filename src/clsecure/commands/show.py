"""`clsecure show`: what a session holds."""

from __future__ import annotations

from clsecure.commands import common, ending, offering
from clsecure.errors import ExitCode
from clsecure.git import Git
from clsecure.homecoming import changes
from clsecure.homecoming.work import Work
from clsecure.invocation import Invocation
from clsecure.output import escape
from clsecure.session import OpenSession


def run(invocation: Invocation) -> int:
    """Show commits, changed files, and what would run on the host."""
    with common.kept_session(invocation) as (_, session):
        work = ending.collect(session, invocation.output)
        found = offering.look(session)
        if invocation.flag("json"):
            settings = [f"~/{one.path}" for one in found.files]
            invocation.output.json({**_document(session, work), "settings": settings})
            return ExitCode.OK
        ending.show_summary(work, session, invocation.output)
        if work.head and work.commits:
            git = Git(session.plan.facts.repository)
            invocation.output.say(changes.log(git, work.base, work.head), multiline=True)
        offering.show(found, invocation.output)
    return ExitCode.OK


def _document(session: OpenSession, work: Work) -> dict[str, object]:
    findings = ending.findings_of(session.plan.facts.repository, work)
    return {
        "session": session.plan.session or "default",
        "project": escape(str(session.plan.project)),
        "worker": session.record.worker,
        "mode": session.record.mode,
        "base": work.base,
        "head": work.head,
        "branch": work.branch,
        "commits": work.commits,
        "uncommitted": work.snapshot.files if work.snapshot else 0,
        "changes": [
            {"status": change.status, "path": change.path, "old_path": change.old_path}
            for change in work.changes
        ],
        "branches": {ref.name: ref.commits for ref in work.branches},
        "tags": [ref.name for ref in work.tags],
        "stashes": [entry.message for entry in work.stashes],
        "ignored": work.ignored.count,
        "hidden": list(session.hidden),
        "runs_on_host": [
            {"path": found.path, "kind": found.kind, "why": found.why} for found in findings
        ],
        "nested": [
            {
                "path": each.path,
                "commits": each.work.commits,
                "uncommitted": each.work.snapshot.files if each.work.snapshot else 0,
                "yours": not each.is_new,
            }
            for each in work.nested
        ],
        "warnings": list(work.warnings),
    }
