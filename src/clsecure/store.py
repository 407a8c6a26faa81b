"""What clsecure remembers for the human between runs: small private JSON files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clsecure import jsontext
from clsecure.errors import UserError

_TRUST, _REACH = "trust", "reach"


class Store:
    """The files in the human's state directory, each a mapping of strings.

    Directories are 0700, files 0600; a file is replaced whole or not at all, so that a crash
    leaves the old one. What cannot be understood counts as empty: nothing is then trusted.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def is_trusted(self, project: Path, content: bytes) -> bool:
        """Whether the human allowed this very content of the project's configuration."""
        return self.read(_TRUST).get(os.fspath(project)) == _digest(content)

    def trust(self, project: Path, content: bytes) -> None:
        """Remember that the human allowed this content; other content needs a new consent."""
        self.update(_TRUST, {os.fspath(project): _digest(content)})

    def may_reach(self, project: Path, content: bytes) -> bool:
        """Whether the human agreed to the hosts that this very configuration asks for."""
        return self.read(_REACH).get(os.fspath(project)) == _digest(content)

    def agree(self, project: Path, content: bytes) -> None:
        """Remember that the human agreed to the hosts of this content."""
        self.update(_REACH, {os.fspath(project): _digest(content)})

    def read(self, name: str) -> dict[str, str]:
        """Return the mapping called `name`; empty where there is none."""
        try:
            content = self._path(name).read_bytes()
        except OSError:
            return {}
        try:
            document = jsontext.read(content)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(document, dict):
            return {}
        return {key: value for key, value in document.items() if isinstance(value, str)}

    def update(self, name: str, changes: Mapping[str, str]) -> None:
        """Set keys in the mapping called `name`. Raises UserError where it cannot be written."""
        import json

        try:
            with self._locked():
                document = self.read(name) | dict(changes)
                self._replace(name, json.dumps(document, indent=1).encode() + b"\n")
        except OSError as error:
            raise UserError(
                f"{self.directory} cannot be written: {error.strerror}",
                hint="clsecure keeps what it remembers there; check its owner and mode",
            ) from error

    def append_log(self, text: str) -> Path:
        """Add `text` to the log file, cut when it has grown large, and return its path.

        Raises OSError where it cannot be written.
        """
        self._make_directory()
        path = self.directory / "clsecure.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "ab") as log:
            if os.fstat(log.fileno()).st_size > _LOG_LIMIT:
                log.truncate(0)
            log.write(text.encode(errors="backslashreplace"))
        return path

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _make_directory(self) -> None:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        self.directory.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl  # only where something is written

        self._make_directory()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.directory / "lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _replace(self, name: str, content: bytes) -> None:
        path = self._path(name)
        fresh = path.with_suffix(f".{os.getpid()}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise


_LOG_LIMIT = 1 << 20  # bytes


def _digest(content: bytes) -> str:
    from clsecure.digests import sha256  # rarely needed

    return sha256(content)
