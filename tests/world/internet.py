"""A small internet for tests: a network namespace with public-looking hosts, names and servers.

`clsecure` runs in it as on any host: sudo, helper and egress service included. What lies in
/etc/netns/NAME is mounted over /etc there (ip-netns(8)), so names resolve to the hosts below.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from world.human import Human

# Addresses that belong to nobody's private network, as a policy sees them; here they are on `lo`.
UPSTREAM, OTHER, CLOUD = "11.0.0.1", "11.0.0.2", "11.0.0.3"
API = "11.0.0.4"  # has no servers but those of a test
PRIVATE, UNLISTED = "10.9.9.9", "10.9.9.10"
METADATA, LOOPBACK = "169.254.169.254", "127.0.0.1"
NAMES = {
    "allowed.test": UPSTREAM,
    "www.allowed.test": UPSTREAM,
    "evil.test": OTHER,
    "cloud.test": CLOUD,
    "api.test": API,
    "inner.test": PRIVATE,
    "private.test": UNLISTED,
    "loop.test": LOOPBACK,
    "metadata.test": METADATA,
}
_LISTEN = """
import socket, sys
listening = socket.create_server((sys.argv[1], int(sys.argv[2])))
socket.send_fds(socket.socket(fileno=0), [b"?"], [listening.fileno()])
"""
BANNER_PORT, UDP_PORT = 5432, 9953


class Internet:
    """The namespace; commands that run in it see only its hosts."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.directory = name, directory
        self.prefix = ("ip", "netns", "exec", name)
        self.authority = directory / "ca.pem"

    def run(self, *words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the namespace, outside of any box."""
        argv = [*self.prefix, *map(str, words)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, **options)

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening socket there, for a server of this process."""
        here, there = socket.socketpair()
        with here, there:
            subprocess.run(
                [*self.prefix, sys.executable, "-c", _LISTEN, address, str(port)],
                stdin=there,
                check=True,
            )
            _, descriptors, _, _ = socket.recv_fds(here, 1, 1)
        return socket.socket(fileno=descriptors[0])

    def asked(self) -> list[dict[str, str]]:
        """What the servers were asked so far, in order."""
        log = self.directory / "asked"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def forget(self) -> None:
        """Forget what was asked."""
        (self.directory / "asked").unlink(missing_ok=True)


@contextmanager
def new_internet(directory: Path, more: Mapping[str, str] | None = None) -> Iterator[Internet]:
    """Make it, with its servers running; nothing of it is left afterwards.

    `more` are further names with their addresses, below those that it has anyway.
    """
    names = {**NAMES, **(more or {})}
    name = f"clsecure-t-{secrets.token_hex(4)}"
    etc = Path("/etc/netns", name)
    made = Internet(name, directory)
    directory.chmod(0o755)
    _certificates(directory)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        etc.mkdir(parents=True)
        own = socket.gethostname()  # sudo asks for it
        hosts = [f"127.0.0.1 localhost {own}", *(f"{names[host]} {host}" for host in names)]
        (etc / "hosts").write_text("\n".join(hosts) + "\n")
        (etc / "resolv.conf").write_text("")  # nobody is asked
        (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
        made.run("ip", "link", "set", "lo", "up")
        for address in (UPSTREAM, OTHER, CLOUD, API, PRIVATE, UNLISTED, METADATA):
            made.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        with _servers(made):
            yield made
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)
        shutil.rmtree(etc, ignore_errors=True)
        if etc.parent.exists() and not any(etc.parent.iterdir()):
            etc.parent.rmdir()


@contextmanager
def _servers(made: Internet) -> Iterator[None]:
    program = Path(__file__).with_name("internetservers.py")
    argv = [*made.prefix, sys.executable, str(program), str(made.directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            yield
        finally:
            running.send_signal(signal.SIGKILL)


def _certificates(directory: Path) -> None:
    names = ",".join(f"DNS:{host},DNS:*.{host}" for host in NAMES)
    script = f"""
    set -e
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=clsecure-tests \
      -keyout ca.key -out ca.pem
    openssl req -newkey rsa:2048 -nodes -subj /CN=allowed.test -keyout key.pem -out request.pem
    printf 'subjectAltName={names},IP:{UPSTREAM}' > extensions
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
      -extfile extensions -out cert.pem
    chmod 644 ca.pem cert.pem key.pem
    """
    subprocess.run(["sh", "-c", script], cwd=directory, check=True, capture_output=True)


@contextmanager
def inside(human: Human, internet: Internet) -> Iterator[Human]:
    """Let the human live on that internet for a while."""
    human.prefix = internet.prefix
    try:
        yield human
    finally:
        human.prefix = ()
