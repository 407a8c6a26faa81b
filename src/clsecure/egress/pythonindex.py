"""Where pip and uv get packages: their indexes, and the host that the files themselves are on.

An index lists files by URL (PEP 503), often on another host. pip knows that host for its usual
index; for another, a client asks the index for one package's URLs. Nothing is installed, and no
code of a package runs.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from clsecure.egress.clients import Clients, strings, table
from clsecure.errors import UserError

_PROBE = "pip"  # a package that most indexes have
# Settings that decide how an index is reached, not which; pip's options with these names.
_TRANSPORT = ("cert", "client-cert", "proxy", "trusted-host", "keyring-provider", "cache-dir")
_PIP_PLACE = re.compile(r" from (/.+)/pip \(python ")
_PIP_QUESTION = """\
import sys
sys.path.insert(0, sys.argv[1])
from pip._internal.models.index import PyPI
print(PyPI.simple_url, PyPI.file_storage_domain)
"""
_UV_DEFAULT = re.compile(r"by default: <(\S+?)>")
_UV_SOURCES = frozenset(
    f"UV_{name}"
    for name in ("INDEX", "DEFAULT_INDEX", "INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX")
)


def urls(clients: Clients) -> list[str]:
    """Return the URLs of indexes and of files; raises UserError."""
    pip, uv = clients.find("pip", "pip3"), clients.find("uv")
    if not uv:
        return _pip(clients, pip or clients.need("pip", "uv"))
    try:
        found = _pip(clients, pip) if pip else []
    except UserError:  # uv alone is enough
        found = []
    return found + _uv(clients, uv, frozenset(map(clients.rule, found)))


def _pip(clients: Clients, pip: str) -> list[str]:
    settings = _pip_settings(clients, pip)
    index = settings.get("index-url", "")
    usual = _pip_default(clients, pip)
    if not index and not usual:
        raise clients.error("pip does not say what its index is")
    if usual and (not index or clients.rule(index) == clients.rule(usual[0])):
        found = usual
    else:
        found = [index, *_pip_files(clients, pip, settings, index)]
    more = f"{settings.get('extra-index-url', '')} {settings.get('find-links', '')}".split()
    return found + more


def _pip_settings(clients: Clients, pip: str) -> dict[str, str]:
    """Return pip's settings for `pip install` (pip's documentation, "Configuration").

    `pip config list` merges the files; a variable stands above `[install]`, which stands above
    `[global]`.
    """
    merged: dict[str, str] = {}
    said = clients.ask(pip, "config", "list").splitlines()
    for section in ("global", "install", ":env:"):
        for line in said:
            key, _, value = line.partition("=")
            if key.startswith(f"{section}.") and (text := _literal(value)):
                merged[key.removeprefix(f"{section}.")] = text
    return merged


def _literal(value: str) -> str:
    try:
        return str(ast.literal_eval(value))  # pip prints values as Python writes them
    except (ValueError, SyntaxError):
        return ""


def _pip_default(clients: Clients, pip: str) -> list[str]:
    """Return pip's own index and the host of its files, or nothing.

    Both stand in one small module of pip 10 and later, which any Python can load.
    """
    place = _PIP_PLACE.search(clients.ask(pip, "--version"))
    said = clients.ask(sys.executable, "-I", "-c", _PIP_QUESTION, place[1]) if place else ""
    index, _, files = said.strip().partition(" ")
    return [index, f"https://{files}"] if files else []


def _pip_files(clients: Clients, pip: str, settings: Mapping[str, str], index: str) -> list[str]:
    """Return URLs of files that `index` names; empty where it cannot be asked."""
    environ = {k: v for k, v in clients.environ.items() if not k.startswith("PIP_")}
    for name in _TRANSPORT:
        if name in settings:
            environ["PIP_" + name.upper().replace("-", "_")] = settings[name]
    # The index goes by variable: a command line, which may hold a password then, is for all to see.
    environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index}
    quiet = ("--no-input", "--disable-pip-version-check", "--retries=0", "--timeout=10", "--quiet")
    nothing = ("--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:")
    said = clients.ask(pip, "install", *quiet, *nothing, "--report=-", _PROBE, environ=environ)
    try:
        return [each["download_info"]["url"] for each in json.loads(said)["install"]]
    except (ValueError, KeyError, TypeError):
        return []


def _uv(clients: Clients, uv: str, known: frozenset[str]) -> list[str]:
    """Return the URLs that uv adds; `known` are rules whose files have been asked for."""
    configured, more = _uv_settings(clients)
    index = configured or _uv_default(clients, uv)
    if clients.rule(index) in known:
        return more
    files = _uv_files(clients, uv, index)
    if not files and not configured:
        raise clients.error("uv could not ask its index where files are")
    return [index, *files, *more]


def _uv_settings(clients: Clients) -> tuple[str, list[str]]:
    """Return uv's default index, or "", and the others (uv's documentation, "Indexes").

    The human's file and the system's count, the project's does not.
    """
    environ = clients.environ
    defaults = [environ.get("UV_DEFAULT_INDEX", ""), environ.get("UV_INDEX_URL", "")]
    named = environ.get("UV_INDEX", "").split() + environ.get("UV_EXTRA_INDEX_URL", "").split()
    more = [re.sub(r"^[\w.-]+=", "", each) for each in named]  # NAME=URL
    given = environ.get("UV_CONFIG_FILE")
    own = clients.config_home() / "uv/uv.toml"
    for path in (Path(given),) if given else (own, Path("/etc/uv/uv.toml")):
        settings = clients.toml(path)
        tables = settings.get("index")
        for entry in map(table, tables if isinstance(tables, list) else []):
            (defaults if entry.get("default") is True else more).extend(strings(entry.get("url")))
        for part in (settings, table(settings.get("pip"))):
            defaults += strings(part.get("index-url"))
            more += strings(part.get("extra-index-url"))
    return next(filter(None, defaults), ""), more


def _uv_default(clients: Clients, uv: str) -> str:
    said = _UV_DEFAULT.search(clients.ask(uv, "pip", "install", "--help"))
    if said is None:
        raise clients.error("uv does not say what its index is")
    return said[1]


def _uv_files(clients: Clients, uv: str, index: str) -> list[str]:
    import tomllib

    environ = {k: v for k, v in clients.environ.items() if k not in _UV_SOURCES}
    environ |= {"UV_DEFAULT_INDEX": index, "UV_PYTHON_DOWNLOADS": "never"}
    lock = ("--format=pylock.toml", "--no-deps", "--only-binary=:all:", "--quiet")
    argv = (uv, "pip", "compile", *lock, f"--python={sys.executable}", "-")
    said = clients.ask(*argv, environ=environ, stdin=_PROBE.encode())
    try:
        packages = tomllib.loads(said).get("packages", [])
    except tomllib.TOMLDecodeError:
        return []
    wheels = [wheel for package in packages for wheel in package.get("wheels", [])]
    return [url for wheel in wheels for url in strings(table(wheel).get("url"))]
