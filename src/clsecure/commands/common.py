"""What the commands on sessions share: settings and plan of the project here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from clsecure import ahead, paths, privileged
from clsecure.choices import Need
from clsecure.errors import ExitCode, UserError
from clsecure.invocation import Invocation

if TYPE_CHECKING:
    from clsecure import facts, git, session
    from clsecure.config import Config
    from clsecure.plan import Plan
    from clsecure.workspace import masks


class UnderWay(NamedTuple):
    """What was started ahead of the plan: root's helper, and the search for secrets."""

    helper: privileged.Helper | None
    scan: masks.Scan | None


def make_plan(invocation: Invocation, *, need: Need) -> Plan:
    """Read settings, host and repository, and decide; nothing is changed. Raises UserError."""
    from clsecure import plan

    config, seen = _look(invocation)
    return plan.decide(config, seen, invocation.environ, need=need)


@contextmanager
def planned(invocation: Invocation, *, need: Need) -> Iterator[tuple[Plan, UnderWay]]:
    """Make the plan while helper and scan start, where that asks for nothing; raises UserError."""
    begun, scan = invocation.begun, None
    if invocation.flag("dry_run"):
        begun = ahead.Ahead()
    elif begun is None:
        begun = ahead.begin(invocation.environ, str(invocation.cwd))
    helper = privileged.Helper(begun.helper) if begun.helper else None
    try:
        config, seen = _look(invocation)
        from clsecure import plan
        from clsecure.workspace import masks

        if begun.listing:
            scan = masks.start_scan(seen.repository, config.hide, config.show, begun.listing)
        decided = plan.decide(config, seen, invocation.environ, need=need)
        yield decided, UnderWay(helper, scan)
    finally:
        if scan:
            scan.stop()
        begun.close()


def _look(invocation: Invocation) -> tuple[Config, facts.Facts]:
    from clsecure import facts, plan  # while the helper starts

    config = invocation.load_config(paths.find_top(invocation.cwd))
    plan.refuse_unbuilt(config)
    return config, facts.look(invocation.cwd, invocation.environ)


@contextmanager
def kept_session(
    invocation: Invocation,
) -> Iterator[tuple[session.Opening, session.OpenSession]]:
    """Open the kept session of this project; raises UserError when there is none."""
    from clsecure import session

    made = make_plan(invocation, need=Need.NONE)
    with session.reach(made, invocation.environ, invocation.output) as opening:
        if opening.found is None:
            raise no_session(made)
        with session.open_box(opening, invocation.environ, invocation.output) as opened:
            yield opening, opened


def no_session(plan: Plan) -> UserError:
    """Return the error for a project that has no such session."""
    name = f" {plan.session}" if plan.session else ""
    return UserError(
        f"there is no session{name} for this project",
        hint="`clsecure list` shows all of yours, `clsecure` starts one",
        code=ExitCode.USAGE,
    )


def repository_of(project: str) -> git.Repository | None:
    """Return the repository of a session's project; None when it is gone."""
    from pathlib import Path

    from clsecure import git

    try:
        return git.discover(Path(project))
    except UserError:
        return None
