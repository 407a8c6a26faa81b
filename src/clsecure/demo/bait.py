"""What the scripted agent is tempted with: secrets and services, real ones of the demo's own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from clsecure import demo
from clsecure.demo import sample

# Of the person's environment only how their terminal is, and how sudo may ask.
_KEPT = ("TERM", "COLORTERM", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "NO_COLOR", "USER", "LOGNAME")
_ASKING = ("SUDO_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY")
_SECONDS = "600"  # the longest that the process with a secret lives, were the demo killed


@dataclass(frozen=True)
class Bait:
    """A directory that stands in for the person's home, with a project in it, and services."""

    home: Path
    project: Path
    environ: Mapping[str, str]
    agent_variables: Mapping[str, str]
    report: Path  # where the agent writes, in the box
    servers: Mapping[str, socket.socket]  # by the name of the attempt that would reach them

    def reached(self) -> tuple[str, ...]:
        """Return the attempts whose servers were reached: somebody waits there."""
        return tuple(name for name, server in self.servers.items() if _was_called(server))


@contextmanager
def lay(environ: Mapping[str, str]) -> Iterator[Bait]:
    """Make everything; it is gone with the context. Raises OSError."""
    with ExitStack() as stack:
        top = Path(os.path.realpath(tempfile.mkdtemp(prefix="clsecure-demo-")))
        stack.callback(shutil.rmtree, top, ignore_errors=True)
        home, programs = top / "home", top / "bin"
        for directory in (home / ".ssh", programs):
            directory.mkdir(parents=True)
        key = home / ".ssh" / "id_ed25519"
        key.write_text("not a key, but as secret as one\n")
        key.chmod(0o600)
        demo.install_agent(programs)
        sample.make_sample_repository(home / "basket")
        argv = (f"{demo.SECRET_MARK}{secrets.token_hex(8)}", _SECONDS)
        process = stack.enter_context(subprocess.Popen(argv, executable="/bin/sleep"))
        stack.callback(process.kill)
        path, name = top / "service.sock", f"clsecure-demo-{secrets.token_hex(8)}"
        servers = {
            "loopback": _serve(stack, socket.AF_INET, ("127.0.0.1", 0)),
            "sockets": _serve(stack, socket.AF_UNIX, str(path)),
            "abstract socket": _serve(stack, socket.AF_UNIX, f"\0{name}"),
        }
        kept = {name: environ[name] for name in (*_KEPT, *_ASKING) if name in environ}
        path_words = f"{programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        yield Bait(
            home=home,
            project=home / "basket",
            environ={**kept, "HOME": str(home), "PATH": path_words},
            agent_variables={
                "CLSECURE_DEMO_HOME": str(home),
                "CLSECURE_DEMO_PORT": str(servers["loopback"].getsockname()[1]),
                "CLSECURE_DEMO_SOCKETS": f"{path}:@{name}",
                "CLSECURE_DEMO_REPORT": str(home / "report.json"),
            },
            report=home / "report.json",
            servers=servers,
        )


def _serve(stack: ExitStack, family: int, address: str | tuple[str, int]) -> socket.socket:
    server = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
    server.bind(address)
    server.listen()
    server.settimeout(0)
    return server


def _was_called(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True
