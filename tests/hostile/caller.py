"""Speaks to root's helper as whoever started it by sudo could: well-formed, odd, or not at all.

`patched` makes a copy of the helper with one of its protections taken out, so that a test can show
that it is this protection which holds, and what notices that it is gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import clsecure.helper
from clsecure.ahead import PYTHON
from clsecure.helper.protocol import (
    ANSWERS,
    Checked,
    Exec,
    Exited,
    Failed,
    Open,
    Opened,
    Remove,
    Removed,
    Started,
)
from clsecure.helper.wire import receive, send
from clsecure.naming import worker_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from clsecure.helper.records import Record
    from world import Human

PACKAGE = Path(clsecure.helper.__file__).parent
ENGINES = ("none", "firejail", "bubblewrap", "podman")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Caller:
    """The other end of a helper's socket; it runs as sudo would start it for that user id."""

    def __init__(
        self,
        uid: int | None,
        *,
        package: Path = PACKAGE,
        env: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(30)
        self._said = tempfile.TemporaryFile()
        sudo = {} if uid is None else {"SUDO_UID": str(uid)}
        with theirs:
            self.process = subprocess.Popen(
                [*prefix, PYTHON, "-IS", str(package)],
                stdin=theirs,
                stdout=self._said,
                stderr=self._said,
                env={"PATH": _PATH, **sudo, **(env or {})},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, raw: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send bytes as they are."""
        socket.send_fds(self.channel, [raw], list(descriptors))

    def hear(self) -> Record | None:
        """The next answer, its descriptors closed; None when the helper has ended."""
        answer = self.receive()
        if answer is None:
            return None
        for descriptor in answer[1]:
            os.close(descriptor)
        return answer[0]

    def receive(self) -> tuple[Record, list[int]] | None:
        """The next answer and its descriptors; None when the helper has ended."""
        try:
            return receive(self.channel, ANSWERS)
        except ConnectionResetError:
            return None

    def ask(self, request: Record, descriptors: tuple[int, ...] = ()) -> Record | None:
        """Send a request and return the answer."""
        send(self.channel, request, descriptors)
        return self.hear()

    def run(self, *argv: str, stdin: str = "", cwd: str = "/", **fields: Any) -> Ran:
        """Run a command in the box to its end."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told:
            given.write(stdin.encode())
            given.seek(0)
            environment = ("PATH=/usr/bin:/bin", "LANG=C.UTF-8")
            request = Exec(argv=argv, environment=environment, cwd=cwd, **fields)
            answer = self.ask(request, (given.fileno(), told.fileno(), told.fileno()))
            while isinstance(answer, (Started, Checked)):
                answer = self.hear()
            told.seek(0)
            return Ran(answer, told.read().decode(errors="replace"))

    def discard(self, opened: Record | None) -> None:
        """Remove the session that was opened."""
        assert isinstance(opened, Opened), opened
        answer = self.ask(Remove(worker=opened.session.worker))
        assert isinstance(answer, Removed), answer

    def close(self) -> int:
        """Hang up, and wait for the helper's end; returns its exit code."""
        self.channel.close()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            raise

    @property
    def said(self) -> str:
        """What it wrote to standard output and error."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")


class Ran:
    """How a command ended."""

    def __init__(self, answer: Record | None, output: str) -> None:
        self.answer, self.output = answer, output

    @property
    def code(self) -> int:
        assert isinstance(self.answer, Exited), self
        return self.answer.code

    @property
    def refused(self) -> Failed | None:
        return self.answer if isinstance(self.answer, Failed) else None

    def __repr__(self) -> str:
        return f"{self.answer}: {self.output}"


def open_request(human: Human, project: Path, **fields: Any) -> Open:
    """An honest request of that human, with other values in some fields."""
    engine = fields.get("engine", "none")
    values = {
        "project": str(project),
        "session": "",
        "action": "create",
        "workers": worker_names(str(project), str(fields.get("session", "")), human.account.pw_uid),
        "mode": {"none": "user", "podman": "container"}.get(engine, "namespace"),
        "engine": engine,
        "network": "filtered",
        "workspace": "overlay",
        "home": str(human.home),
        "git_dir": f"{project}/.git",
        "base": "0" * 40,
        "objects": (f"{project}/.git/objects",),
        "exposures": (),
        "masks": (),
        "listeners": (),
        "probe": ".claude",
    }
    return Open(**{**values, **fields})


def patched(directory: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of the helper with (file, text, other text) replaced; each text must be there once."""
    package = directory / "helper"
    if not package.exists():
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in changes:
        source = (package / name).read_text()
        assert source.count(old) == 1, f"{name} has {source.count(old)} times: {old}"
        (package / name).write_text(source.replace(old, new))
    return package
