"""A session's credentials on their way out: a stand-in becomes the real one, no other one passes.

Pure. A credential stands in a header of its own, after a scheme (RFC 6750, RFC 7617), or, with
Gemini, in the query. Bodies are never changed: what an API repeats of them comes back into the box.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

Headers = list[tuple[bytes, bytes]]

_KEY_HEADERS = (b"x-api-key", b"api-key", b"x-goog-api-key")
_AUTHORIZATION = b"authorization"
_QUERY_KEY = "key"
# Of one hop (RFC 9110, 7.6.1), written anew here, or other ways to say who one is.
_DROPPED = frozenset(
    (
        *(b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"host", b"content-length", b"expect", b"accept-encoding", b"http2-settings", b"cookie"),
    )
)
_DROPPED_ANSWER = frozenset(
    (
        *(b"connection", b"keep-alive", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"proxy-authenticate", b"alt-svc", b"strict-transport-security", b"set-cookie"),
    )
)


class Pair(NamedTuple):
    """What the box sends for a credential, and what goes out for it."""

    stand_in: str
    value: str
    in_both: bool = False


class Stranger(Exception):
    """A credential that is not of this session; the text says where it stands."""


class Leak(Exception):
    """An answer that holds a credential."""


def outgoing(headers: Iterable[tuple[bytes, bytes]], pairs: Sequence[Pair]) -> Headers:
    """Return the header fields that go out, their names in lower case; raises Stranger."""
    sent: Headers = []
    for name, value in headers:
        spelled = name.lower()
        if spelled in _DROPPED or spelled.startswith(b"proxy-"):
            continue
        if spelled in (*_KEY_HEADERS, _AUTHORIZATION) and not value.strip():
            continue
        if spelled in _KEY_HEADERS:
            sent.append((spelled, _real(value, pairs, spelled)))
        elif spelled == _AUTHORIZATION:
            sent.append((spelled, _authorization(value, pairs)))
        else:
            sent.append((spelled, value))
    return _in_both(sent, pairs)


def outgoing_query(query: str, pairs: Sequence[Pair]) -> str:
    """Return the query that goes out; raises Stranger."""
    fields = parse_qsl(query, keep_blank_values=True)
    if not any(name == _QUERY_KEY for name, _ in fields):
        return query
    return urlencode(
        [
            (name, _real(value.encode(), pairs, b"the query").decode("latin-1"))
            if name == _QUERY_KEY
            else (name, value)
            for name, value in fields
        ]
    )


def incoming(headers: Iterable[tuple[bytes, bytes]], secrets: Sequence[bytes]) -> Headers:
    """Return the header fields of an answer that go in; raises Leak, for what is encoded, too."""
    kept = [(name, value) for name, value in headers if name.lower() not in _DROPPED_ANSWER]
    if any(secret in value for secret in secrets for _, value in kept):
        raise Leak
    coded = any(name == b"content-encoding" and value != b"identity" for name, value in kept)
    if secrets and coded:  # it was asked not to be, and nobody here could read it
        raise Leak
    return kept


class Guard:
    """Lets the bytes of an answer through unless a credential is among them."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = [secret for secret in secrets if secret]
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can go in by now; what may be a credential's beginning waits. Raises Leak."""
        data = self._held + data
        if any(secret in data for secret in self._secrets):
            raise Leak
        held = max((_beginning(data, secret) for secret in self._secrets), default=0)
        self._held = data[len(data) - held :]
        return data[: len(data) - held]

    def end(self) -> bytes:
        """Return what was waiting."""
        held, self._held = self._held, b""
        return held


def _beginning(data: bytes, secret: bytes) -> int:
    """Return how many of the last bytes are the first of the secret."""
    most = min(len(secret) - 1, len(data))
    return next((size for size in range(most, 0, -1) if data.endswith(secret[:size])), 0)


def _real(value: bytes, pairs: Sequence[Pair], where: bytes) -> bytes:
    for pair in pairs:
        if hmac.compare_digest(value.strip(), pair.stand_in.encode()):
            return pair.value.encode()
    raise Stranger(where.decode("latin-1"))


def _authorization(value: bytes, pairs: Sequence[Pair]) -> bytes:
    scheme, _, rest = value.strip().partition(b" ")
    changed: dict[bytes, Callable[[bytes], bytes]] = {
        b"bearer": lambda said: _real(said, pairs, _AUTHORIZATION),
        b"basic": lambda said: _basic(said, pairs),
    }
    if not rest:
        return _real(scheme, pairs, _AUTHORIZATION)
    if scheme.lower() not in changed:
        raise Stranger(_AUTHORIZATION.decode())
    return scheme + b" " + changed[scheme.lower()](rest.strip())


def _basic(said: bytes, pairs: Sequence[Pair]) -> bytes:
    try:
        user, colon, password = base64.b64decode(said, validate=True).partition(b":")
    except binascii.Error:
        raise Stranger(_AUTHORIZATION.decode()) from None
    if password:
        password = _real(password, pairs, _AUTHORIZATION)
    else:
        user = _real(user, pairs, _AUTHORIZATION)
    return base64.b64encode(user + colon + password)


def _in_both(sent: Headers, pairs: Sequence[Pair]) -> Headers:
    names = {name for name, _ in sent}
    for pair in pairs:
        real = pair.value.encode()
        if not pair.in_both or not any(real in value for _, value in sent):
            continue
        if b"x-api-key" not in names:
            sent = [*sent, (b"x-api-key", real)]
        if _AUTHORIZATION not in names:
            sent = [*sent, (_AUTHORIZATION, b"Bearer " + real)]
    return sent
