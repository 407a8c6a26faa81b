"""Which API an agent talks to, by what the human's environment says, and its variables for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from clsecure import endpoint
from clsecure.agents import Api, Declaration
from clsecure.choices import Network, Provider
from clsecure.endpoint import Endpoint
from clsecure.errors import ExitCode, UserError


def refuse_provider(provider: Provider, agent: Declaration) -> None:
    """Raise UserError (USAGE) where the agent cannot have that provider."""
    if provider is not Provider.ANTHROPIC and agent.forwarded != endpoint.FORWARDED:
        raise UserError(
            f"provider {provider} is one for claude, not for {agent.name}",
            hint="leave `provider` out, or use --agent claude",
            code=ExitCode.USAGE,
        )


def own(environ: Mapping[str, str], agent: Declaration) -> Api:
    """Return the agent's API: the first with a key, else the usual one."""
    return next((api for api in agent.apis if _has_key(environ, api)), agent.apis[0])


def place(environ: Mapping[str, str], api: Api) -> Endpoint:
    """Return where an API is; raises UserError (USAGE) where the human's variable is no URL."""
    url = (environ.get(api.variable) if api.variable else "") or api.url
    return endpoint.parse(url, api.variable, "https://gateway.example.org/v1")


def further(
    environ: Mapping[str, str], agent: Declaration, routed: Collection[str]
) -> tuple[str, ...]:
    """Return the hosts beside the agent's API: those with a key, or else those of its login.

    Those in `routed` are reached otherwise.
    """
    first = own(environ, agent)
    keyed = any(environ.get(key) for key in first.keys)
    wanted = [
        api
        for api in agent.apis
        if api is not first and (_has_key(environ, api) if api.keys else not keyed)
    ]
    found = [place(environ, api) for api in wanted]
    hosts = dict.fromkeys(f"{one.host}:{one.port}" for one in found)
    return tuple(host for host in hosts if host not in routed)


def variables(environ: Mapping[str, str], network: Network, agent: Declaration) -> dict[str, str]:
    """Return the agent's variables for its API."""
    if agent.forwarded == endpoint.FORWARDED:
        return endpoint.variables(environ, network)
    names = [*agent.forwarded]
    for api in agent.apis:
        names += [*api.keys, api.variable]
    given = {name: environ[name] for name in names if environ.get(name)}
    return given if network is Network.OPEN else {**agent.quiet, **given}


def arguments(environ: Mapping[str, str], agent: Declaration) -> tuple[str, ...]:
    """Return what tells the agent of another place of its API, where no variable does."""
    api = own(environ, agent)
    named = environ.get(api.variable, "")
    return tuple(word.replace("{url}", named) for word in api.arguments) if named else ()


def _has_key(environ: Mapping[str, str], api: Api) -> bool:
    return any(environ.get(key) for key in api.keys)
