"""Fetching an image with skopeo, into a directory that is the human's alone and goes again."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from clsecure import process
from clsecure.errors import ExitCode, UserError
from clsecure.images import blobs, complaints
from clsecure.images.reference import Reference

_PLACE = "/var/tmp"  # noqa: S108 - made with a name that nobody knows, and a mode of 0700
_PREFIX = "clsecure-image-"
# Go's names, which images are marked with: https://go.dev/doc/install/source#environment
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MACHINE = _ARCHITECTURES.get(os.uname().machine, os.uname().machine)
_MEBIBYTE = 1 << 20


class Announced(NamedTuple):
    """What a registry says about an image before it is fetched; empty and 0: not known."""

    digest: str = ""
    size: int = 0  # bytes, as they are sent


class Skopeo:
    """Runs skopeo as the human, whose credentials and proxies it finds by the environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Find the program; raises UserError (MISSING)."""
        program = shutil.which("skopeo", path=environ.get("PATH"))
        if not program:
            raise UserError(
                "images are fetched with skopeo, which is not installed",
                hint="install the package skopeo",
                code=ExitCode.MISSING,
            )
        self._program, self._environ = program, {**environ, "LC_ALL": "C"}

    def announced(self, source: Reference) -> Announced:
        """Ask which image a reference means now; nothing is asked about an archive.

        Raises UserError.
        """
        if source.is_archive:
            return Announced()
        manifest = self._run(source, "inspect", "--raw", *_without_tls(source), source.source)
        document = blobs.read_manifest(manifest)
        if "manifests" in document:
            return Announced(digest=_of_this_machine(document))
        layers = document.get("layers")
        sizes = [layer.get("size") for layer in layers or () if isinstance(layer, dict)]
        size = sum(each for each in sizes if isinstance(each, int))
        return Announced(digest=blobs.digest_of(manifest), size=size)

    def copy(self, source: Reference, directory: Path) -> None:
        """Fetch an image into `blobs` below that directory; its digests are checked on the way.

        Raises UserError.
        """
        flags = [f"--src{flag[1:]}" for flag in _without_tls(source)]
        scratch = directory / "scratch"  # into which it unpacks archives
        scratch.mkdir()
        words = ("copy", "--quiet", *flags, source.source, f"dir:{directory}/blobs")
        self._run(source, "--tmpdir", str(scratch), *words)

    def save(self, source: Reference, archive: Path, name: str) -> None:
        """Fetch an image into a new archive, under that name in it; raises UserError."""
        flags = [f"--src{flag[1:]}" for flag in _without_tls(source)]
        words = ("copy", "--quiet", *flags, source.source, f"oci-archive:{archive}:{name}")
        self._run(source, "--tmpdir", str(archive.parent), *words)

    def _run(self, source: Reference, *words: str) -> bytes:
        ended = process.run(self._program, *words, env=self._environ, check=False)
        if ended.returncode:
            raise complaints.explain(os.fsdecode(ended.stderr), source)
        return ended.stdout


class Amount:
    """How much has arrived so far, as a person reads it."""

    def __init__(self, directory: Path, expected: int) -> None:
        self._directory, self._expected = directory, expected

    def text(self) -> str:
        """Return it, with what is expected where that is known."""
        arrived = 0
        with suppress(OSError):  # files get other names while they are counted
            arrived = sum(each.stat().st_size for each in self._directory.glob("*/*"))
        of = f" of {-(-self._expected // _MEBIBYTE)}" if self._expected else ""
        return f": {arrived // _MEBIBYTE}{of} MiB"


@contextmanager
def private_directory(environ: Mapping[str, str]) -> Iterator[Path]:
    """Make a directory for this human alone, removed at the end, also by SIGTERM and SIGHUP.

    What a killed process has left is removed first. Raises UserError.
    """
    place = Path(environ.get("TMPDIR") or _PLACE)
    _sweep(place)
    try:
        directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getuid()}-", dir=place))
    except OSError as error:
        raise UserError(
            f"no directory can be made in {place}: {error.strerror}", hint="set TMPDIR"
        ) from None
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(held)
        for number, handler in before.items():
            signal.signal(number, handler)


def _sweep(place: Path) -> None:
    for left in place.glob(f"{_PREFIX}{os.getuid()}-*"):
        with suppress(OSError):  # somebody else's, or in use
            held = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(held).st_uid == os.getuid():
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left)
            finally:
                os.close(held)


def _without_tls(source: Reference) -> tuple[str, ...]:
    return ("--tls-verify=false",) if source.is_local else ()


def _of_this_machine(index: dict[str, Any]) -> str:
    # OCI image-spec, image-index.md. With variants of it skopeo knows better which one to take.
    entries = index["manifests"] if isinstance(index["manifests"], list) else []
    found = [
        entry.get("digest")
        for entry in entries
        if isinstance(entry, dict)
        and isinstance(entry.get("platform"), dict)
        and entry["platform"].get("os") == "linux"
        and entry["platform"].get("architecture") == MACHINE
    ]
    return found[0] if len(found) == 1 and isinstance(found[0], str) else ""
