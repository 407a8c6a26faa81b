"""`clsecure exec -- CMD…`: one command where the agent would run."""

from __future__ import annotations

from clsecure import hooks, session, sessionwords
from clsecure.choices import Need, Start
from clsecure.commands import agentrun, common
from clsecure.errors import ExitCode, UserError
from clsecure.invocation import Invocation
from clsecure.plan import Plan


def run(invocation: Invocation) -> int:
    """Run the command in the box; returns its exit code."""
    if not invocation.arguments:
        raise UserError("no command to run", hint="clsecure exec -- CMD ARGS…", code=ExitCode.USAGE)
    return run_in_box(invocation, invocation.arguments)


def run_in_box(invocation: Invocation, argv: tuple[str, ...]) -> int:
    """Run a command of the human's in the session, kept or fresh, and keep the session."""
    with common.planned(invocation, need=Need.WELCOME) as (plan, under_way):
        if plan.config.dry_run:
            from clsecure import describe

            return describe.dry_run(plan, invocation, argv)
        return _run(invocation, plan, under_way, argv)


def _run(
    invocation: Invocation, plan: Plan, under_way: common.UnderWay, argv: tuple[str, ...]
) -> int:
    helper, scan, asked = under_way
    environ, output = invocation.environ, invocation.output
    with session.reach(plan, environ, output, helper, scan, has_asked=asked) as found:
        opening = found
        if plan.config.start is Start.FRESH:
            opening = agentrun.start_or_resume(found, invocation)
        with session.open_box(opening, invocation.environ, invocation.output) as opened:
            is_shell = invocation.command == "shell"
            if is_shell:
                invocation.output.note(sessionwords.start_line(opened))
            if not opened.resumed:
                hooks.set_up(opened, invocation.environ, invocation.output)
            # A person in a shell may start the agent; a script's command needs no key for it.
            variables = plan.agent_environment if is_shell else {}
            cwd, seconds = str(plan.facts.cwd), plan.config.time or 0
            code = opened.box.run(argv, cwd=cwd, variables=variables, timeout=seconds)
            agentrun.tell_traffic(opened, invocation.output, only_trouble=not is_shell)
            agentrun.tell_limits(opened, invocation.output)
            if is_shell:
                invocation.output.note(sessionwords.kept(opened))
            return code
