"""Secrets in what a person exposes by name: found by the same patterns as those of the project."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from clsecure.errors import ExitCode, UserError
from clsecure.listing import Listing
from clsecure.reachoptions import SHOWN
from clsecure.workspace.masks import matcher, outermost

_CHUNK = 1 << 20
_MOST_READ = 64 << 10  # bytes of a file that may hold certificates alone


def secrets_below(
    top: str,
    hide: Sequence[str],
    show: Sequence[str],
    environ: Mapping[str, str],
    listing: Listing | None = None,
) -> tuple[str, ...]:
    """Return the absolute paths below a directory whose names say that they are secret.

    `listing` is taken over, if it was begun already. Raises UserError when the search fails: then
    nothing is known to be safe.
    """
    listing = listing or begin(top, environ)
    try:
        content = b"".join(iter(lambda: os.read(listing.descriptor, _CHUNK), b""))
        code = listing.wait()
    finally:
        listing.close()
    if code not in {0, 1}:  # 1: it could not read a directory, which nobody can, then
        raise _failed(top)
    names = [os.fsdecode(name)[2:] for name in content.split(b"\0") if len(name) > len("./")]
    hidden, shown = matcher(hide), matcher((*SHOWN, *show))
    found = sorted(
        name
        for name in names
        if hidden.fullmatch(name)
        and not shown.fullmatch(name)
        and not os.path.lexists(f"{top}/{name}/pyvenv.cfg")
        and not _is_public(f"{top}/{name}")
    )
    return tuple(f"{top}/{name}" for name in outermost(found))


def begin(top: str, environ: Mapping[str, str]) -> Listing:
    """Begin to list the names below a directory; raises UserError."""
    try:
        return Listing(top, environ)
    except OSError as error:
        raise _failed(top) from error


def _is_public(path: str) -> bool:
    """Say whether this is a file of certificates, without a key."""
    if not path.endswith(".pem") or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        text = file.read(_MOST_READ + 1)
    return len(text) <= _MOST_READ and b"-BEGIN CERTIFICATE-" in text and b" KEY-" not in text


def _failed(top: str) -> UserError:
    return UserError(
        f"the search for secrets in {top} failed", hint="try again", code=ExitCode.REFUSED
    )
