"""Saves what was built in a box as an archive outside, and no more than there is room for."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Protocol

from clsecure.amounts import size_words
from clsecure.errors import ExitCode, UserError
from clsecure.output import escape

_LARGEST = 16 << 30  # bytes; an image with everything for a project has some 5 GiB
_LEFT = 20  # a twentieth of the disk stays for everybody else, as where images are unpacked
_COPIES = 3  # skopeo unpacks the archive, and writes its layers once more
_PIECE = 1 << 20


class Box(Protocol):
    """What is needed of an open box."""

    def run_inside(
        self, argv: tuple[str, ...], *, stdin: bytes, stdout: int, env: dict[str, str]
    ) -> tuple[int, bytes]:
        """Run a program in the box."""


def room(directory: Path) -> int:
    """Return how large an archive may become there, in bytes."""
    status = os.statvfs(directory)
    free = status.f_bavail - status.f_blocks // _LEFT
    return max(0, min(_LARGEST, free * status.f_frsize // _COPIES))


def save(box: Box, tag: str, archive: Path) -> None:
    """Write the image of that name into a new archive.

    Raises UserError when it cannot be saved, or is larger than there is room for: whoever made its
    file, or a package that it installs, could otherwise fill the human's disk.
    """
    most = room(archive.parent)
    said, says = os.pipe2(os.O_CLOEXEC)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    writer = _Writer(said, os.open(archive, flags, 0o600), most)
    writer.start()
    try:
        argv = ("docker", "save", "--format", "oci-archive", tag)
        code, complaint = box.run_inside(argv, stdin=b"", stdout=says, env={})
    finally:
        os.close(says)
        writer.join()
    if writer.is_full:
        raise UserError(
            f"the image is larger than {size_words(most)}, for which there is room in "
            f"{archive.parent.parent}",
            hint="make room there, or set TMPDIR to another place; 16G are the most",
            code=ExitCode.FAILURE,
        )
    if writer.error or code:
        said_last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        reason = str(writer.error) if writer.error else escape(said_last)
        raise UserError(f"the image cannot be saved: {reason}", code=ExitCode.FAILURE)


class _Writer(threading.Thread):
    """Copies what comes, up to a number of bytes; then nobody reads on, and the sender ends."""

    def __init__(self, source: int, target: int, most: int) -> None:
        super().__init__(daemon=True)
        self._source, self._target, self._most = source, target, most
        self.is_full = False
        self.error: OSError | None = None

    def run(self) -> None:
        """Copy until the sender has no more to say."""
        written = 0
        try:
            while piece := os.read(self._source, _PIECE):
                written += len(piece)
                if written > self._most:
                    self.is_full = True
                    return
                while piece:
                    piece = piece[os.write(self._target, piece) :]
        except OSError as error:
            self.error = error
        finally:
            os.close(self._source)
            os.close(self._target)
