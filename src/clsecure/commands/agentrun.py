"""The agent's run, from a plan to the work's end."""

from __future__ import annotations

from collections.abc import Mapping

from clsecure import agent, limits, paths, session
from clsecure.choices import AgentName, Start
from clsecure.commands.common import UnderWay
from clsecure.errors import ExitCode, UserError
from clsecure.git import Git
from clsecure.helper.protocol import Session
from clsecure.invocation import Invocation
from clsecure.output import Output
from clsecure.plan import Plan

_SETTLED = "settled"  # worker to a mark of the answers that its home was last given


def run_planned(invocation: Invocation, plan: Plan, under_way: UnderWay) -> int:
    """Run the agent and deal with what it made; returns its exit code."""
    output, environ = invocation.output.beside(), invocation.environ
    invocation = invocation._replace(output=output)
    helper, scan, asked = under_way
    with session.reach(plan, environ, output, helper, scan, has_asked=asked) as found:
        opening = start_or_resume(found, invocation)
        with session.open_box(opening, environ, output, _load) as opened:
            from clsecure import hooks, missing, sessionwords

            output.note(sessionwords.start_line(opened))
            for line in missing.lines(opened.plan, environ):
                output.warn(line)
            if not opened.resumed:
                hooks.set_up(opened, environ, output)
            code = run_agent(opened, invocation)
            tell_traffic(opened, output)
            tell_limits(opened, output)
            from clsecure.commands import ending  # what it needs would delay the start

            return ending.finish(invocation, opening, opened, code=code)


def tell_traffic(
    opened: session.OpenSession, output: Output, *, only_trouble: bool = False
) -> None:
    """Say what the session reached, what was blocked, and what was amiss with the network."""
    if opened.network is None:
        return
    from clsecure import sessionwords

    summary = opened.network.summary()
    if summary is None:
        output.warn("the network's proxy has ended early: from then on nothing was reached")
        return
    for line in () if only_trouble else sessionwords.traffic(summary):
        output.note(line)
    for line in sessionwords.trouble(summary):
        output.warn(line)


def tell_limits(opened: session.OpenSession, output: Output) -> None:
    """Say which limits were reached since this was said last."""
    for line in limits.reached(opened.box.reached):
        output.warn(line)
    opened.box.reached.clear()


def _load() -> None:
    # What comes next is loaded while root makes the box: 10 ms.
    from clsecure import hooks, missing, sessionwords, settled, store  # noqa: F401


def run_agent(opened: session.OpenSession, invocation: Invocation) -> int:
    """Run the agent to its end; returns its exit code."""
    plan = opened.plan
    if plan.agent is None:
        raise ValueError("the plan has no agent")
    resumes, last = opened.resumed and opened.has_history, opened.conversation
    argv = agent.argv(plan.agent, invocation.arguments, resumes=resumes, conversation=last)
    settle = _settled if plan.declared.is_settled else _settled_other
    argv, variables = settle(opened, invocation, argv)
    seconds = plan.config.time or 0
    return opened.box.run(argv, cwd=str(plan.facts.cwd), variables=variables, timeout=seconds)


def _settled(
    opened: session.OpenSession, invocation: Invocation, argv: tuple[str, ...]
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return command and variables; a kept home is settled first, where anything has changed."""
    from clsecure import settled
    from clsecure.store import Store

    plan, variables = opened.plan, opened.plan.agent_environment
    places = (plan.project, plan.facts.cwd)
    store = Store(paths.state_directory(invocation.environ))
    now = settled.mark(places, variables, plan.held)
    if store.read(_SETTLED).get(opened.record.worker) == now:
        return argv, variables
    if store.read(_SETTLED).get(opened.record.worker) in tuple(AgentName):
        _tell_other(opened, invocation.output)
    store.update(_SETTLED, {opened.record.worker: now})
    if not opened.resumed:
        return argv, variables  # its home was made with these answers a moment ago
    if plan.image is None:
        return settled.settling(argv, places, variables, plan.held)
    # An image need not have a Python: outside of it, and as the worker all the same.
    alone, more = settled.settling(("/bin/true",), places, variables, plan.held)
    with open("/dev/null", "wb") as null:
        opened.box.run_inside(alone, stdin=b"", stdout=null.fileno(), env=more)
    return argv, variables


def _settled_other(
    opened: session.OpenSession, invocation: Invocation, argv: tuple[str, ...]
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return command and variables; the agent's first start in this home writes its first files."""
    from clsecure.agents import settling
    from clsecure.store import Store

    plan, variables = opened.plan, opened.plan.agent_environment
    store = Store(paths.state_directory(invocation.environ))
    before, worker = store.read(_SETTLED).get(opened.record.worker), opened.record.worker
    if before == plan.declared.name:
        return argv, variables
    _tell_other(opened, invocation.output)
    store.update(_SETTLED, {worker: plan.declared.name})
    files, left_out = settling.first_files(plan.declared, plan.facts.home)
    for name in left_out:
        invocation.output.warn(f"~/{name} stays outside: it may hold a secret, or is too large")
    return settling.settling(argv, files, variables)


def _tell_other(opened: session.OpenSession, output: Output) -> None:
    if opened.resumed:
        name = opened.plan.declared.name
        output.note(f"{name} was not the last agent here: it has a conversation of its own")


def start_or_resume(opening: session.Opening, invocation: Invocation) -> session.Opening:
    """Decide, asking where possible, whether a kept session goes on; a fresh start removes it."""
    plan, output = opening.plan, invocation.output
    if opening.found is None:
        return opening
    wish = plan.config.start
    if wish is Start.ASK:
        _refuse_stranger(plan, opening.found)
        wish = Start.RESUME
        if output.can_ask:
            wish = _ask(opening, invocation)
    if wish is Start.RESUME:
        return opening
    if not _may_discard(plan, opening, invocation):
        raise UserError(
            "a fresh start would throw kept work away",
            hint="import it first, or give --fresh --yes",
            code=ExitCode.REFUSED,
        )
    from clsecure.homecoming import branch as homebranch

    with output.progress("removing the former session"):
        session.remove(opening, opening.found.worker)
    homebranch.discard(plan.facts.repository, opening.found.worker)
    return session.without_found(opening)


def _refuse_stranger(plan: Plan, found: Session) -> None:
    # Another repository at the same path: it would lend its objects to a session that has others.
    repository = plan.facts.repository
    if found.base != repository.head.commit and not Git(repository).has(found.base):
        raise UserError(
            f"the kept session began at {found.base[:12]}, which this repository does not have",
            hint="--fresh starts anew, --resume goes on with it, `clsecure import` brings it home",
            code=ExitCode.REFUSED,
        )


def _ask(opening: session.Opening, invocation: Invocation) -> Start:
    from clsecure import sessionwords

    found = opening.found
    holds = sessionwords.holds(found) if found else ""
    letter = invocation.output.choose(
        f"There is a kept session ({holds}).",
        {"r": "resume it", "f": "start fresh"},
        default="r",
        flag="--resume or --fresh",
    )
    return Start.FRESH if letter == "f" else Start.RESUME


def _may_discard(plan: Plan, opening: session.Opening, invocation: Invocation) -> bool:
    found = opening.found
    if found is None or (found.commits == 0 and found.changes == 0) or plan.config.yes:
        return True
    if not invocation.output.can_ask:
        return False
    from clsecure import sessionwords

    question = f"Throw the kept work away ({sessionwords.holds(found)})?"
    return invocation.output.confirm(question, default=False)
