"""Where cargo gets crates: its registries' indexes, and the hosts that the crates are on.

An index's `config.json` says where downloads are (The Cargo Book, "Index Format"). cargo keeps it
beside the index in its home, so that is where it is read.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from clsecure.egress.clients import Clients, scratch, strings, table

_DEFAULT = "crates-io"  # what cargo's own configuration calls it
_FAILED = re.compile(r"failed to (?:download from|fetch) `(\S+?)`")
_INDEX_VARIABLE = re.compile(r"CARGO_REGISTRIES_(\w+)_INDEX", re.ASCII)
_MANIFEST = """\
[package]
name = "question"
version = "0.0.0"
[lib]
path = "lib.rs"
[dependencies]
x = {}
[workspace]
"""


def urls(clients: Clients) -> list[str]:
    """Return the URLs of indexes and downloads of the human's own cargo; raises UserError.

    `.cargo/config.toml` in the project and above it is not read: it belongs to the project.
    """
    cargo = clients.need("cargo")
    home = Path(clients.environ.get("CARGO_HOME") or clients.home / ".cargo")
    settings = clients.toml(home / "config.toml") or clients.toml(home / "config")
    registries = dict(_registries(clients, settings))
    replaced = _replacement(clients, table(settings.get("source")), registries)
    default = _ask_default(clients, cargo) if replaced is None else replaced
    found = []
    for name, index in ((None, default), *registries.items()):
        downloads = _downloads(clients, cargo, home, name, index) if index else []
        if index and replaced is None and name is None and not downloads:
            raise clients.error("cargo could not ask its registry where crates are")
        found += [index, *downloads]
    return found


def _registries(clients: Clients, settings: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, entry in table(settings.get("registries")).items():
        for index in strings(table(entry).get("index")):
            yield name, index
    for variable, index in clients.environ.items():
        if match := _INDEX_VARIABLE.fullmatch(variable):
            yield match[1].lower().replace("_", "-"), index


def _replacement(
    clients: Clients, sources: Mapping[str, object], registries: Mapping[str, str]
) -> str | None:
    """Return the index that stands in for the default one; "" for a directory, None for none.

    The Cargo Book, "Source Replacement".
    """
    name, seen = _DEFAULT, {_DEFAULT}
    while following := strings(table(sources.get(name)).get("replace-with")):
        name = following[0]
        if name in seen:
            raise clients.error("cargo's sources replace one another in a circle")
        seen.add(name)
    if name == _DEFAULT:
        return None
    source = table(sources.get(name))
    given = [*strings(source.get("registry")), *strings(source.get("git"))]
    return given[0] if given else registries.get(name, "")


def _ask_default(clients: Clients, cargo: str) -> str:
    """Return the index that cargo wants to reach, by having it fail to.

    No command of a stable cargo prints it. Its proxy is a port that nobody can listen on.
    """
    with socket.socket() as closed, scratch() as directory:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        environ = {k: v for k, v in clients.environ.items() if not k.startswith("CARGO_")}
        environ |= {"CARGO_HOME": directory, "CARGO_HTTP_PROXY": proxy, "CARGO_NET_RETRY": "0"}
        argv = _question(directory, cargo, None)
        # rustup's stand-in for cargo finds its toolchains in the human's home all the same.
        said = clients.ask(*argv, environ=environ, either_way=True)
    named = _FAILED.search(said)
    if named is None:
        raise clients.error("cargo does not say what its registry is")
    return named[1].removesuffix("config.json")


def _downloads(
    clients: Clients, cargo: str, home: Path, registry: str | None, index: str
) -> list[str]:
    """Return what the index's `config.json` says, which cargo fetches if it has not; or nothing."""
    kept = _kept(home, index)
    if not kept:
        with scratch() as directory:
            argv = _question(directory, cargo, registry)
            environ = {**clients.environ, "CARGO_NET_RETRY": "0"}
            clients.ask(*argv, environ=environ, either_way=True)
        kept = _kept(home, index)
    return kept


def _question(directory: str, cargo: str, registry: str | None) -> tuple[str, ...]:
    """Return a command line that makes cargo open a registry; the crate need not be there.

    The manifest is a workspace of its own and cargo does not run beside it, so that it looks for
    neither workspace nor configuration in a directory for temporary files, where all may write.
    """
    wanted = (
        '"*"' if registry is None else f'{{ version = "*", registry = {json.dumps(registry)} }}'
    )
    manifest = Path(directory, "Cargo.toml")
    manifest.write_text(_MANIFEST.format(wanted), encoding="utf-8")
    Path(directory, "lib.rs").touch()
    return (cargo, "generate-lockfile", "--manifest-path", os.fspath(manifest))


def _kept(home: Path, index: str) -> list[str]:
    try:
        host = urlsplit(index).hostname or ""
    except ValueError:
        return []
    found = []
    # The directory is named for the host and a hash (cargo's sources, `short_name`).
    for path in (home / "registry/index").glob("*/config.json"):
        if path.parent.name.rpartition("-")[0] == host:
            try:
                found += strings(json.loads(path.read_bytes())["dl"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return found
