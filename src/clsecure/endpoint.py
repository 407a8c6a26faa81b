"""Where the agent's API is, and which variables say so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

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
_PORTS = {"http": 80, "https": 443}


class Endpoint(NamedTuple):
    """The agent's API. On the human's own loopback it needs a door of its own in the box."""

    url: str
    host: str
    port: int

    @property
    def is_on_loopback(self) -> bool:
        """Whether it is a gateway on the human's own machine."""
        return self.host in _LOOPBACK_NAMES


def with_settings(environ: Mapping[str, str], home: Path) -> Mapping[str, str]:
    """Return the environment as claude sees it: its settings' variables win over the shell's."""
    try:
        content = (home / _SETTINGS).read_bytes()
    except OSError:
        return environ
    if not any(name.encode() in content for name in FORWARDED):
        return environ
    import json  # few people have their gateway there

    try:
        named = json.loads(content)["env"]
        found = {name: str(named[name]) for name in FORWARDED if named.get(name)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return environ
    return {**environ, **found}


def find(environ: Mapping[str, str], provider: Provider) -> Endpoint:
    """Return the API that the human's settings name; raises UserError (USAGE)."""
    url = (
        KIMI_URL if provider is Provider.KIMI else environ.get("ANTHROPIC_BASE_URL") or DEFAULT_URL
    )
    return parse(url, "ANTHROPIC_BASE_URL", DEFAULT_URL)


def parse(url: str, variable: str, example: str) -> Endpoint:
    """Return the API at that URL, which `variable` names; raises UserError (USAGE)."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        host, port = "", 0
    if not host:
        raise UserError(
            f"{variable} is not an http or https URL",
            hint=f"for example {example}",
            code=ExitCode.USAGE,
        )
    return Endpoint(url, host, port)


def variables(
    environ: Mapping[str, str], provider: Provider, kimi_key: Secret | None, network: Network
) -> dict[str, str]:
    """Return the agent's variables for its API; raises UserError (MISSING) for a missing key."""
    given = {name: environ[name] for name in FORWARDED if environ.get(name)}
    if provider is Provider.KIMI:
        if kimi_key is None:
            raise UserError(
                "provider kimi needs a key",
                hint="set KIMI_API_KEY, or kimi_api_key in your configuration",
                code=ExitCode.MISSING,
            )
        given.pop("ANTHROPIC_AUTH_TOKEN", None)
        given |= {"ANTHROPIC_BASE_URL": KIMI_URL, "ANTHROPIC_API_KEY": kimi_key.reveal()}
    return given if network is Network.OPEN else {**_QUIET, **given}
