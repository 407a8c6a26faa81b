"""Opens a session's box according to a plan; everything that was opened closes in one stack."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clsecure import credentials, limits, network, privileged
from clsecure import plan as planning
from clsecure.agent import history_directory
from clsecure.choices import HOST, Mode, WorkspaceKind
from clsecure.errors import ExitCode, UserError
from clsecure.helper.protocol import (
    UNSUPPORTED,
    Alias,
    Find,
    Found,
    Noted,
    Open,
    Opened,
    Plant,
    Remove,
    Removed,
    Seed,
    Session,
)
from clsecure.helper.wire import memory_file
from clsecure.output import Output, escape
from clsecure.plan import Plan
from clsecure.workspace import masks

if TYPE_CHECKING:
    from clsecure.boxed import Box
    from clsecure.claudestate import HomeFile
    from clsecure.egress.service import Service
    from clsecure.workspace.gitseed import GitSeed

_SEEDS_A_MESSAGE = 100


class Stores(NamedTuple):
    """Object stores that a session borrows, and git-lfs's beside each ("": none)."""

    objects: tuple[str, ...] = ()
    lfs: tuple[str, ...] = ()


class Opening(NamedTuple):
    """A helper that knows the session, before its box is made."""

    plan: Plan
    helper: privileged.Helper
    found: Session | None
    scan: masks.Scan


class OpenSession(NamedTuple):
    """A session whose box stands."""

    plan: Plan
    box: Box
    record: Session
    hidden: tuple[str, ...]
    resumed: bool
    has_history: bool
    network: Service | None = None
    conversation: str = ""  # the last of the session's own, where its name is known


@contextmanager
def reach(
    plan: Plan,
    environ: Mapping[str, str],
    output: Output,
    helper: privileged.Helper | None = None,
    scan: masks.Scan | None = None,
    *,
    has_asked: bool = False,
) -> Iterator[Opening]:
    """Find the session, starting helper and scan unless they are under way; raises UserError.

    `has_asked`: the helper was sent the question already.
    """
    scan = scan or masks.start_scan(plan.facts.repository, plan.config.hide, plan.config.show)
    helper = helper or privileged.start(environ, may_ask=output.can_ask)
    try:
        if not has_asked:
            helper.send(Find(project=str(plan.project), session=plan.session))
        found, _ = helper.expect(Found)
        if found.session and found.session.running:
            raise UserError(
                f"this session is running already (worker {found.session.worker})",
                hint="use --session NAME for another one beside it",
                code=ExitCode.BUSY,
            )
        yield Opening(plan, helper, found.session, scan)
    finally:
        scan.stop()
        helper.close()


@contextmanager
def open_box(
    opening: Opening,
    environ: Mapping[str, str],
    output: Output,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[OpenSession]:
    """Make the box, for a kept session or a fresh one; it ends with the context.

    `meanwhile` is called while root makes it: the place to import what is needed then.
    """
    plan, session = opening.plan, opening.found
    with ExitStack() as stack:
        doors = stack.enter_context(ExitStack())  # to be open only while they are served
        published = network.publish(plan, doors)
        routes = credentials.fetch(plan.held.routes, output)
        if plan.config.mode is Mode.CONTAINER and plan.config.image != HOST:
            plan = _with_image(opening, environ, output)
            opening = opening._replace(plan=plan)
        plan = plan._replace(git=network.git_hosts(plan, environ))
        opening = opening._replace(plan=plan)
        hidden = opening.scan.result()
        stack.callback(opening.scan.remember, plan.facts.filesystem, environ)
        if session is not None:
            plan = plan._replace(workspace=WorkspaceKind(session.workspace))
            stores = Stores(session.objects, session.lfs)
            opened, listeners = _open(opening, plan, hidden, "resume", stores, meanwhile=meanwhile)
        else:
            plan, opened, listeners, copied = _create(opening, hidden, output, meanwhile)
        from clsecure.boxed import Box  # loaded while the box was made

        record = opened.session
        if session is None:
            from clsecure.homecoming import refs

            bases = refs.start_bases(plan.facts.repository, record.worker, record.base)
        for listener in listeners:
            doors.callback(os.close, listener)
        served = None
        if listeners:
            roles = [*zip(opened.sockets, listeners, strict=True), *published]
            served = network.serve(plan, opened.session, roles, environ, routes)
            stack.callback(served.close)
        doors.close()
        for warning in (*plan.held.warnings, *opened.warnings):
            output.warn(warning)
        told = network.git_variables(plan.git)
        variables = planning.environment(plan, environ, record.worker, record.uid, told)
        box = Box(opening.helper, record, variables)
        if session is None:
            refs.await_bases(bases)
            if copied.promisor is not None:
                from clsecure.workspace.promised import lacking

                output.warn(lacking(copied.promisor, plan.config))
            if plan.workspace is WorkspaceKind.CLONE:
                from clsecure.workspace import clone

                with output.progress("copying the project into the session"):
                    clone.fill(box, plan.facts.repository, copied, hidden)
                box.note(-1, -1)  # only now is there a session: half a copy would look like work
        last = opened.conversation
        has_history = opened.probe or bool(last)
        yield OpenSession(plan, box, record, hidden, session is not None, has_history, served, last)


def _with_image(opening: Opening, environ: Mapping[str, str], output: Output) -> Plan:
    from clsecure import images

    plan, text, helper = opening.plan, opening.plan.config.image, opening.helper
    if plan.may_fetch:
        return plan._replace(image=images.ensure(helper, text, plan.facts.cwd, environ, output))
    found = images.find(helper, text, plan.facts.cwd)
    if found is None:  # the way home needs none
        output.warn(f"the image {text} is not there: the host's programs stand in for it")
    return plan._replace(image=found)


def remove(opening: Opening, worker: str) -> None:
    """Remove a session: its user, home and state."""
    opening.helper.ask(Remove(worker=worker), Removed)


def without_found(opening: Opening) -> Opening:
    """Return the opening after the session that was found has been removed."""
    return opening._replace(found=None)


def _create(
    opening: Opening, hidden: tuple[str, ...], output: Output, meanwhile: Callable[[], object]
) -> tuple[Plan, Opened, list[int], GitSeed]:
    """Make a fresh session; the last of what it returns names the stores, should it be a clone."""
    from clsecure.workspace import gitseed

    plan, repository = opening.plan, opening.plan.facts.repository
    asked = gitseed.ask(repository)
    from clsecure.claudestate import HomeFile  # while git answers
    from clsecure.firstrun import home_files

    places = (plan.project, plan.facts.cwd)
    files, lacking = home_files(plan.facts.home, places, plan.agent_environment, plan.held)
    lacking += plan.around.lacking
    for line in lacking if plan.declared.is_settled else ():
        output.note(f"not in the session: {escape(line)}")
    seed = gitseed.seed(asked)
    if seed.home_config:
        files = {**files, ".gitconfig": HomeFile(os.fsencode(seed.home_config))}
    if plan.workspace is WorkspaceKind.OVERLAY:
        try:
            _plant(opening.helper, seed, files)
            opened, listeners = _open(
                opening, plan, hidden, "create", stores_of(seed), meanwhile=meanwhile
            )
        except UserError as error:
            if error.message != UNSUPPORTED or plan.config.workspace is WorkspaceKind.OVERLAY:
                raise
            plan = plan._replace(workspace=WorkspaceKind.CLONE, workspace_reason=error.hint)
        else:
            return plan, opened, listeners, seed
    from clsecure.workspace import clone

    _plant(opening.helper, clone.seed(repository, seed), files)
    opened, listeners = _open(opening, plan, hidden, "create", Stores(), meanwhile=meanwhile)
    return plan, opened, listeners, seed


def stores_of(seed: GitSeed) -> Stores:
    """Return the stores that a seed borrows, as root is asked for them."""
    lfs = tuple(str(path) if path else "" for path in seed.lfs)
    return Stores(tuple(str(path) for path in seed.objects), lfs if any(lfs) else ())


def _plant(helper: privileged.Helper, seed: GitSeed, home: Mapping[str, HomeFile]) -> None:
    items: list[tuple[Seed, bytes | Path]] = [
        (Seed(area="git", path=file.path, mode=file.mode), file.content) for file in seed.files
    ]
    items += [
        (Seed(area="home", path=path, mode=file.mode), file.content) for path, file in home.items()
    ]
    for start in range(0, len(items), _SEEDS_A_MESSAGE):
        part = items[start : start + _SEEDS_A_MESSAGE]
        contents = tuple(_content(content) for _, content in part)
        directories = seed.directories if start == 0 else ()
        request = Plant(seeds=tuple(one for one, _ in part), directories=directories)
        try:
            helper.ask(request, Noted, contents)
        finally:
            for content in contents:
                os.close(content)


def _content(content: bytes | Path) -> int:
    if isinstance(content, bytes):
        return memory_file(content)
    return os.open(content, os.O_RDONLY | os.O_CLOEXEC)


def _open(
    opening: Opening,
    plan: Plan,
    hidden: tuple[str, ...],
    action: str,
    stores: Stores,
    *,
    meanwhile: Callable[[], object],
) -> tuple[Opened, list[int]]:
    base = opening.found.base if opening.found else None
    opening.helper.send(open_request(plan, action=action, base=base, stores=stores, hidden=hidden))
    import clsecure.boxed  # while root makes the box
    import clsecure.egress.service

    if action == "create":
        import clsecure.homecoming.refs  # noqa: F401

    meanwhile()
    return opening.helper.expect(Opened)


def open_request(
    plan: Plan,
    *,
    action: str,
    stores: Stores,
    hidden: tuple[str, ...],
    base: str | None = None,
) -> Open:
    """Return what root is asked for; `base` None is the commit that is checked out."""
    repository, api, shown = plan.facts.repository, plan.endpoint, plan.tools
    is_clone = plan.workspace is WorkspaceKind.CLONE
    return Open(
        project=str(plan.project),
        session=plan.session,
        action=action,
        workers=plan.workers if action == "create" else (),
        mode=plan.config.mode.value,
        engine=plan.engine,
        network=plan.config.network.value,
        workspace=plan.workspace.value,
        home=str(plan.facts.home),
        git_dir=str(repository.git_dir),
        base=base or str(repository.head.commit),
        objects=stores.objects,
        lfs=stores.lfs,
        exposures=tuple(one.path for one in shown.exposed if not one.source),
        aliases=tuple(Alias(at=one.path, source=one.source) for one in shown.exposed if one.source),
        caches=tuple(one.path for one in shown.caches),
        state=tuple(Alias(at=one.path, source=one.source) for one in plan.around.state),
        covered=shown.covered,
        masks=() if is_clone else hidden,
        listeners=network.listeners(api, has_routes=bool(plan.held.routes), git=plan.git),
        limits=limits.asked(plan.config),
        broker=api is not None,
        docker=plan.config.docker.value,
        image=plan.image.digest if plan.image else "",
        writable=plan.config.writable,
        probe=history_directory(plan.declared, plan.facts.cwd),
    )
