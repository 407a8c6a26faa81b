"""Which API an agent talks to, by what the human's environment says, and its variables for it."""

from __future__ import annotations

from collections.abc import Mapping

from clsecure import endpoint
from clsecure.agents import Api, Declaration
from clsecure.choices import Network, Provider, Secret
from clsecure.endpoint import Endpoint
from clsecure.errors import ExitCode, UserError

_CLAUDE = "ANTHROPIC_BASE_URL"


def find(environ: Mapping[str, str], provider: Provider, agent: Declaration) -> Endpoint:
    """Return the agent's API; raises UserError (USAGE)."""
    api = _api(environ, agent)
    if api.url == endpoint.DEFAULT_URL and api.variable == _CLAUDE:
        return endpoint.find(environ, provider)
    if provider is not Provider.ANTHROPIC:
        raise UserError(
            f"provider {provider} is one for claude, not for {agent.name}",
            hint="leave `provider` out, or use --agent claude",
            code=ExitCode.USAGE,
        )
    return _parse(_url(environ, api), api.variable)


def further(environ: Mapping[str, str], agent: Declaration) -> tuple[str, ...]:
    """Return the hosts beside the agent's API: those with a key, or else those of its login."""
    own = _api(environ, agent)
    keyed = any(environ.get(key) for key in own.keys)
    wanted = [
        api
        for api in agent.apis
        if api is not own and (_has_key(environ, api) if api.keys else not keyed)
    ]
    found = [_parse(_url(environ, api), api.variable) for api in wanted]
    return tuple(dict.fromkeys(f"{one.host}:{one.port}" for one in found))


def variables(
    environ: Mapping[str, str],
    provider: Provider,
    kimi_key: Secret | None,
    network: Network,
    agent: Declaration,
) -> dict[str, str]:
    """Return the agent's variables for its API; raises UserError (MISSING) for a missing key."""
    if agent.forwarded == endpoint.FORWARDED:
        return endpoint.variables(environ, provider, kimi_key, network)
    names = [*agent.forwarded]
    for api in agent.apis:
        names += [*api.keys, api.variable]
    given = {name: environ[name] for name in names if environ.get(name)}
    return given if network is Network.OPEN else {**agent.quiet, **given}


def arguments(environ: Mapping[str, str], agent: Declaration) -> tuple[str, ...]:
    """Return what tells the agent of another place of its API, where no variable does."""
    api = _api(environ, agent)
    named = environ.get(api.variable, "")
    return tuple(word.replace("{url}", named) for word in api.arguments) if named else ()


def _api(environ: Mapping[str, str], agent: Declaration) -> Api:
    return next((api for api in agent.apis if _has_key(environ, api)), agent.apis[0])


def _has_key(environ: Mapping[str, str], api: Api) -> bool:
    return any(environ.get(key) for key in api.keys)


def _url(environ: Mapping[str, str], api: Api) -> str:
    return (environ.get(api.variable) if api.variable else "") or api.url


def _parse(url: str, variable: str) -> Endpoint:
    return endpoint.parse(url, variable, "https://gateway.example.org/v1")
