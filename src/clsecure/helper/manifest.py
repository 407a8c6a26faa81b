"""Reads an image's manifest and configuration: other people's JSON, of which little is needed.

OCI image-spec 1.1, manifest.md and config.md; Docker's "image manifest version 2, schema 2" names
the same fields.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat

from .imagerecords import MAX_LAYERS
from .protocol import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_DOCUMENT = 4 << 20  # bytes; distribution-spec: what a registry should accept as a manifest
_MAX_WORDS, _MAX_WORD = 1000, 128 << 10  # execve(2) takes no longer one
_HEXADECIMAL = frozenset("0123456789abcdef")
_PREFIX, _DIGITS = "sha256:", 64


class Manifest:
    """Which blobs make up the image: digests of the configuration and of the layers as packed."""

    def __init__(self, descriptor: int, digest: str) -> None:
        """Read it and compare it with its digest; raises Refusal."""
        document = _read(descriptor, digest, "manifest")
        layers = document.get("layers")
        if not isinstance(layers, list):
            raise Refusal(
                "this is not the manifest of one image",
                hint="an image of Docker's first format has to be pushed again by a newer tool",
                code=2,
            )
        if len(layers) > MAX_LAYERS:
            raise Refusal(f"the image has more than {MAX_LAYERS} layers", code=2)
        self.digest = digest
        self.config = _digest_of(document.get("config"))
        self.layers = tuple(_digest_of(layer) for layer in layers)


class Configuration:
    """What the image says about its programs, and the digests of its layers as unpacked."""

    def __init__(self, descriptor: int, manifest: Manifest) -> None:
        """Read it and compare it with its digest; raises Refusal."""
        document = _read(descriptor, manifest.config, "configuration")
        contents = _object(document.get("rootfs")).get("diff_ids")
        if not isinstance(contents, list) or len(contents) != len(manifest.layers):
            raise Refusal("the image's configuration and manifest count other layers", code=3)
        if document.get("os", "linux") != "linux":
            raise Refusal("this image is not for Linux", code=2)
        self.contents = tuple(check_digest(content) for content in contents)
        defaults = _object(document.get("config"))
        self.architecture = _text(document.get("architecture"))
        self.created = _text(document.get("created"))
        self.environment = tuple(word for word in _words(defaults.get("Env")) if "=" in word)
        self.entrypoint = _words(defaults.get("Entrypoint"))
        self.command = _words(defaults.get("Cmd"))
        self.directory = _text(defaults.get("WorkingDir"))


def check_digest(digest: object) -> str:
    """Return a digest that is one; raises Refusal. image-spec, descriptor.md, "Digests"."""
    if isinstance(digest, str) and digest.startswith(_PREFIX):
        digits = digest[len(_PREFIX) :]
        if len(digits) == _DIGITS and _HEXADECIMAL.issuperset(digits):
            return digest
    raise Refusal("a digest is not sha256: and 64 hexadecimal digits", code=2)


def name_of(digest: str) -> str:
    """Return the name of a file or directory for what has this digest; raises Refusal."""
    return check_digest(digest)[len(_PREFIX) :]


def check_file(descriptor: int) -> None:
    """Refuse a descriptor that is not of a plain file which is open for reading."""
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.pread(descriptor, 1, 0)
            return
    except OSError:
        pass
    raise Refusal("a part of the image is not a plain file", code=2)


def _read(descriptor: int, digest: str, what: str) -> dict[str, Any]:
    content = _whole(descriptor, what)
    if f"{_PREFIX}{hashlib.sha256(content).hexdigest()}" != digest:
        raise Refusal(f"the image's {what} does not have its digest", code=3)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise Refusal(f"the image's {what} is not JSON", code=2) from None
    return _object(document)


def _whole(descriptor: int, what: str) -> bytes:
    content = b""
    while part := os.pread(descriptor, _MAX_DOCUMENT, len(content)):
        content += part
        if len(content) > _MAX_DOCUMENT:
            raise Refusal(f"the image's {what} is larger than 4 MiB", code=2)
    return content


def _digest_of(entry: object) -> str:
    return check_digest(_object(entry).get("digest"))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) and _is_word(value) else ""


def _words(value: object) -> tuple[str, ...]:
    words = value if isinstance(value, list) else []
    return tuple(word for word in words[:_MAX_WORDS] if isinstance(word, str) and _is_word(word))


def _is_word(text: str) -> bool:
    # JSON can hold what no argument or variable can: NUL, and halves of a surrogate pair.
    try:
        return len(text.encode()) < _MAX_WORD and "\0" not in text
    except UnicodeEncodeError:
        return False
