"""Images for container mode: found in root's store, or fetched and added to it.

Fetching is done here, by a process of the human's with the human's credentials; root only ever
gets open files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clsecure.choices import AGENT
from clsecure.errors import ExitCode, UserError
from clsecure.helper.imagerecords import (
    Image,
    ImageAdd,
    ImageAdded,
    ImageList,
    ImageName,
    ImageRemove,
    Images,
)
from clsecure.helper.protocol import Removed
from clsecure.images import reference
from clsecure.output import Output
from clsecure.paths import find_top

if TYPE_CHECKING:
    from clsecure.images.fetch import Skopeo
    from clsecure.privileged import Helper

_SHORTEST = 6  # hexadecimal digits of a digest that are taken for one


class Wanted(NamedTuple):
    """An image to be pulled, and what fetches it."""

    source: reference.Reference
    skopeo: Skopeo


class Pulled(NamedTuple):
    """An image that was pulled; `is_new`: it was not in the store before."""

    image: Image
    name: str
    is_new: bool
    left_out: int = 0  # devices and pipes, which no image of ours has


def stored(helper: Helper) -> tuple[Image, ...]:
    """Return this human's images, the latest pulled first; raises UserError."""
    return helper.ask(ImageList(), Images)[0].images


def find(helper: Helper, text: str, cwd: Path) -> Image | None:
    """Return the image in the store that a reference means; raises UserError for a bad one."""
    name = _name(text, cwd)
    return next((image for image in stored(helper) if name in image.references), None)


def _name(text: str, cwd: Path) -> str:
    if text == reference.BUILD:
        return reference.of_build(find_top(cwd))
    return text if text == AGENT else reference.parse(text, cwd).name


def ensure(
    helper: Helper, text: str, cwd: Path, environ: Mapping[str, str], output: Output
) -> Image:
    """Return the image that a reference means, pulled where it is missing; raises UserError."""
    found = find(helper, text, cwd)
    if found is not None:
        return found
    if text == reference.BUILD:
        raise UserError(
            f"{reference.CONTAINERFILE}, as it is now, has not been built",
            hint="clsecure image build shows it to you, and builds it",
            code=ExitCode.MISSING,
        )
    if text == AGENT:
        raise UserError(
            "the image with an agent in it has not been built",
            hint="clsecure image build agent",
            code=ExitCode.MISSING,
        )
    return pull(helper, wanted(text, cwd, environ), environ, output).image


def wanted(text: str, cwd: Path, environ: Mapping[str, str]) -> Wanted:
    """Make ready to pull what a reference means; nothing is asked yet. Raises UserError."""
    from clsecure.images import fetch  # a start that finds its image does not need it

    return Wanted(reference.parse(text, cwd), fetch.Skopeo(environ))


def built(name: str, archive: Path, environ: Mapping[str, str]) -> Wanted:
    """Make ready to add an archive that was built under that name; raises UserError."""
    from clsecure.images import fetch

    source = reference.Reference(name, f"oci-archive:{archive}", is_archive=True)
    return Wanted(source, fetch.Skopeo(environ))


def private_directory(environ: Mapping[str, str]) -> AbstractContextManager[Path]:
    """Make a directory that is the human's alone and goes again; raises UserError."""
    from clsecure.images import fetch

    return fetch.private_directory(environ)


def pull(helper: Helper, what: Wanted, environ: Mapping[str, str], output: Output) -> Pulled:
    """Fetch an image and have root unpack it, unless it is there already; raises UserError."""
    from clsecure.images import blobs, fetch

    source, skopeo = what
    with output.progress(f"asking for {source.name}"):
        announced = skopeo.announced(source)
    known = {image.digest for image in stored(helper)}
    if announced.digest in known:
        named = ImageName(digest=announced.digest, reference=source.name)
        return Pulled(helper.ask(named, ImageAdded)[0].image, source.name, is_new=False)
    with fetch.private_directory(environ) as directory:
        amount = fetch.Amount(directory, announced.size)
        with output.progress(f"fetching {source.name}", amount.text):
            skopeo.copy(source, directory)
        with blobs.opened(directory / "blobs") as (digest, descriptors):
            request = ImageAdd(digest=digest, reference=source.name)
            with output.progress(f"unpacking {source.name}"):
                added = helper.ask(request, ImageAdded, descriptors)[0]
    return Pulled(added.image, source.name, digest not in known, added.left_out)


def is_for_this_machine(image: Image) -> bool:
    """Say whether programs of the image run here; True where it does not say for what it is."""
    from clsecure.images.fetch import MACHINE

    return image.architecture in {"", MACHINE}


def choose(images: Iterable[Image], text: str, cwd: Path) -> Image:
    """Return the one image that a reference, or the beginning of a digest, means.

    Raises UserError where it means none, or several.
    """
    digits = text.removeprefix("sha256:").lower()
    if len(digits) >= _SHORTEST and all(digit in "0123456789abcdef" for digit in digits):
        found = [image for image in images if image.digest.startswith(f"sha256:{digits}")]
    else:
        name = _name(text, cwd)
        found = [image for image in images if name in image.references]
    if len(found) == 1:
        return found[0]
    raise UserError(
        f"more than one image begins with {text}" if found else f"there is no image {text}",
        hint="`clsecure image list` shows what there is",
        code=ExitCode.USAGE,
    )


def unused(images: Iterable[Image], used: Collection[str]) -> tuple[Image, ...]:
    """Return the images that no box has now, and whose digests are not among those in `used`."""
    return tuple(image for image in images if not image.running and image.digest not in used)


def remove(helper: Helper, image: Image) -> None:
    """Remove an image from the store; raises UserError, also when a box has it."""
    helper.ask(ImageRemove(digest=image.digest), Removed)
