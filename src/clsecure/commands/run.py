"""`clsecure run`, the default: the agent, in the box of this project."""

from __future__ import annotations

from clsecure.choices import Need
from clsecure.commands import common
from clsecure.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Run the agent and deal with what it made; returns its exit code."""
    with common.planned(invocation, need=Need.REQUIRED) as (plan, under_way):
        if plan.config.dry_run:
            from clsecure import describe

            return describe.dry_run(plan, invocation)
        from clsecure.commands import agentrun

        return agentrun.run_planned(invocation, plan, under_way)
