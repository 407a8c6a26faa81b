"""A session that runs while a test looks on, and does what it is told, a line at a time."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from world.human import Human

_AGENT = 'echo ready; while read -r line; do echo "$(sh -c "$line" 2>&1 | tail -n 1)"; done'
_SECONDS = 15


def until(true: Callable[[], object], seconds: float = _SECONDS) -> None:
    """Wait until that is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {true}"
        time.sleep(0.02)


def control_socket(state: Path) -> Path:
    """The one control socket below that directory for state, once it is there."""
    directory = state / "clsecure/net"
    until(lambda: list(directory.glob("*.sock")))
    (found,) = directory.glob("*.sock")
    return found


def served_by(control: Path) -> int:
    """The process that answers at a control socket: SO_PEERCRED, unix(7)."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(control))
        asking.sendall(json.dumps({"do": "describe"}).encode() + b"\n")
        asking.recv(65536)
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


class Live:
    """The session; what is not ended at the end of the context is killed."""

    def __init__(
        self, human: Human, project: Path, *flags: str, env: Mapping[str, str] | None = None
    ) -> None:
        human.agent(_AGENT)
        pipe = subprocess.PIPE
        self._state = Path((env or {}).get("XDG_STATE_HOME", human.home / ".local/state"))
        self.running = human.start(
            *flags, cwd=project, env=env, stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert self.running.stdout is not None
        assert self.running.stdin is not None
        self._said, self._told = self.running.stdout, self.running.stdin

    def __enter__(self) -> Self:
        assert self._said.readline() == b"ready\n", self.running.communicate()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.communicate()

    def do(self, line: str) -> str:
        """Run a line of shell in the box; returns the last line of what it says."""
        self._told.write(f"{line}\n".encode())
        self._told.flush()
        return self._said.readline().decode().strip()

    def code(self, host: str) -> str:
        """The status that a request for the host gets; 000 where it gets none."""
        return self.do(f"curl -s -m 8 -o /dev/null -w '%{{http_code}}' http://{host}/")

    def serve(self, port: int) -> None:
        """Start a web server in the box, in the project's directory."""
        self.do(
            f"python3 -m http.server -b 127.0.0.1 {port} >/dev/null 2>&1 & "
            f"until curl -s -o /dev/null http://127.0.0.1:{port}/; do sleep 0.05; done"
        )

    @property
    def control(self) -> Path:
        """The socket at which the session's egress service can be talked to, once it is there."""
        return control_socket(self._state)

    def service(self) -> int:
        """The process id of the session's egress service."""
        return served_by(self.control)

    def end(self, code: int = 0) -> str:
        """Let the agent end; returns what the person was told."""
        _, said = self.running.communicate(timeout=30)
        assert self.running.returncode == code, said
        return said.decode()
