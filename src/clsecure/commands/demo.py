"""`clsecure demo`: a scripted agent works, misbehaves in a real box, and its work is imported."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from clsecure import demo, facts, plan, session, sessionwords
from clsecure.choices import Mode, Need
from clsecure.commands import agentrun, ending
from clsecure.demo import Attempt, Outcome, agent, bait
from clsecure.errors import ExitCode, UserError
from clsecure.git import Git
from clsecure.homecoming import branch as homebranch
from clsecure.invocation import Invocation
from clsecure.output import Output, Style
from clsecure.plan import Plan

_BRANCH = "claude/basket-demo"


def run(invocation: Invocation) -> int:
    """Tell the whole story; OK only if every attempt was stopped and the work came home."""
    output = invocation.output
    output.say("A temporary project, with bait around it: a private key, a .env file, a server,")
    output.say("unix sockets, a process with a secret. Nothing of yours is touched.")
    with bait.lay(invocation.environ) as laid:
        made = _plan(invocation, laid)
        with _session(made, laid, output) as opened:
            output.say(sessionwords.start_line(opened), style=Style.DIM)
            output.flush()
            code = agentrun.run_agent(opened, invocation)
            if code:
                raise UserError(f"the scripted agent ended with code {code}")
            attempts = demo.parse_report(_report(opened, laid))
            broken = _judge(attempts, laid, opened.record.uid, output)
            home = _import(opened, output)
        output.say("The worker and the project are gone again.")
    if broken or not home:
        output.error(f"the box did not hold: {', '.join(broken) or 'the work did not come home'}")
        return ExitCode.FAILURE
    output.say("Everything was stopped, and the work came home.", style=Style.GREEN)
    return ExitCode.OK


def _plan(invocation: Invocation, laid: bait.Bait) -> Plan:
    here = invocation._replace(cwd=laid.project, environ=laid.environ)
    config = here.load_config(laid.project)
    if not facts.engines():
        config = config._replace(mode=Mode.USER)
    made = plan.decide(config, facts.look(here.cwd, here.environ), here.environ, need=Need.REQUIRED)
    variables = {**made.agent_environment, **laid.agent_variables}
    return made._replace(agent_environment=variables)


@contextmanager
def _session(made: Plan, laid: bait.Bait, output: Output) -> Iterator[session.OpenSession]:
    """Open a box whose worker is removed in the end, however that comes."""
    with (
        session.reach(made, laid.environ, output) as opening,
        session.open_box(opening, laid.environ, output) as opened,
    ):
        try:
            yield opened
        finally:
            session.remove(opening, opened.record.worker)


def _report(opened: session.OpenSession, laid: bait.Bait) -> str:
    with tempfile.TemporaryFile() as file:
        argv = ("/bin/cat", str(laid.report))
        opened.box.run_inside(argv, stdin=b"", stdout=file.fileno(), env={})
        file.seek(0)
        return file.read().decode(errors="replace")


def _judge(
    attempts: tuple[Attempt, ...], laid: bait.Bait, worker: int, output: Output
) -> tuple[str, ...]:
    """Print what became of each attempt, and return those that were not stopped."""
    seen = set(laid.reached())
    if (laid.project / ".git" / "hooks" / demo.HOOK_NAME).exists():
        seen.add("hook")
    if os.path.lexists(agent.PLANTED):
        seen.add("system")
    if _processes_of(worker):
        seen.add("daemon")
    rows, broken = [], []
    for attempt in attempts:
        got_through = attempt.outcome is Outcome.GOT_THROUGH or attempt.name in seen
        if got_through:
            broken.append(attempt.what)
        outcome = "GOT THROUGH" if got_through else attempt.outcome.value
        by = attempt.detail if got_through else demo.STOPPED_BY.get(attempt.name, attempt.detail)
        rows.append((attempt.what, outcome, by))
    missing = set(demo.STOPPED_BY) - {attempt.name for attempt in attempts}
    broken += [f"not tried: {name}" for name in sorted(missing)]
    broken += [f"reached: {name}" for name in sorted(seen - set(demo.STOPPED_BY))]
    output.say()
    output.table(("the agent tried to", "outcome", "because"), rows)
    return tuple(broken)


def _import(opened: session.OpenSession, output: Output) -> bool:
    """Make a branch of the work, show it, and say whether it is all there."""
    repository = opened.plan.facts.repository
    work = ending.collect(opened, output)
    imported = homebranch.import_work(
        repository, work, branch=_BRANCH, commit_message="Notes that the agent left uncommitted"
    )
    output.say()
    ending.show_import(imported, output)
    git = Git(repository)
    words = ("log", "--stat", "--format=%h %an: %s", f"main..{imported.branch}")
    output.say("\n".join(git.lines(*words)), multiline=True)
    names = git.lines("ls-tree", "-r", "--name-only", imported.branch)
    price = "\n".join(git.lines("show", f"{imported.branch}:basket/price.py"))
    untouched = not git.lines("status", "--porcelain") and repository.head.branch == "main"
    return agent.NEW_LINE.rstrip() in price and "NOTES.md" in names and untouched


def _processes_of(uid: int) -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdecimal() and _owner(name) == uid]


def _owner(pid: str) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:  # it has ended
        return -1
