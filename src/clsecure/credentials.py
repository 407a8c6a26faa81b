"""Which credentials a session has: what is put in outside, and what the box holds in its place.

Where they are found, first to last: the agent's variables (also those of claude's settings),
`api_key_command`, claude's `apiKeyHelper`, a key in claude's state file, claude's login.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from clsecure import jsontext
from clsecure.agents import Api, Declaration, reach
from clsecure.choices import Credentials, Secret
from clsecure.config import Config
from clsecure.egress.api.routes import Credential, Route
from clsecure.endpoint import Endpoint
from clsecure.errors import ExitCode, UserError
from clsecure.output import Output

LOGIN_FILE = ".claude/.credentials.json"
_SETTINGS, _STATE = ".claude/settings.json", ".claude.json"
_SUBSCRIPTION = "CLAUDE_CODE_OAUTH_TOKEN"
_HEADERS = "ANTHROPIC_CUSTOM_HEADERS"
_HELPER, _HELPER_TIME = "apiKeyHelper", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS"
_HELPER_SECONDS = 300.0  # as claude has it
_LOGIN_KEPT = ("scopes", "subscriptionType", "rateLimitTier")


class Held(NamedTuple):
    """A session's credentials.

    `environ` are the variables as the agent may see them; `login` is the content of claude's file
    of a login, empty where the session needs none. `lines` says of each credential where it is.
    """

    environ: Mapping[str, str]
    routes: tuple[Route, ...] = ()
    login: Secret = Secret("")
    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def put_in(self) -> frozenset[str]:
        """The names of claude's settings that are put in outside, so that nothing is lacking."""
        found = [one for route in self.routes for one in route.credentials]
        return frozenset((*(_HEADERS for _ in found), *(_HELPER for one in found if one.in_both)))

    @property
    def hosts(self) -> frozenset[str]:
        """The APIs that are reached by their door alone, as `host:port`."""
        return frozenset(f"{route.host}:{route.port}" for route in self.routes)


def hold(
    environ: Mapping[str, str],
    config: Config,
    agent: Declaration,
    home: Path,
    door: tuple[str, int],
) -> Held:
    """Find the credentials, and say what the box has in their place; `door` is its address.

    Raises UserError (USAGE) for the address of an API that is none.
    """
    own = reach.own(environ, agent)
    seen, routes, lines = dict(environ), list[Route](), list[str]()
    login, warnings = Secret(""), tuple[str, ...]()
    for api in agent.apis:
        found = _keys(environ, api, config.credentials)
        if not found and api is own:
            found, more = _others(environ, config, agent, home)
            seen |= more
            if not found and agent.is_settled:
                login, found, expired = _login(home, config.credentials)
                warnings += expired
        headers = _headers(environ) if agent.is_settled and api is own else ()
        if not found:
            continue
        there = reach.place(environ, api)
        if config.credentials is Credentials.INSIDE or not api.variable:
            said = [_inside(one, agent, config.credentials) for one in found]
            lines += said
            if config.credentials is not Credentials.INSIDE:
                warnings += tuple(said)  # nobody asked for it
            continue
        route = _route(there, api, found, headers, config)
        routes.append(route)
        seen |= {one.name: one.stand_in.reveal() for one in found if one.name in api.keys}
        address = f"[{door[0]}]" if ":" in door[0] else door[0]
        seen[api.variable] = f"http://{address}:{door[1]}/{route.name}{route.base}"
        lines += [_said(one, there) for one in found]
    return Held(seen, tuple(routes), login, tuple(lines), warnings)


def fetch(routes: tuple[Route, ...], output: Output) -> tuple[Route, ...]:
    """Run the commands that print credentials; raises UserError (MISSING) where one does not."""
    if not any(one.command for route in routes for one in route.credentials):
        return routes
    from clsecure.egress.api import keycommand

    def fetched(one: Credential) -> Credential:
        if not one.command:
            return one
        try:
            with output.progress("asking for the key of the agent's API"):
                return one._replace(value=Secret(keycommand.printed(one.command)))
        except ValueError as error:
            raise UserError(
                f"there is no key for the agent's API: {_where(one)}: {error}",
                hint=f"run it by hand: {one.command}",
                code=ExitCode.MISSING,
            ) from None

    return tuple(
        route._replace(credentials=tuple(fetched(one) for one in route.credentials))
        for route in routes
    )


def stand_in(name: str) -> Secret:
    """Return what the box has in place of the credential with that name."""
    return Secret(f"sk-clsecure-in-place-of-{name}")


def _keys(environ: Mapping[str, str], api: Api, where: Credentials) -> tuple[Credential, ...]:
    found = []
    for name in api.keys:
        value = environ.get(name)
        if value:
            is_kept = name == _SUBSCRIPTION and where is not Credentials.BROKER
            shown = Secret(value) if is_kept else stand_in(name)
            found.append(Credential(name, shown, Secret(value)))
    return tuple(found)


def _others(
    environ: Mapping[str, str], config: Config, agent: Declaration, home: Path
) -> tuple[tuple[Credential, ...], dict[str, str]]:
    """Return a credential that is in no variable, and the variable that says it, if it is known."""
    name = next(iter(reach.own(environ, agent).keys), "")
    if config.api_key_command and name:
        made = Credential(name, stand_in(name), command=config.api_key_command)
        return (made,), {}
    if not agent.is_settled:
        return (), {}
    helper = _read(home / _SETTINGS, _HELPER).get(_HELPER)
    if isinstance(helper, str) and helper:
        made = Credential(name, stand_in(name), command=helper, in_both=True)
        return (made._replace(seconds=_seconds(environ.get(_HELPER_TIME, ""))),), {}
    key = _read(home / _STATE, "primaryApiKey").get("primaryApiKey")
    if isinstance(key, str) and key:
        return (Credential(name, stand_in(name), Secret(key)),), {name: key}
    return (), {}


def _login(
    home: Path, where: Credentials
) -> tuple[Secret, tuple[Credential, ...], tuple[str, ...]]:
    """Return claude's login as the box has it, its credential, and what is to be said of it.

    The one that renews it never goes in: a refresh inside would log the human out, for refresh
    tokens rotate.
    """
    path = home / LOGIN_FILE
    login = _read(path, "accessToken").get("claudeAiOauth")
    token = login.get("accessToken") if isinstance(login, dict) else None
    if not isinstance(login, dict) or not isinstance(token, str) or not token:
        return Secret(""), (), ()
    shown = stand_in("login") if where is Credentials.BROKER else Secret(token)
    kept = {name: login[name] for name in _LOGIN_KEPT if name in login}
    given = {"accessToken": shown.reveal(), **kept, "refreshToken": None, "expiresAt": None}
    expires = login.get("expiresAt")
    warnings: tuple[str, ...] = ()
    if isinstance(expires, (int, float)) and 0 < expires / 1000 < time.time():
        warnings = ("your Claude login has expired: start claude once on the host, outside",)
    import json  # 2 ms, and a key needs none

    text = json.dumps({"claudeAiOauth": given}, indent=2) + "\n"
    return Secret(text), (Credential("login", shown, Secret(token), login=path),), warnings


def _route(
    there: Endpoint,
    api: Api,
    found: tuple[Credential, ...],
    headers: tuple[tuple[str, Secret], ...],
    config: Config,
) -> Route:
    place = there.host if there.has_usual_port else f"{there.host}-{there.port}"
    name = "".join(each if each.isalnum() or each == "." else "-" for each in place)
    if there.user:
        import base64  # few gateways are addressed so

        basic = base64.b64encode(there.user.reveal().encode()).decode()
        headers = (*headers, ("authorization", Secret(f"Basic {basic}")))
    return Route(
        name,
        there.scheme,
        there.host,
        there.port,
        there.path,
        api.dialect,
        found,
        headers,
        config.web_tools,
    )


def _headers(environ: Mapping[str, str]) -> tuple[tuple[str, Secret], ...]:
    lines = [line.partition(":") for line in environ.get(_HEADERS, "").splitlines()]
    return tuple(
        (name.strip(), Secret(value.strip())) for name, colon, value in lines if colon and name
    )


def _said(one: Credential, there: Endpoint) -> str:
    if not one.is_outside:
        return f"{_where(one)}: in the session, good for {there.host} alone"
    return f"{_where(one)}: outside, put into requests to {there.host}"


def _inside(one: Credential, agent: Declaration, where: Credentials) -> str:
    if one.command:
        return f"{_where(one)}: not used, since it would have to be in the session"
    if where is Credentials.INSIDE:
        return f"{_where(one)}: in the session, as asked for"
    return f"{_where(one)}: in the session, since {agent.name} finds its API by no setting"


def _where(one: Credential) -> str:
    if one.login:
        return "the access token of your Claude login"
    if one.in_both:
        return f"the key by {_HELPER} of your Claude settings"
    return f"{one.name} by api_key_command" if one.command else one.name


def _seconds(milliseconds: str) -> float:
    return int(milliseconds) / 1000 if milliseconds.isdecimal() else _HELPER_SECONDS


def _read(path: Path, name: str) -> Mapping[str, object]:
    """Return a JSON document that speaks of a name; an empty one where there is none."""
    try:
        content = path.read_bytes()
        document = jsontext.read(content) if name.encode() in content else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
