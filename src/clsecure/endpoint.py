"""Where the agent's API is, and which variables say so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from clsecure import jsontext
from clsecure.choices import Network, Provider, Secret
from clsecure.errors import ExitCode, UserError

DEFAULT_URL = "https://api.anthropic.com"
KIMI_URL = "https://api.kimi.com/coding/"
# As in the bash tool of the same name: what a gateway or another model needs.
FORWARDED = (
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_MAX_RETRIES",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "API_TIMEOUT_MS",
)
# Hosts beside the API are seldom in reach: without these the agent asks for them and waits.
_QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
}
_SETTINGS = ".claude/settings.json"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_LOOPBACK, _DOOR_PORT = "127.0.0.1", 3127
# Of claude's settings, for the door alone: they are not the agent's to have.
KEPT = ("ANTHROPIC_CUSTOM_HEADERS", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS")
_PORTS = {"http": 80, "https": 443}


class Endpoint(NamedTuple):
    """The agent's API. On the human's own loopback it needs a door of its own in the box.

    `path` is the beginning of its paths, without a slash at its end; `user` what stands before the
    host, a name and a password.
    """

    host: str
    port: int
    scheme: str = "https"
    path: str = ""
    user: Secret | None = None

    @property
    def is_on_loopback(self) -> bool:
        """Whether it is a gateway on the human's own machine."""
        return self.host in _LOOPBACK_NAMES

    @property
    def has_usual_port(self) -> bool:
        """Whether its port is the one of its scheme."""
        return self.port == _PORTS[self.scheme]

    @property
    def door(self) -> tuple[str, int]:
        """Where in the box its door is: address and port."""
        if not self.is_on_loopback:
            return _LOOPBACK, _DOOR_PORT
        return (self.host if self.host == "::1" else _LOOPBACK), self.port


def with_settings(environ: Mapping[str, str], home: Path) -> Mapping[str, str]:
    """Return the environment as claude sees it: its settings' variables win over the shell's."""
    try:
        content = (home / _SETTINGS).read_bytes()
    except OSError:
        return environ
    names = (*FORWARDED, *KEPT)
    if not any(name.encode() in content for name in names):
        return environ
    try:
        document = jsontext.read(content)
    except (ValueError, RecursionError):
        return environ
    named = document.get("env") if isinstance(document, dict) else None
    if not isinstance(named, dict):
        return environ
    found = {name: str(named[name]) for name in names if named.get(name)}
    return {**environ, **found}


def with_provider(
    environ: Mapping[str, str], provider: Provider, kimi_key: Secret | None
) -> Mapping[str, str]:
    """Return the environment as the provider needs it; raises UserError (MISSING) for no key."""
    if provider is not Provider.KIMI:
        return environ
    if kimi_key is None:
        raise UserError(
            "provider kimi needs a key",
            hint="set KIMI_API_KEY, or kimi_api_key in your configuration",
            code=ExitCode.MISSING,
        )
    others = {"ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS"}
    kept = {name: value for name, value in environ.items() if name not in others}
    return {**kept, "ANTHROPIC_BASE_URL": KIMI_URL, "ANTHROPIC_API_KEY": kimi_key.reveal()}


def parse(url: str, variable: str, example: str) -> Endpoint:
    """Return the API at that URL, which `variable` names; raises UserError (USAGE)."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        found = Endpoint(
            host if host.isascii() else host.encode("idna").decode(),
            parts.port or _PORTS[parts.scheme],
            parts.scheme,
            parts.path.rstrip("/"),
            Secret(f"{parts.username or ''}:{parts.password or ''}")
            if "@" in parts.netloc
            else None,
        )
    except (ValueError, KeyError):
        found = Endpoint("", 0)
    if not found.host:
        raise UserError(
            f"{variable} is not an http or https URL",
            hint=f"for example {example}",
            code=ExitCode.USAGE,
        )
    return found


def variables(environ: Mapping[str, str], network: Network) -> dict[str, str]:
    """Return claude's variables for its API."""
    given = {name: environ[name] for name in FORWARDED if environ.get(name)}
    return given if network is Network.OPEN else {**_QUIET, **given}
