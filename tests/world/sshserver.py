"""An ssh server on the tests' internet that serves one git repository to one key."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world.human import Human
    from world.internet import Internet


class SshServer(NamedTuple):
    """What a client of it needs."""

    user: str
    key: str  # the private key's text
    host_key: str  # as known_hosts has it behind the names


@contextmanager
def new_ssh_server(
    internet: Internet,
    addresses: tuple[str, ...],
    human: Human,
    repository: Path,
    command: str = "",
) -> Iterator[SshServer]:
    """Serve `repository` at port 22 to a key of the human's, for whom the server runs git.

    `command` is run instead of a program of git that only reads.
    """
    place = internet.directory / "ssh"
    place.mkdir()
    host_key, key = place / "host", place / "key"
    said = _output("dropbearkey", "-t", "ed25519", "-f", host_key)
    public = next(line for line in said.splitlines() if line.startswith("ssh-ed25519 "))
    _output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key)
    human.write(".ssh/authorized_keys", key.with_suffix(".pub").read_text(), mode=0o600)
    argv = [*internet.prefix, "dropbear", "-F", "-E", "-s", "-m", "-j", "-k"]
    argv += ["-r", str(host_key), "-P", str(place / "pid")]
    argv += [word for address in addresses for word in ("-p", f"{address}:22")]
    argv += ["-c", command or f"git-upload-pack '{repository}'"]
    with (place / "log").open("wb") as log, subprocess.Popen(argv, stderr=log) as running:
        try:
            yield SshServer(human.name, key.read_text(), " ".join(public.split()[:2]))
        finally:
            running.kill()


def _output(*words: str | Path) -> str:
    ran = subprocess.run([*map(str, words)], check=True, capture_output=True, text=True)
    return ran.stdout
