"""`clsecure run`, the default: the agent, in the box of this project."""

from __future__ import annotations

from clsecure import agent, describe, hooks, session
from clsecure.choices import Start
from clsecure.commands import common, ending
from clsecure.errors import ExitCode, UserError
from clsecure.invocation import Invocation
from clsecure.plan import Plan


def run(invocation: Invocation) -> int:
    """Run the agent and deal with what it made; returns its exit code."""
    plan = common.make_plan(invocation, with_agent=True)
    if plan.config.dry_run:
        return describe.dry_run(plan, invocation)
    output = invocation.output
    with session.reach(plan, invocation.environ, output) as opening:
        opening = start_or_resume(opening, invocation)
        with session.open_box(opening, invocation.environ, output) as opened:
            output.note(describe.start_line(opened))
            if not opened.resumed:
                hooks.set_up(opened, invocation.environ, output)
            code = run_agent(opened, invocation)
            return ending.finish(invocation, opening, opened, code=code)


def run_agent(opened: session.OpenSession, invocation: Invocation) -> int:
    """Run the agent to its end; returns its exit code."""
    plan = opened.plan
    if plan.agent is None:
        raise ValueError("the plan has no agent")
    resumes = opened.resumed and opened.has_history
    return opened.box.run(
        agent.argv(plan.agent, invocation.arguments, resumes=resumes),
        cwd=str(plan.facts.cwd),
        variables=plan.agent_environment,
    )


def start_or_resume(opening: session.Opening, invocation: Invocation) -> session.Opening:
    """Decide, asking where possible, whether a kept session goes on; a fresh start removes it."""
    plan, output = opening.plan, invocation.output
    if opening.found is None:
        return opening
    wish = plan.config.start
    if wish is Start.ASK:
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
    with output.progress("removing the former session"):
        session.remove(opening)
    ending.forget_refs(plan.facts.repository, opening.worker, keep=False)
    return session.without_found(opening)


def _ask(opening: session.Opening, invocation: Invocation) -> Start:
    found = opening.found
    holds = describe.holds(found) if found else ""
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
    question = f"Throw the kept work away ({describe.holds(found)})?"
    return invocation.output.confirm(question, default=False)
