"""What `@pip`, `@npm` and their like stand for: the hosts that the human's own clients use.

No registry is named here. Each client is asked, so a private registry or a mirror counts just as
the usual one does, and its default is what this version of the client holds for it. Files of the
project (`.npmrc`, `.cargo/config.toml`, `pyproject.toml`) are not asked: who writes there, the
agent of an earlier session among them, would choose what passes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from clsecure.egress import cargoregistry, pythonindex
from clsecure.egress.clients import Clients
from clsecure.egress.names import BadHost, parse_host
from clsecure.errors import ExitCode, UserError
from clsecure.gitcall import SAFE, clean_environment
from clsecure.output import escape
from clsecure.process import CommandFailed, run

# `registry` alone and of a scope; an overridden value is behind a semicolon.
_NPM_LINE = re.compile(r'^(?:@[^:\s]+:)?registry = "(.*)"$', re.MULTILINE)
_APT_LINE = re.compile(r"^'([^']+)' ", re.MULTILINE)
_GH_HOST = re.compile(r"""^["']?([^\s"'#:]+)["']?:\s*(?:#.*)?$""", re.MULTILINE)
_SCP = re.compile(r"(?:[^@/:]+@)?(\[[^\]/]+\]|[^@/:\[\]]+):(?!:)")  # git-fetch(1), "GIT URLS"


def expand(word: str, environ: Mapping[str, str], project: Path) -> tuple[str, ...]:
    """Return the texts of the rules that `word`, such as "@pip", stands for, each once.

    `environ` is the human's environment. Programs are run, and pip, uv and cargo may ask their
    registries, which can take seconds. Raises UserError: USAGE for an unknown word, MISSING where
    a client is not installed, FAILURE where it does not say what it uses.
    """
    if word not in _CLIENTS:
        raise UserError(
            f"no such group of hosts: {escape(word)}",
            hint=f"there are {', '.join(WORDS)}",
            code=ExitCode.USAGE,
        )
    clients = Clients(word, environ, project)
    rules = tuple(dict.fromkeys(filter(None, _CLIENTS[word](clients))))
    if not rules:
        raise clients.error("no host is configured")
    return rules


def _pip(clients: Clients) -> list[str]:
    return [clients.rule(url) for url in pythonindex.urls(clients)]


def _cargo(clients: Clients) -> list[str]:
    return [clients.rule(url) for url in cargoregistry.urls(clients)]


def _npm(clients: Clients) -> list[str]:
    """Ask npm, which prints passwords in URLs as asterisks."""
    said = clients.ask(clients.need("npm"), "config", "ls", "-l", "--logs-max=0")
    return [clients.rule(url) for url in _NPM_LINE.findall(said)]


def _go(clients: Clients) -> list[str]:
    """Ask go for its module proxies and checksum database (the Go Modules Reference).

    "direct" means the hosts of the modules themselves, which nothing lists.
    """
    go = clients.need("go")
    environ = {**clients.environ, "GOTOOLCHAIN": "local"}
    said = clients.ask(go, "env", "-json", "GOPROXY", "GOSUMDB", environ=environ)
    try:
        settings = json.loads(said)
        proxies = [each.strip() for each in re.split("[,|]", settings["GOPROXY"])]
        database = settings["GOSUMDB"].split()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise clients.error("go does not say what its proxies are") from None
    rules = [clients.rule(proxy) for proxy in proxies if proxy not in {"direct", "off", ""}]
    if not any(rules):
        raise clients.error("GOPROXY names no proxy")
    # NAME, NAME+HASH+KEY, and after either the URL where the database is read instead.
    if database and database[0] != "off":
        name = database[0].partition("+")[0]
        rules.append(clients.rule(database[1] if len(database) > 1 else f"https://{name}"))
    return rules


def _apt(clients: Clients) -> list[str]:
    """Ask apt-get what an update would fetch: it reads both forms of sources, and nothing else."""
    said = clients.ask(clients.need("apt-get"), "update", "--print-uris")
    return [clients.rule(uri) for uri in _APT_LINE.findall(said)]


def _github(clients: Clients) -> list[str]:
    """Return the hosts that gh is logged in at, and those of the project's remotes.

    A GitHub server's interfaces are names below its own; of a remote on another server only the
    host itself counts. The remotes are in the human's git directory, which no agent writes.
    """
    given = clients.environ.get("GH_CONFIG_DIR")
    directory = Path(given) if given else clients.config_home() / "gh"
    servers = _GH_HOST.findall(clients.read(directory / "hosts.yml"))
    remotes = _remotes(clients)
    servers += [host for host in remotes if host.lower().startswith("github.")]
    return [rule for host in (*servers, *remotes) for rule in _server(host, host in servers)]


def _server(text: str, has_interfaces: bool) -> list[str]:
    try:
        host = parse_host(text)
    except BadHost:
        return []  # a local name for a host, or none at all
    below = has_interfaces and host.address is None and "." in host.name
    return [str(host), f"*.{host}"] if below else [str(host)]


def _remotes(clients: Clients) -> list[str]:
    kept = {k: v for k, v in clients.environ.items() if k in {"HOME", "XDG_CONFIG_HOME", "PATH"}}
    argv = ("git", *SAFE, "remote", "--verbose")  # with `insteadOf` applied
    try:
        lines = run(*argv, env=clean_environment(kept), cwd=clients.project).text.splitlines()
    except (CommandFailed, OSError):
        return []  # no repository: then gh's hosts alone
    urls = [line.partition("\t")[2].rpartition(" (")[0] for line in lines]
    return [host for url in urls if (host := _remote_host(url))]


def _remote_host(url: str) -> str:
    """Return the host of a remote's URL as written, "" for a directory."""
    if "://" not in url:
        scp = _SCP.match(url)
        return scp[1].strip("[]") if scp else ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return "" if parts.scheme == "file" else parts.hostname or ""


_CLIENTS: Mapping[str, Callable[[Clients], list[str]]] = {
    "@pip": _pip,
    "@npm": _npm,
    "@cargo": _cargo,
    "@go": _go,
    "@apt": _apt,
    "@github": _github,
}
WORDS = tuple(_CLIENTS)
