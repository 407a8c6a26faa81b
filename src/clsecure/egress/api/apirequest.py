"""One request at the API's door: whether it goes out, and as what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clsecure.egress.api import apirules, substitution
from clsecure.egress.api.routes import Route
from clsecure.egress.api.substitution import Headers, Pair

_USUAL_PORTS = {"https": 443, "http": 80}
_WITHOUT_BODY = frozenset(("GET", "HEAD"))
_LONGEST = 64  # characters of a name that the box gave, in a reason


class Refused(Exception):
    """A request that does not go out: the text says why, `status` what the agent is answered."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Asked(NamedTuple):
    """A request as the box sent it; `path` is the one at the API, `query` without its mark."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Outgoing(NamedTuple):
    """A request as the API gets it."""

    method: str
    target: str
    headers: Headers
    body: bytes


def outgoing(route: Route, asked: Asked, pairs: Sequence[Pair]) -> Outgoing:
    """Judge a request, and put its credentials in. Raises Refused."""
    _judge(route, asked)
    try:
        headers = substitution.outgoing(asked.headers, pairs)
        query = substitution.outgoing_query(asked.query, pairs)
    except substitution.Stranger as error:
        raise Refused(403, f"a credential in {error} that is not of this session") from None
    added = [(name.lower().encode(), value.reveal().encode()) for name, value in route.headers]
    replaced = {name for name, _ in added}
    has_body = asked.body or asked.method not in _WITHOUT_BODY
    return Outgoing(
        asked.method,
        asked.path + (f"?{query}" if query else ""),
        [
            (b"host", _place(route)),
            *(each for each in headers if each[0] not in replaced),
            *added,
            (b"accept-encoding", b"identity"),
            *([(b"content-length", str(len(asked.body)).encode())] if has_body else []),
        ],
        asked.body,
    )


def _judge(route: Route, asked: Asked) -> None:
    if any(name.lower() == b"upgrade" for name, _ in asked.headers):
        raise Refused(426, "plain requests alone pass here")
    if any(each in asked.path for each in ("..", "//", "%", ";", "\\")):
        raise Refused(403, "a path with more than one reading")
    within = asked.path.removeprefix(route.base)
    if not asked.path.startswith(route.base) or not apirules.passes(
        route.dialect, asked.method, within
    ):
        raise Refused(403, f"{asked.method} {asked.path[:_LONGEST]} is none that an agent needs")
    if route.web_tools or not asked.body:
        return
    if any(name.lower() == b"content-encoding" for name, _ in asked.headers):
        raise Refused(403, "a request that is encoded cannot be read")
    try:
        tool = apirules.server_tool(route.dialect, asked.body)
    except apirules.Unreadable as error:
        raise Refused(400, f"the request cannot be read: {error}") from None
    if tool:
        reason = (
            f"{tool[:_LONGEST]} runs on the API's servers, out of this session's network rules; "
            "a person can allow it: web_tools = true"
        )
        raise Refused(403, reason)


def _place(route: Route) -> bytes:
    name = f"[{route.host}]" if ":" in route.host else route.host
    port = "" if route.port == _USUAL_PORTS[route.scheme] else f":{route.port}"
    return f"{name}{port}".encode()
