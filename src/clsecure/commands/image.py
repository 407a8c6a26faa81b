"""`clsecure image`: the images of container mode."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from clsecure import images, privileged
from clsecure.errors import ExitCode, UserError
from clsecure.helper.imagerecords import Image
from clsecure.helper.protocol import List, Listed
from clsecure.invocation import Invocation
from clsecure.privileged import Helper

_HEADERS = ("reference", "digest", "size", "pulled", "used")
_DIGITS = 12  # of a digest, as other tools show it
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def run(invocation: Invocation) -> int:
    """List, pull, remove or prune images."""
    operand, *values = invocation.arguments or ("list",)
    # What is wrong with a reference is said before anybody is asked for a password.
    wanted = None
    if operand == "pull":
        wanted = images.wanted(values[0], invocation.cwd, invocation.environ)
    if operand == "build":
        return _build(invocation, values[0] if values else None)
    helper = privileged.start(invocation.environ, may_ask=invocation.output.can_ask)
    try:
        if wanted:
            return _pull(invocation, helper, wanted)
        if operand == "remove":
            return _remove(invocation, helper, values[0])
        if operand == "prune":
            return _prune(invocation, helper)
        return _list(invocation, helper)
    finally:
        helper.close()


def _list(invocation: Invocation, helper: Helper) -> int:
    found, used = images.stored(helper), _used(helper)
    if invocation.flag("json"):
        invocation.output.json([_document(image, used) for image in found])
    elif found:
        invocation.output.table(_HEADERS, [_row(image, used) for image in found])
    else:
        invocation.output.note("no images; `clsecure image pull REF` fetches one")
    return ExitCode.OK


def _pull(invocation: Invocation, helper: Helper, wanted: images.Wanted) -> int:
    output = invocation.output
    pulled = images.pull(helper, wanted, invocation.environ, output)
    image = pulled.image
    if pulled.left_out:
        output.warn(f"{pulled.left_out} devices, pipes or sockets of the image were left out")
    if not images.is_for_this_machine(image):
        output.warn(f"the image is made for {image.architecture}, and this machine is not")
    if invocation.flag("json"):
        output.json(_document(image, _used(helper)))
        return ExitCode.OK
    said = "pulled" if pulled.is_new else "there already"
    output.say(f"{said}: {pulled.name} ({_short(image)}, {size_text(image.size)})")
    return ExitCode.OK


def _build(invocation: Invocation, file: str | None) -> int:
    from clsecure.commands import imagebuild  # with all that a session is made of

    built = imagebuild.build(invocation, file)
    if invocation.flag("json"):
        invocation.output.json(_document(built.image, frozenset()))
        return ExitCode.OK
    said = "built" if built.is_new else "there already"
    invocation.output.say(
        f"{said}: {built.name} ({_short(built.image)}, {size_text(built.image.size)})"
    )
    return ExitCode.OK


def _remove(invocation: Invocation, helper: Helper, text: str) -> int:
    image = images.choose(images.stored(helper), text, invocation.cwd)
    if image.digest in _used(helper):
        question = f"A kept session has {_name(image)} as its file system. Remove it?"
        if not invocation.output.confirm(question, default=False):
            raise UserError("nothing was removed", code=ExitCode.FAILURE)
    _take_away(invocation, helper, (image,))
    return ExitCode.OK


def _prune(invocation: Invocation, helper: Helper) -> int:
    found = images.unused(images.stored(helper), _used(helper))
    if not found:
        invocation.output.note("there is no image that no session uses")
        return ExitCode.OK
    names = ", ".join(_name(image) for image in found)
    total = size_text(sum(image.size for image in found))
    if not invocation.output.confirm(f"Remove {names} ({total})?", default=True):
        raise UserError("nothing was removed", code=ExitCode.FAILURE)
    _take_away(invocation, helper, found)
    return ExitCode.OK


def _take_away(invocation: Invocation, helper: Helper, found: Iterable[Image]) -> None:
    for image in found:
        with invocation.output.progress(f"removing {_name(image)}"):
            images.remove(helper, image)
        invocation.output.say(f"removed: {_name(image)} ({_short(image)})")


def _used(helper: Helper) -> frozenset[str]:
    """Return the digests of the images that kept sessions have."""
    sessions = helper.ask(List(), Listed)[0].sessions
    return frozenset(getattr(session, "image", "") for session in sessions) - {""}


def size_text(size: int) -> str:
    """Return a number of bytes as a person reads it."""
    amount, unit = float(size), 0
    while amount >= _STEP and unit + 1 < len(_UNITS):
        amount, unit = amount / _STEP, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}"


def _row(image: Image, used: frozenset[str]) -> tuple[str, ...]:
    pulled = datetime.fromtimestamp(image.pulled, UTC).astimezone()
    use = "kept session" if image.digest in used else "no"
    return (
        ", ".join(image.references) or "-",
        _short(image),
        size_text(image.size),
        f"{pulled:%Y-%m-%d %H:%M}",
        "running session" if image.running else use,
    )


def _document(image: Image, used: frozenset[str]) -> dict[str, object]:
    return {
        "references": list(image.references),
        "digest": image.digest,
        "size": image.size,
        "entries": image.entries,
        "architecture": image.architecture,
        "created": image.created or None,
        "pulled": datetime.fromtimestamp(image.pulled, UTC).isoformat(timespec="seconds"),
        "running": image.running,
        "used": image.running or image.digest in used,
    }


def _name(image: Image) -> str:
    return image.references[0] if image.references else _short(image)


def _short(image: Image) -> str:
    return image.digest.removeprefix("sha256:")[:_DIGITS]
