"""`clsecure image build`: an image from a file of the project, or from ours, built in a box.

A project asks and a human allows: the file is shown, and built after a yes that counts for this
very content. What it downloads takes the way of a session, with the same rules and the same log.
Our own file has an agent in it; what it starts from is fetched outside, as any image is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clsecure import facts, images, paths, session
from clsecure import plan as planning
from clsecure.choices import AGENT, HOST, Docker, Mode, Need, WorkspaceKind
from clsecure.commands import common
from clsecure.errors import ExitCode, UserError
from clsecure.images import agentimage, reference, saving
from clsecure.output import escape
from clsecure.store import Store

if TYPE_CHECKING:
    from clsecure.invocation import Invocation
    from clsecure.plan import Plan

_AGREED = "builds"  # in the store: a file's path to the digest that was agreed to
_SESSION = "image-build"
_TAG = "localhost/built"
_LARGEST = 1 << 20  # bytes of a file that is to be read by a person


def build(invocation: Invocation, operand: str | None) -> images.Pulled:
    """Build the image, unless this very file was built before; raises UserError."""
    if operand == AGENT:
        return _build_agent(invocation)
    if "base" in invocation.options:
        raise UserError(
            "--base goes with `image build agent`: a file of its own says what it starts from",
            hint="clsecure image build agent --base IMAGE",
            code=ExitCode.USAGE,
        )
    top = paths.find_top(invocation.cwd)
    if top is None:
        raise UserError(
            "an image is built for a project, and this is no git repository",
            hint="change into the project, or `clsecure image pull` one",
            code=ExitCode.USAGE,
        )
    file = _file(invocation, top, operand)
    content = _read(file)
    name = reference.build_name(file, content)
    _have_a_yes(invocation, file, content)
    plan = _plan(invocation, invocation.cwd)
    output, environ = invocation.output, invocation.environ
    with session.reach(plan, environ, output) as found:
        stored = images.stored(found.helper)
        there = next((image for image in stored if name in image.references), None)
        if there is not None:
            return images.Pulled(there, name, is_new=False)
        with images.private_directory(environ) as directory:
            archive = directory / "built.tar"
            _make(invocation, found, _Recipe(file.relative_to(top)), archive)
            wanted = images.built(name, archive, environ)
            return images.pull(found.helper, wanted, environ, output)


def _build_agent(invocation: Invocation) -> images.Pulled:
    """Build the image with an agent in it, anew each time: the agent is the newest, then."""
    output, environ = invocation.output, invocation.environ
    base = invocation.options["base"].value if "base" in invocation.options else agentimage.BASE
    source = images.wanted(str(base), invocation.cwd, environ)
    with agentimage.project(environ) as top:
        plan = _plan(invocation, top, agentimage.hosts())
        with output.progress(f"fetching {source.source.name}"):
            source.skopeo.save(source.source, top / agentimage.BASE_ARCHIVE, agentimage.BASE_NAME)
        with (
            session.reach(plan, environ, output) as found,
            images.private_directory(environ) as directory,
        ):
            archive = directory / "built.tar"
            recipe = _Recipe(Path(agentimage.FILE), agentimage.BASE_ARCHIVE, agentimage.BASE_NAME)
            _make(invocation, found, recipe, archive)
            wanted = images.built(AGENT, archive, environ)
            return images.pull(found.helper, wanted, environ, output)


class _Recipe(NamedTuple):
    """What is built: a file of the project, and an archive with what it starts from, if any."""

    file: Path
    base: str = ""
    base_name: str = ""


def _make(invocation: Invocation, found: session.Opening, recipe: _Recipe, archive: Path) -> None:
    opening = found
    if found.found:  # of a build that was cut short
        session.remove(found, found.found.worker)
        opening = session.without_found(found)
    worker = ""
    try:
        with session.open_box(opening, invocation.environ, invocation.output) as opened:
            worker = opened.record.worker
            if recipe.base:
                load = ("docker", "load", "--quiet", "--input", recipe.base)
                _run(invocation, opened, load)
            _run(invocation, opened, _command(recipe))
            saving.save(opened.box, _TAG, archive)
    finally:
        if worker:
            session.remove(opening, worker)


def _file(invocation: Invocation, top: Path, operand: str | None) -> Path:
    named = invocation.cwd / operand if operand else top / reference.CONTAINERFILE
    file = Path(os.path.realpath(named))
    if not file.is_relative_to(top):
        raise UserError(
            f"{named} is not in the project, which is all that a build sees",
            hint="copy it there",
            code=ExitCode.USAGE,
        )
    return file


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise UserError(
            f"{file} cannot be read: {error.strerror}",
            hint=f"write one at {reference.CONTAINERFILE}, or name another: image build FILE",
            code=ExitCode.USAGE,
        ) from None
    if len(content) > _LARGEST:
        raise UserError(f"{file} is too long to be read", hint="", code=ExitCode.REFUSED)
    return content


def _have_a_yes(invocation: Invocation, file: Path, content: bytes) -> None:
    output, store = invocation.output, Store(paths.state_directory(invocation.environ))
    digest = reference.digest(content)
    if store.read(_AGREED).get(str(file)) == digest:
        return
    is_given = invocation.flag("yes")
    if not is_given:
        for line in content.decode(errors="backslashreplace").splitlines():
            output.note(f"  {escape(line)}")
        question = f"Build this, {escape(str(file))}, in a box with the network of a session?"
        is_given = output.can_ask and output.confirm(question, default=False)
    if not is_given:
        raise UserError(
            f"{escape(str(file))} is not built without your yes to this very content",
            hint="start it in a terminal and answer, or give --yes",
            code=ExitCode.REFUSED,
        )
    store.update(_AGREED, {str(file): digest})


def _plan(invocation: Invocation, cwd: Path, hosts: tuple[str, ...] = ()) -> Plan:
    config = common.with_hosts(invocation, invocation.load_config(paths.find_top(cwd)))
    config = config._replace(
        allow=(*config.allow, *hosts),
        mode=Mode.USER,
        image=HOST,
        writable=False,
        docker=Docker.PODMAN,
        session=_SESSION,
        workspace=WorkspaceKind.AUTO,
        publish=(),
    )
    seen = facts.look(cwd, invocation.environ)
    return planning.decide(config, seen, invocation.environ, need=Need.WELCOME)


def _command(recipe: _Recipe) -> tuple[str, ...]:
    if not recipe.base:
        return ("docker", "build", "--file", str(recipe.file), "--tag", _TAG, ".")
    argument = ("--build-arg", f"BASE={recipe.base_name}", "--pull=never")
    file, context = str(recipe.file), str(recipe.file.parent)
    return ("docker", "build", *argument, "--file", file, "--tag", _TAG, context)


def _run(invocation: Invocation, opened: session.OpenSession, argv: tuple[str, ...]) -> None:
    top = str(opened.plan.project)

    def show(said: str) -> None:
        invocation.output.details(said.replace("\r", ""))  # of programs that think of a terminal

    ended = opened.box.run_shown(argv, cwd=top, variables={}, show=show)
    if ended.code:
        from clsecure.commands import agentrun

        agentrun.tell_traffic(opened, invocation.output)
        raise UserError(
            f"the image was not built: docker {argv[1]} ended with {ended.code}",
            hint="what it was not allowed to reach, --allow HOST lets through",
            code=ExitCode.FAILURE,
        )
