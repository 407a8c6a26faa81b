"""`clsecure doctor`: what this host has and lacks, and the command that mends it."""

from __future__ import annotations

from clsecure import hostchecks
from clsecure.choices import AgentName
from clsecure.errors import ExitCode, UserError
from clsecure.hostfinds import Check, Status
from clsecure.invocation import Invocation
from clsecure.output import Output, Style

_STYLES = {Status.OK: Style.GREEN, Status.WEAK: Style.YELLOW, Status.MISSING: Style.RED}


def run(invocation: Invocation) -> int:
    """Print a line for each thing; MISSING when no session can run in the default mode."""
    output = invocation.output
    checks = hostchecks.look(invocation.environ, _agent(invocation))
    if invocation.flag("json"):
        output.json([_document(check) for check in checks])
    else:
        _show(checks, output)
    missing = any(check.status is Status.MISSING for check in checks)
    return ExitCode.MISSING if missing else ExitCode.OK


def _agent(invocation: Invocation) -> AgentName:
    try:
        return invocation.load_config(None).agent
    except UserError:  # what is wrong with the settings is told by whoever uses them
        return AgentName.CLAUDE


def _show(checks: tuple[Check, ...], output: Output) -> None:
    for check in checks:
        style = _STYLES[check.status]
        output.say(f"{check.status:8} {check.check}: {check.found} ({check.purpose})", style=style)
        if check.status is not Status.OK:
            output.say(f"         mend: {check.mend}")
    missing = [check.check for check in checks if check.status is Status.MISSING]
    if missing:
        output.say(f"no session can run here in the default mode: {', '.join(missing)}")
    else:
        output.say("a session can run here in the default mode")


def _document(check: Check) -> dict[str, str | None]:
    mend = check.mend if check.status is not Status.OK else None
    return {
        "check": check.check,
        "status": check.status.value,
        "for": check.purpose,
        "found": check.found,
        "mend": mend,
    }
