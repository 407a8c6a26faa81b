"""The shipped file for an image with an agent in it, and the project that it is built in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clsecure import paths
from clsecure.images import fetch
from clsecure.process import run

BASE = "docker.io/library/node:22-bookworm-slim"  # as in the file
BASE_ARCHIVE, BASE_NAME = "base.tar", "localhost/base:latest"
FILE = "image/Containerfile"  # in that project
_TRUSTED = "image/trusted.crt"
# Where distributions keep all certificates in one file: Debian and Arch, Fedora, openSUSE.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
_SOURCE = Path(__file__).with_name("agent.Containerfile")
_ALLOW = "# allow: "


def hosts() -> tuple[str, ...]:
    """Return the hosts that the file says it needs."""
    lines = _SOURCE.read_text(encoding="utf-8").splitlines()
    listed = [line.removeprefix(_ALLOW) for line in lines if line.startswith(_ALLOW)]
    return tuple(host.strip() for line in listed for host in line.split(","))


@contextmanager
def project(environ: Mapping[str, str]) -> Iterator[Path]:
    """Make a repository that holds the file, removed at the end.

    In the state directory: in /tmp and /var/tmp, a box has directories of its own.
    """
    above = paths.state_directory(environ)
    above.mkdir(parents=True, exist_ok=True, mode=0o700)
    with fetch.private_directory({**environ, "TMPDIR": str(above)}) as directory:
        top = Path(os.path.realpath(directory))
        (top / FILE).parent.mkdir()
        shutil.copyfile(_SOURCE, top / FILE)
        bundle = next((path for path in _BUNDLES if os.path.isfile(path)), os.devnull)
        (top / _TRUSTED).write_bytes(Path(bundle).read_bytes())
        _git(top, environ, "init", "--quiet", "--initial-branch=main")
        _git(top, environ, "add", FILE)
        who = ("-c", "user.name=clsecure", "-c", "user.email=clsecure@example.invalid")
        _git(top, environ, *who, "-c", "commit.gpgSign=false", "commit", "-q", "-m", "The image")
        yield top


def _git(top: Path, environ: Mapping[str, str], *words: str) -> None:
    kept = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    run("git", "-c", f"core.hooksPath={os.devnull}", *words, cwd=top, env=kept)
