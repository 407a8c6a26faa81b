"""The end of a session: what it made, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from clsecure import hooks, limits, sessionwords
from clsecure.choices import OnExit, WorkspaceKind
from clsecure.commands import offering, outward
from clsecure.errors import UserError
from clsecure.git import Git, Repository
from clsecure.homecoming import branch as homebranch
from clsecure.homecoming import changes, nested, refs, review
from clsecure.homecoming.branch import Imported
from clsecure.homecoming.offers import Offers
from clsecure.homecoming.work import Work
from clsecure.invocation import Invocation
from clsecure.output import Output, Style, escape
from clsecure.session import Opening, OpenSession, remove
from clsecure.workspace import clone

_SHOWN = 8  # changed files, hidden paths, findings: more are counted
_LEFT = (
    "stash",
    "ref",
    "snapshot",
    "repository",
)  # what an import leaves in the session's own refs
_CHOICES = {"i": "import to a new branch", "d": "diff", "k": "keep for later", "c": "discard"}


def collect(session: OpenSession, output: Output) -> Work:
    """Bring the session's work into the quarantine refs of the human's repository."""
    with output.progress("collecting the session's work"):
        if session.plan.workspace is WorkspaceKind.CLONE:
            paths = clone.changed_paths(session.box)
        else:
            paths = session.box.changed_paths()
        repository, key, base = (
            session.plan.facts.repository,
            session.record.worker,
            session.record.base,
        )
        if Git(repository).has(base):
            # Again, for a start that was cut short before this: a clean-up must spare the base.
            refs.set_base(repository, key, base)
        try:
            work = nested.fetch(repository, session.box, key=key, base=base, paths=paths)
        finally:
            for line in limits.reached(session.box.reached):
                output.warn(line)
            session.box.reached.clear()
        all_work = (work, *(each.work for each in work.nested))
        commits = sum(each.commits for each in all_work)
        session.box.note(commits, sum(len(each.changes) for each in all_work))
    return work


def finish(invocation: Invocation, opening: Opening, session: OpenSession, *, code: int) -> int:
    """Show what the session made, and do with it as asked; returns the exit code."""
    output = invocation.output
    hooks.clean_up(session, "stop", output)
    try:
        work = collect(session, output)
        show_summary(work, session, output)
        found = offering.look(session)
        offering.show(found, output)
        _dispose(invocation, opening, session, work, found)
    except KeyboardInterrupt:
        output.note(sessionwords.kept(session))
        raise
    except UserError as error:
        output.note(sessionwords.kept(session))
        if not code:
            raise
        output.error(error.message, error.hint)
    return code


def _dispose(
    invocation: Invocation, opening: Opening, session: OpenSession, work: Work, found: Offers
) -> None:
    output, wish = invocation.output, session.plan.config.on_exit
    if wish is OnExit.ASK:
        wish = OnExit.KEEP
        if output.can_ask and not work.is_empty:
            wish = _ask(work, session, output)
    if wish is OnExit.IMPORT and not work.is_empty:
        imported = import_work(invocation, session, work)
        show_import(imported, output)
        note_import(session, imported)
        offering.offer(invocation, session, found)
        after_import(invocation, opening, session, imported)
    elif wish is OnExit.DISCARD:
        discard(opening, session, output)
    else:
        if wish is OnExit.IMPORT:
            offering.offer(invocation, session, found)
        output.note(sessionwords.kept(session))


def _ask(work: Work, session: OpenSession, output: Output) -> OnExit:
    answers = {"i": OnExit.IMPORT, "k": OnExit.KEEP, "c": OnExit.DISCARD}
    while True:
        letter = output.choose("What now?", _CHOICES, default="i", flag="--on-exit")
        if letter == "c" and not output.confirm("Throw this work away for good?", default=False):
            continue
        if letter in answers:
            return answers[letter]
        _attempt(lambda: show_diff(work, session.plan.facts.repository, output), output)


def import_work(invocation: Invocation, session: OpenSession, work: Work) -> Imported:
    """Make the branch, asking for its name and for the uncommitted work's message if possible."""
    output, config = invocation.output, session.plan.config
    name = config.branch or homebranch.default_branch(
        session.plan.project.name, session.plan.session or None, datetime.now().astimezone()
    )
    message: str | None = f"Uncommitted work of {session.record.worker}"
    if output.can_ask and not config.yes:
        if config.branch is None:
            name = _ask_branch(session.plan.facts.repository, name, output)
        if work.snapshot:
            files = _count(work.snapshot.files, "file")
            question = f"Commit the uncommitted work too ({files})?"
            if output.confirm(question, default=True):
                message = output.ask("Message:", default=str(message), flag="--yes")
            else:
                message = None
    sign = outward.wants_signature(session.plan.facts.repository, config, output)
    return homebranch.import_work(
        session.plan.facts.repository, work, branch=name, commit_message=message, sign=sign
    )


def _ask_branch(repository: Repository, suggested: str, output: Output) -> str:
    while True:
        name = output.ask("Branch:", default=suggested, flag="--branch NAME")
        try:
            homebranch.check_branch(repository, name)
        except UserError as error:
            output.error(error.message, error.hint)
        else:
            return name


def note_import(session: OpenSession, imported: Imported) -> None:
    """Have root remember that all of the work is safe, if it is. Raises UserError."""
    if not any(kind in _LEFT for kind, _ in imported.others):
        session.box.note(0, 0)


def show_import(imported: Imported, output: Output) -> None:
    """Say what an import made."""
    made = "imported:"
    if imported.branch:
        commits, files = _count(imported.commits, "commit"), _count(imported.files, "file")
        made += f" branch {imported.branch}, {commits}, {files}"
    output.say(made, style=Style.GREEN)
    if imported.signed:
        words = _count(imported.signed, "commit")
        output.say(f"  signed with your key: {words}, whose ids are not the session's")
    for kind, name in imported.others:
        output.say(f"  {kind}: {name}")
    for warning in imported.warnings:
        output.warn(warning)


def after_import(
    invocation: Invocation, opening: Opening, session: OpenSession, imported: Imported
) -> None:
    """Offer to push, to switch to the branch and to remove the worker; only where one can ask."""
    output, repository = invocation.output, session.plan.facts.repository
    config = session.plan.config
    if config.push_now:
        outward.push(repository, imported.branch, config, output)
    else:
        _attempt(lambda: outward.push(repository, imported.branch, config, output), output)
    if not output.can_ask or session.plan.config.yes:
        if imported.branch:
            output.note(f"look at it: git log -p {imported.branch}")
        return
    if imported.branch and output.confirm(f"Switch to {imported.branch}?", default=False):
        _attempt(lambda: homebranch.switch_to(repository, imported.branch), output)
    if output.confirm(f"Remove the worker {session.record.worker}?", default=False):
        left = any(kind in _LEFT for kind, _ in imported.others)
        discard(opening, session, output, keep_left=left)
    else:
        output.note(sessionwords.kept(session))


def discard(
    opening: Opening, session: OpenSession, output: Output, *, keep_left: bool = False
) -> None:
    """Remove the session: its cleanup hook, its worker, its refs in the repository."""
    hooks.clean_up(session, "purge", output)
    with output.progress("removing the worker"):
        remove(opening, session.record.worker)
    repository, worker = session.plan.facts.repository, session.record.worker
    homebranch.discard(repository, worker, keep_left=keep_left)
    output.say(f"removed: {worker}")


def show_summary(work: Work, session: OpenSession, output: Output) -> None:
    """Print commits, changed files, what was hidden, and what would run on the host."""
    if work.is_empty:
        output.say("the session made no changes")
        return
    branch = f" on {work.branch}" if work.branch else ""
    parts = [f"{_count(work.commits, 'commit')}{branch}"]
    parts += [f"{_count(len(work.branches), 'other branch', 'other branches')}"] * bool(
        work.branches
    )
    parts += [_count(len(work.tags), "tag")] * bool(work.tags)
    parts += [_count(len(work.stashes), "stash", "stashes")] * bool(work.stashes)
    if work.snapshot:
        parts.append(f"uncommitted work in {_count(work.snapshot.files, 'file')}")
    output.say(", ".join(parts), style=Style.BOLD)
    _show_changes(work, output)
    for each in work.nested:
        loose = each.work.snapshot
        also = f", uncommitted work in {_count(loose.files, 'file')}" if loose else ""
        output.say(f"in {each.path}: {_count(each.work.commits, 'commit')}{also}", style=Style.BOLD)
        _show_changes(each.work, output)
    if session.hidden:
        output.say(f"hidden from the agent: {_list(session.hidden)}")
    if work.ignored.count:
        output.say(
            f"ignored by git, so not brought home: {_list(work.ignored.names, work.ignored.count)}"
        )
    show_findings(session.plan.facts.repository, work, output)
    for warning in work.warnings:
        output.warn(warning)


def _show_changes(work: Work, output: Output) -> None:
    for change in work.changes[:_SHOWN]:
        former = f"{change.old_path} → " if change.status in "RC" else ""
        output.say(f"  {change.status} {former}{change.path}")
    _more(len(work.changes), "changed file", output)


def findings_of(repository: Repository, work: Work) -> list[review.Finding]:
    """Return what of the work would run on the host, that in repositories inside included."""
    found = list(review.review(changes.entries(Git(repository), work.changes)))
    for each in work.nested:
        inner = findings_of(each.repository, each.work)
        found += [replace(one, path=f"{each.path}/{one.path}") for one in inner]
    return found


def show_findings(repository: Repository, work: Work, output: Output) -> None:
    """Print what of the work would run on the host once it is there."""
    findings = findings_of(repository, work)
    for finding in findings[:_SHOWN]:
        output.say(f"  ! {finding.path}: {finding.kind}: {finding.why}", style=Style.YELLOW)
    _more(len(findings), "thing that would run on the host", output)


def show_diff(work: Work, repository: Repository, output: Output) -> None:
    """Print the whole diff from the session's start."""
    if text := diff_of(repository, work):
        output.say(text, multiline=True)


def diff_of(repository: Repository, work: Work) -> str:
    """Return the diff from the session's start, that of repositories inside included."""
    text = changes.diff(Git(repository), work.base, work.tip) if work.tip else ""
    for each in work.nested:
        inner = diff_of(each.repository, each.work)
        text += f"in {escape(each.path)}:\n{inner}" if inner else ""
    return text


def _attempt(action: Callable[[], object], output: Output) -> None:
    try:
        action()
    except UserError as error:
        output.error(error.message, error.hint)


def _more(total: int, what: str, output: Output) -> None:
    if total > _SHOWN:
        output.say(f"  … {_count(total - _SHOWN, f'more {what}', f'more {what}s')}")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _list(names: tuple[str, ...], total: int | None = None) -> str:
    count = len(names) if total is None else total
    shown = ", ".join(names[:_SHOWN])
    return shown if count <= _SHOWN else f"{shown} and {count - _SHOWN} more"
