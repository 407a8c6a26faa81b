"""`clsecure info`: how a session would be built here."""

from __future__ import annotations

from clsecure import describe
from clsecure.choices import Need
from clsecure.commands import common
from clsecure.errors import ExitCode
from clsecure.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Print worker, mode, engine, workspace, network, and what is hidden and exposed."""
    plan = common.make_plan(invocation, need=Need.WELCOME)
    facts = describe.info(plan)
    if invocation.flag("json"):
        invocation.output.json(facts)
    else:
        rows = [(name, describe.words(value)) for name, value in facts.items()]
        invocation.output.table(("what", "here"), rows)
    return ExitCode.OK
