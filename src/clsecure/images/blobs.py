"""The directory into which skopeo has fetched an image, as open files for root.

Transport `dir` of containers-transports(5): `manifest.json`, and each blob under the hexadecimal
digits of its digest. Unlike an OCI layout it takes every manifest as the registry has it, so that
the digest is the one that everybody else knows, and leaves the layers of an archive unpacked.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from clsecure.errors import ExitCode, UserError
from clsecure.helper.imagerecords import MAX_LAYERS

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


@contextmanager
def opened(directory: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Open manifest, configuration and layers, in that order; raises UserError.

    Yields the manifest's digest and the descriptors. Root checks all of it again.
    """
    manifest = (directory / "manifest.json").read_bytes()
    names = ["manifest.json", *map(_file_of, _entries(manifest))]
    with ExitStack() as stack:
        descriptors = []
        for name in names:
            try:
                file = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                raise UserError(
                    "the image has a layer that its registry does not hand out",
                    code=ExitCode.FAILURE,
                ) from None
            stack.callback(os.close, file)
            descriptors.append(file)
        yield digest_of(manifest), tuple(descriptors)


def digest_of(manifest: bytes) -> str:
    """Return the digest by which a manifest is known."""
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def read_manifest(manifest: bytes) -> dict[str, Any]:
    """Read a manifest, or an index of several; raises UserError."""
    try:
        document = json.loads(manifest)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UserError("the image's manifest is not JSON")
    return document


def _entries(manifest: bytes) -> list[Any]:
    document = read_manifest(manifest)
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise UserError(
            "the image is in a format that is not understood here",
            hint="an image of Docker's first format has to be pushed again by a newer tool",
        )
    if len(layers) > MAX_LAYERS:
        raise UserError(f"the image has {len(layers)} layers, and {MAX_LAYERS} are the most")
    return [document.get("config"), *layers]


def _file_of(entry: object) -> str:
    digest = entry.get("digest") if isinstance(entry, dict) else None
    found = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    if not found:
        raise UserError("the image's manifest names a blob without a digest by SHA-256")
    return found[1]
