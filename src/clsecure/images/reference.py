"""What a person writes for an image, and where that is fetched from.

The grammar is that of the distribution project (reference/reference.go), and so is what a short
name stands for. The transports are those of containers-transports(5).
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import NamedTuple

from clsecure.errors import ExitCode, UserError

BUILD = "build"  # as an image: the one that was built from this project's file
CONTAINERFILE = ".clsecure/Containerfile"
_ARCHIVES = ("oci-archive", "docker-archive")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"(?:(?P<host>localhost|\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*\.[A-Za-z0-9.-]*|[A-Za-z0-9.-]+(?=:\d))"
    r"(?P<port>:\d+)?/)?"
    rf"(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_DEFAULT_HOST, _DEFAULT_PATH, _DEFAULT_TAG = "docker.io", "library/", "latest"
_LONGEST = 1000
_DIGITS = 12  # of a content's digest in a name


class Reference(NamedTuple):
    """An image as it is called in full, and as skopeo is told of it."""

    name: str
    source: str
    is_archive: bool = False
    is_local: bool = False  # a registry of this host, which may do without TLS
    host: str = ""


def parse(text: str, cwd: Path) -> Reference:
    """Understand a reference; a relative path is below `cwd`. Raises UserError (USAGE)."""
    transport, _, rest = text.partition(":")
    if transport in _ARCHIVES:
        return _archive(transport, rest, cwd)
    found = _REFERENCE.fullmatch(text.removeprefix("docker://"))
    if not found or len(text) > _LONGEST:
        raise UserError(
            f"{text} is not a reference to an image",
            hint="HOST/NAME:TAG, oci-archive:PATH or docker-archive:PATH",
            code=ExitCode.USAGE,
        )
    host = found["host"] or _DEFAULT_HOST
    path = found["path"]
    if host == _DEFAULT_HOST and "/" not in path:
        path = _DEFAULT_PATH + path
    which = f"@{found['digest']}" if found["digest"] else f":{found['tag'] or _DEFAULT_TAG}"
    address = host + (found["port"] or "")
    name = f"{address}/{path}{which}"
    return Reference(name, f"docker://{name}", is_local=_is_loopback(host), host=address)


def digest(content: bytes) -> str:
    """Return what stands for a file's content."""
    import hashlib  # only where there is something to build

    return hashlib.sha256(content).hexdigest()


def build_name(file: Path, content: bytes) -> str:
    """Return what an image is called that was built from a file with that content."""
    return f"{BUILD}:{file}@{digest(content)[:_DIGITS]}"


def of_build(top: Path | None) -> str:
    """Return what the image of this project's own file is called; raises UserError."""
    file = (top or Path()) / CONTAINERFILE
    try:
        return build_name(Path(os.path.realpath(file)), file.read_bytes())
    except OSError as error:
        raise UserError(
            f"image = {BUILD} needs {file}, which cannot be read: {error.strerror}",
            hint="write one, or set another image",
            code=ExitCode.USAGE,
        ) from None


def _archive(transport: str, rest: str, cwd: Path) -> Reference:
    path, colon, inside = rest.partition(":")
    if not path or not rest.isprintable():
        raise UserError(f"{transport}: needs a path", code=ExitCode.USAGE)
    absolute = cwd / path
    if not absolute.is_file():
        raise UserError(
            f"there is no file {absolute}",
            hint="name an archive of this host, or an image such as docker.io/library/debian:12",
            code=ExitCode.USAGE,
        )
    name = f"{transport}:{absolute}{colon}{inside}"
    return Reference(name, name, is_archive=True)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
