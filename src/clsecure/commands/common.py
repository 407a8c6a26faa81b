"""What the commands on sessions share: settings and plan of the project here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clsecure import paths, privileged
from clsecure.errors import ExitCode, UserError
from clsecure.invocation import Invocation

if TYPE_CHECKING:
    from clsecure import git, session
    from clsecure.config import Config
    from clsecure.plan import Plan


def make_plan(invocation: Invocation, *, with_agent: bool) -> Plan:
    """Read settings, host and repository, and decide; nothing is changed. Raises UserError."""
    from clsecure import facts, plan  # while the helper starts

    top = paths.find_top(invocation.cwd)
    config = invocation.load_config(top)
    plan.refuse_unbuilt(config)
    seen = facts.look(invocation.cwd, invocation.environ)
    return plan.decide(config, seen, invocation.environ, with_agent=with_agent)


@contextmanager
def planned(
    invocation: Invocation, *, with_agent: bool
) -> Iterator[tuple[Plan, privileged.Helper | None]]:
    """Make the plan while the helper starts, where that asks for nothing; raises UserError."""
    helper = None
    if paths.find_top(invocation.cwd) and not invocation.flag("dry_run"):
        helper = privileged.start_early(invocation.environ)
    try:
        yield make_plan(invocation, with_agent=with_agent), helper
    finally:
        if helper:
            helper.close()


@contextmanager
def kept_session(
    invocation: Invocation,
) -> Iterator[tuple[session.Opening, session.OpenSession]]:
    """Open the kept session of this project; raises UserError when there is none."""
    from clsecure import session

    made = make_plan(invocation, with_agent=False)
    with session.reach(made, invocation.environ, invocation.output) as opening:
        if opening.found is None:
            name = f" {made.session}" if made.session else ""
            raise UserError(
                f"there is no session{name} for this project",
                hint="`clsecure list` shows all of yours, `clsecure` starts one",
                code=ExitCode.USAGE,
            )
        with session.open_box(opening, invocation.environ, invocation.output) as opened:
            yield opening, opened


def repository_of(project: str) -> git.Repository | None:
    """Return the repository of a session's project; None when it is gone."""
    from pathlib import Path

    from clsecure import git

    try:
        return git.discover(Path(project))
    except UserError:
        return None


def session_name(config: Config) -> str:
    """Return the session's name for people."""
    return config.session or "default"
