"""What the commands on sessions share: settings and plan of the project here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from clsecure import ahead, paths, privileged
from clsecure.choices import Docker, Need, Network
from clsecure.errors import ExitCode, UserError
from clsecure.helper.protocol import Find
from clsecure.invocation import Invocation

if TYPE_CHECKING:
    from clsecure import facts, git, session
    from clsecure.config import Config
    from clsecure.plan import Plan
    from clsecure.workspace import masks


_LENT = "lent"  # what of the host each project was lent


class UnderWay(NamedTuple):
    """What was started ahead of the plan: root's helper, and the search for secrets."""

    helper: privileged.Helper | None
    scan: masks.Scan | None
    has_asked: bool = False  # the helper was asked for the session, and has not been heard


def make_plan(invocation: Invocation, *, need: Need) -> Plan:
    """Read settings, host and repository, and decide; nothing is changed. Raises UserError.

    Where no agent is needed (NONE) the box gets no network, and is a kept session's, whose disk
    stays as it is: what runs there brings work home.
    """
    from clsecure import plan

    config, seen = _look(invocation, ahead.Ahead())
    if need is Need.NONE:
        config = config._replace(network=Network.NONE, docker=Docker.NONE, disk=None)
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
        config, seen = _look(invocation, begun)
        if helper:  # which makes ready what the session needs while the plan is made
            helper.send(Find(project=str(seen.repository.top), session=config.session or ""))
        from clsecure import plan
        from clsecure.workspace import masks

        config = with_hosts(invocation, config)
        _lend_docker(invocation, config)
        if begun.listing:
            scan = masks.start_scan(seen.repository, config.hide, config.show, begun.listing)
        decided = plan.decide(config, seen, invocation.environ, need=need)
        yield decided, UnderWay(helper, scan, has_asked=helper is not None)
    finally:
        if scan:
            scan.stop()
        begun.close()


def _look(invocation: Invocation, begun: ahead.Ahead) -> tuple[Config, facts.Facts]:
    from clsecure import facts, plan  # while the helper starts

    config = invocation.load_config(paths.find_top(invocation.cwd))
    plan.refuse_contradictions(config)
    return config, facts.look(invocation.cwd, invocation.environ, begun.asked)


def with_hosts(invocation: Invocation, config: Config) -> Config:
    """Complete the allow-list: the project's wishes, where agreed to; registries by their hosts."""
    if config.asked and config.network is not Network.NONE:
        config = _agreed(invocation, config)
    if not config.allow:
        return config
    from clsecure.egress import allowing  # only where there is something to allow

    top = paths.find_top(invocation.cwd)
    try:
        with invocation.output.progress("reading the registries' hosts"):
            allowed = allowing.complete(config.allow, invocation.environ, top or invocation.cwd)
    except UserError as error:
        places = ", ".join(str(each) for each in config.origins["allow"] if each.where)
        raise UserError(f"{places}: {error.message}", hint=error.hint, code=error.code) from None
    return config._replace(allow=allowed)


def _lend_docker(invocation: Invocation, config: Config) -> None:
    """Have the human's yes, once for a project, to the host's docker; raises UserError."""
    top = paths.find_top(invocation.cwd)
    if config.docker is not Docker.HOST or top is None or invocation.flag("dry_run"):
        return
    from clsecure import network
    from clsecure.store import Store

    store = Store(paths.state_directory(invocation.environ))
    network.docker_socket(invocation.environ)
    if store.read(_LENT).get(str(top)) == "docker":
        return
    output = invocation.output
    question = "The host's docker is as good as root on this machine. Lend it to this project?"
    if not config.yes and not (output.can_ask and output.confirm(question, default=False)):
        raise UserError(
            "the host's docker is as good as root: it needs your yes, once for each project",
            hint="start it in a terminal and answer, or give --yes; --docker podman is safe",
            code=ExitCode.REFUSED,
        )
    store.update(_LENT, {str(top): "docker"})


def _agreed(invocation: Invocation, config: Config) -> Config:
    output, top = invocation.output, paths.find_top(invocation.cwd)
    asked = ", ".join(config.asked)
    if not output.can_ask or config.yes or top is None or invocation.flag("dry_run"):
        output.warn(f"the project asks to reach {asked}; `clsecure config trust` allows it")
        return config
    question = f"This project asks to reach {asked}. Allow it, as long as the list is this one?"
    if not output.confirm(question, default=False, flag="`clsecure config trust`"):
        return config
    from clsecure.configfiles import read_project
    from clsecure.store import Store

    project = read_project(top)
    if project is not None:
        Store(paths.state_directory(invocation.environ)).agree(top, project.content)
    return config._replace(allow=(*config.allow, *config.asked), asked=())


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
