"""What of the human's own Claude Code is in a session: settings and tools, without their secrets.

Pure, but for `files`. What is left out is said in a line each, which never holds a value.
The names of settings are those of https://code.claude.com/docs/en/settings and /en/mcp.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from clsecure.reachoptions import HIDDEN, SHOWN

# Programs of the human's that hand out credentials, and what would refuse to run without prompts.
_CREDENTIAL_PROGRAMS = (
    *("apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh"),
    "otelHeadersHelper",
)
_SERVER_SETTINGS = ("allowedTools", "enabledMcpjsonServers", "disabledMcpjsonServers")
_FROM_NPM, _OFFLINE_FIRST = ("npx", "npm"), "npm_config_prefer_offline"
_PLAIN_HEADERS = frozenset({"accept", "content-type", "user-agent", "mcp-protocol-version"})
# Patterns are compiled where they are used: most starts read nothing that needs them.
_SENSITIVE_NAME = (
    r"(?i)key|token|secret|passw|passphrase|auth|credential|cookie|private|session|dsn|(^|_)pat($|_)"
    r"|(^|_)pwd($|_)|database_url|connection|custom_headers"
)
# As the issuers of tokens mark them, and what is long and random enough to be one.
_SENSITIVE_VALUE = (
    r"sk-[\w-]{8}|gh[pousr]_\w{8}|github_pat_|glpat-|xox[abeprs]-|AKIA[0-9A-Z]{8}|AIza[\w-]{8}"
    r"|eyJ[\w-]{8}|npm_\w{8}|pypi-\w{8}|-----BEGIN|://[^/\s@]*:[^/\s@]+@|[Bb]earer\s"
    r"|[?&](?:\w*(?:key|token|secret|auth|sig)\w*)=[^&\s$]"
)
# Long enough to be one in full: what stands in files and commands is often but an example.
_MARKED = (
    r"sk-(?:ant-|proj-)?[\w-]{16}|gh[pousr]_\w{16}|github_pat_\w{16}|glpat-[\w-]{16}"
    r"|xox[abeprs]-[\w-]{10}|AKIA[0-9A-Z]{16}|AIza[\w-]{30}|npm_\w{30}|pypi-[\w-]{30}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\."
)
_RANDOM = r"[A-Za-z0-9+/_=-]{32,}"
_REFERENCE = r"\$\{\w+(:-[^}]*)?\}"
_DIRECTORIES = (
    *("agents", "commands", "skills", "output-styles", "rules"),
    *("hooks", "scripts", "bin", "statusline"),
)
_FILES = r"CLAUDE\.md|keybindings\.json|[\w.-]+\.(sh|bash|zsh|py|js|mjs|cjs|ts|rb|md)"
_MAX_FILE = 1 << 20
_MAX_FILES = 500


class HomeFile(NamedTuple):
    """A file of a fresh home."""

    content: bytes
    is_program: bool = False

    @property
    def mode(self) -> int:
        """Its permissions."""
        return 0o700 if self.is_program else 0o600


def settings(
    known: Mapping[str, object], handed: Collection[str] = ()
) -> tuple[dict[str, object], list[str]]:
    """Return the human's settings as a session has them, and what they lack.

    `handed` are the variables that the agent is given at each start, by their names, and what the
    door of its API puts into requests.
    """
    kept = {name: value for name, value in known.items() if name not in _CREDENTIAL_PROGRAMS}
    lacking = [
        f"your Claude setting {name}: a program that hands out credentials"
        for name in known
        if name not in kept and name not in handed
    ]
    given = _mapping(kept.get("env"))
    variables, secret = _parted({name: given[name] for name in given if name not in handed})
    if given:
        kept["env"] = variables
    lacking += [f"{name} of your Claude settings: a credential" for name in secret]
    configured, secret = _plugin_options(_mapping(kept.get("pluginConfigs")))
    if configured:
        kept["pluginConfigs"] = configured
    lacking += [f"{name} in your Claude settings: a credential" for name in secret]
    for name in [each for each in kept if each != "env" and _holds_marked(kept[each])]:
        del kept[name]
        lacking.append(f"your Claude setting {name}: there is a credential in it")
    permissions = dict(_mapping(kept.get("permissions")))
    if permissions.pop("disableBypassPermissionsMode", None) is not None:
        kept["permissions"] = permissions  # the box is what stands in for the prompts
    kept["skipDangerousModePermissionPrompt"] = True
    kept["skipWebFetchPreflight"] = True  # it asks the API's host; here the allow-list decides
    return kept, lacking


def servers(known: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Return the MCP servers of a configuration without secrets, and what they lack."""
    kept: dict[str, object] = {}
    lacking: list[str] = []
    for name, declared in _mapping(known).items():
        server = dict(_mapping(declared))
        words = [server.get("url"), server.get("command"), *_list(server.get("args"))]
        if any(is_secret("", str(word)) for word in words if word is not None):
            lacking.append(f"the MCP server {name}: a credential in its command or address")
            continue
        if str(server.get("command")).rpartition("/")[2] in _FROM_NPM:
            # What was downloaded before starts without asking the registry, which may be shut.
            server["env"] = {_OFFLINE_FIRST: "true", **_mapping(server.get("env"))}
        if "env" in server:
            server["env"], secret = _parted(_mapping(server["env"]))
            lacking += [f"{each} of the MCP server {name}: a credential" for each in secret]
        if "headers" in server:
            headers = _mapping(server["headers"])
            plain = {each: value for each, value in headers.items() if _is_plain(each, value)}
            lacking += [
                f"the header {each} of the MCP server {name}: it may be a credential"
                for each in headers
                if each not in plain
            ]
            server["headers"] = plain
        if server.pop("headersHelper", None) is not None:
            lacking.append(f"headersHelper of the MCP server {name}: it hands out credentials")
        kept[name] = server
    return kept, lacking


def state(
    known: Mapping[str, object], places: tuple[Path, ...]
) -> tuple[dict[str, object], list[str]]:
    """Return the MCP servers of the state file, for all and for these directories alone."""
    kept: dict[str, object] = {}
    found, lacking = servers(_mapping(known.get("mcpServers")))
    if found:
        kept["mcpServers"] = found
    projects: dict[str, object] = {}
    for place in dict.fromkeys(map(str, places)):
        project = _mapping(_mapping(known.get("projects")).get(place))
        mine = {name: project[name] for name in _SERVER_SETTINGS if name in project}
        for name in [each for each in mine if _holds_marked(mine[each])]:
            del mine[name]
            lacking.append(f"{name} of this project in your Claude state: a credential in it")
        local, also = servers(_mapping(project.get("mcpServers")))
        lacking += also
        if mine or local:
            projects[place] = {**mine, "mcpServers": local}
    if projects:
        kept["projects"] = projects
    return kept, lacking


def files(directory: Path) -> tuple[dict[str, HomeFile], list[str]]:
    """Return what people write for their agent, by path in the home, and what is left out of it.

    No transcripts and no caches are among it.
    """
    found: dict[str, HomeFile] = {}
    lacking: list[str] = []
    for path in _paths(directory):
        if not os.path.isfile(path):  # what is out of reach is none
            continue
        name = f".claude/{path.relative_to(directory)}"
        content, reason = _content(path)
        if len(found) == _MAX_FILES:
            lacking.append(f"~/{name} and what comes after it: there are over {_MAX_FILES} files")
            break
        if reason:
            lacking.append(f"~/{name}: {reason}")
        else:
            found[name] = HomeFile(content, os.access(path, os.X_OK))
    return found, lacking


def _content(path: Path) -> tuple[bytes, str]:
    """Return a file's content, or why it stays outside."""
    name = path.name.lower()
    if any(fnmatchcase(name, each) for each in HIDDEN) and not any(
        fnmatchcase(name, each) for each in SHOWN
    ):
        return b"", "by its name it holds a credential"
    try:
        if path.stat().st_size > _MAX_FILE:
            return b"", f"it is larger than {_MAX_FILE >> 20} MiB"
        content = path.read_bytes()
    except OSError as error:
        return b"", error.strerror or "it cannot be read"
    if holds_credential(content.decode("latin-1")):
        return b"", "there is a credential in it"
    return content, ""


def is_brought(name: str) -> bool:
    """Say whether `files` looks at that path below the agent's directory."""
    top, slash, _ = name.partition("/")
    return top in _DIRECTORIES if slash else re.fullmatch(_FILES, name) is not None


def holds_credential(text: str) -> bool:
    """Say whether a text holds a credential in full, as the issuers of tokens mark them."""
    return re.search(_MARKED, text) is not None


def is_secret(name: str, value: str) -> bool:
    """Say whether a variable looks like a credential, by its name or by its value.

    A reference to a variable of the agent's (`${NAME}`) is none.
    """
    plain = re.sub(_REFERENCE, "", value)
    if not plain.strip() or plain.strip().lower() in {"true", "false", "0", "1"}:
        return False
    if re.search(_SENSITIVE_NAME, name) or re.search(_SENSITIVE_VALUE, plain):
        return True
    return any(_is_random(word) for word in re.findall(_RANDOM, plain))


def _plugin_options(known: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Return what plugins are set to, without credentials, and the names of those."""
    kept: dict[str, object] = {}
    secret: list[str] = []
    for name, declared in known.items():
        kept[name] = plugin = dict(_mapping(declared))
        plugin["options"], found = _parted(_mapping(plugin.get("options")))
        secret += [f"{each} of the plugin {name}" for each in found]
        servers = {}
        for server, options in _mapping(plugin.get("mcpServers")).items():
            servers[server], found = _parted(_mapping(options))
            secret += [f"{each} of the plugin {name}" for each in found]
        if servers:
            plugin["mcpServers"] = servers
    return kept, secret


def _paths(directory: Path) -> list[Path]:
    try:
        tops = sorted(directory.iterdir())
    except OSError:
        return []
    below = [each for top in tops if top.name in _DIRECTORIES for each in sorted(top.rglob("*"))]
    return [top for top in tops if re.fullmatch(_FILES, top.name)] + below


def _holds_marked(value: object) -> bool:
    import json  # 2 ms, and a kept home needs none

    return holds_credential(json.dumps(value))


def _is_random(word: str) -> bool:
    # Digits and both cases, or a long hexadecimal number; a path has neither in one piece.
    kinds = [any(test(c) for c in word) for test in (str.isdigit, str.islower, str.isupper)]
    is_number = re.fullmatch(r"[0-9a-f]{32,}", word) is not None
    return "/" not in word and (all(kinds) or is_number)


def _is_plain(header: str, value: object) -> bool:
    return header.lower() in _PLAIN_HEADERS or not re.sub(_REFERENCE, "", str(value)).strip()


def _parted(variables: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    secret = [name for name, value in variables.items() if is_secret(name, str(value))]
    return {name: value for name, value in variables.items() if name not in secret}, secret


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
