"""`clsecure image build`: an image from a file of the project, built in a box of its own.

A project asks and a human allows: the file is shown, and built after a yes that counts for this
very content. What it downloads takes the way of a session, with the same rules and the same log.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clsecure import facts, images, paths, session
from clsecure import plan as planning
from clsecure.choices import HOST, Docker, Mode, Need, WorkspaceKind
from clsecure.errors import ExitCode, UserError
from clsecure.images import reference
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
    plan = _plan(invocation)
    output, environ = invocation.output, invocation.environ
    with session.reach(plan, environ, output) as found:
        stored = images.stored(found.helper)
        there = next((image for image in stored if name in image.references), None)
        if there is not None:
            return images.Pulled(there, name, is_new=False)
        with images.private_directory(environ) as directory:
            archive = directory / "built.tar"
            _make(invocation, found, file.relative_to(top), archive)
            wanted = images.built(name, archive, environ)
            return images.pull(found.helper, wanted, environ, output)


def _make(invocation: Invocation, found: session.Opening, file: Path, archive: Path) -> None:
    opening = found
    if found.found:  # of a build that was cut short
        session.remove(found, found.found.worker)
        opening = session.without_found(found)
    worker = ""
    try:
        with session.open_box(opening, invocation.environ, invocation.output) as opened:
            worker = opened.record.worker
            _run(invocation, opened, file)
            _save(opened, archive)
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


def _plan(invocation: Invocation) -> Plan:
    config = invocation.load_config(paths.find_top(invocation.cwd))
    config = config._replace(
        mode=Mode.USER,
        image=HOST,
        writable=False,
        docker=Docker.PODMAN,
        session=_SESSION,
        workspace=WorkspaceKind.AUTO,
        publish=(),
    )
    seen = facts.look(invocation.cwd, invocation.environ)
    return planning.decide(config, seen, invocation.environ, need=Need.WELCOME)


def _run(invocation: Invocation, opened: session.OpenSession, file: Path) -> None:
    argv = ("docker", "build", "--file", str(file), "--tag", _TAG, ".")
    top = str(opened.plan.project)
    ended = opened.box.run_shown(argv, cwd=top, variables={}, show=invocation.output.note)
    if ended.code:
        from clsecure.commands import agentrun

        agentrun.tell_traffic(opened, invocation.output)
        raise UserError(
            f"the image was not built: docker build ended with {ended.code}",
            hint="what it was not allowed to reach, `allow = HOST` lets through",
            code=ExitCode.FAILURE,
        )


def _save(opened: session.OpenSession, archive: Path) -> None:
    argv = ("docker", "save", "--format", "oci-archive", _TAG)
    file = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        code, said = opened.box.run_inside(argv, stdin=b"", stdout=file, env={})
    finally:
        os.close(file)
    if code:
        reason = escape(said.decode(errors="replace").strip().rpartition("\n")[2])
        raise UserError(f"the image cannot be saved: {reason}", hint="", code=ExitCode.FAILURE)
