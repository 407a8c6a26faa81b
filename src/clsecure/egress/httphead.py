"""The head of an HTTP/1 request, read so strictly that nobody behind us reads it otherwise.

RFC 9112 (messages) and RFC 9110 (fields). A proxy that forgives what the server understands in
another way lets a second request or another host through (section 11.2 there); so whatever has
two readings is refused here, with the status that the client is to be answered with.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_HEAD = 16384  # bytes, the empty line included
MAX_TARGET = 8192  # bytes; RFC 9112 section 3 asks for 8000 at least
MAX_FIELDS = 100
MAX_METHOD = 32

_END = b"\r\n\r\n"
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_VISIBLE = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")  # tab, space, visible, and 0x80 up
_BARE = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n|\x00")
_NOT_IN_LINE = re.compile(rb"[^\x20-\x7e]")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_HOST_FIELD = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~-]+)(?::[0-9]{1,5})?")
_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._~-]+))(?::([0-9]{1,5}))?")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(.*)")

_FRAMING = ("content-length", "transfer-encoding")
_NEVER_DROPPED = frozenset(("host", *_FRAMING))
_OF_ONE_HOP = frozenset(
    ("connection", "keep-alive", "te", "upgrade", "http2-settings", "proxy-connection")
)  # RFC 9110 section 7.6.1, RFC 9113 section 3.1
_DEFAULT_PORT = 80
_MAX_PORT = 65535


class BadHead(ValueError):
    """A head that is refused: the text is a short reason, `status` what to answer with."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Head(NamedTuple):
    """A request line and its fields, in their order and spelling; values without space around."""

    method: str
    target: str
    version: str  # "HTTP/1.0" or "HTTP/1.1"
    headers: tuple[tuple[str, bytes], ...]

    def values(self, name: str) -> list[bytes]:
        """Return the values of every field called `name`, which is given in lower case."""
        return [value for each, value in self.headers if each.lower() == name]


def parse(data: bytes) -> tuple[Head, int] | None:
    """Read the head at the start of `data`, and return it with its length in bytes.

    None while more is needed, which ends at MAX_HEAD bytes. Raises BadHead as soon as it can be
    told, with status 400; 414 and 431 for what is too long, 501 for an unknown transfer coding or
    a long method, 505 for another version than 1.0 and 1.1.
    """
    end = data.find(_END, 0, MAX_HEAD)
    head = data[: MAX_HEAD if end < 0 else end]
    line, found, fields = head.partition(b"\r\n")
    if _BARE.search(head):
        raise BadHead("a line that ends with CR or LF alone, or NUL")
    if _NOT_IN_LINE.search(line[:-1] if line.endswith(b"\r") and not found else line):
        raise BadHead("a request line of other than ASCII")
    if end < 0:
        if not found and len(line) > MAX_TARGET + MAX_METHOD:
            raise BadHead("the request line is too long", 414)
        if len(data) >= MAX_HEAD:
            raise BadHead("the head is too long", 431)
        return None
    method, target, version = _request_line(line)
    parsed = Head(method, target, version, read_fields(fields))
    _check_framing(parsed)
    _check_host(parsed)
    return parsed, end + len(_END)


def _request_line(line: bytes) -> tuple[str, str, str]:
    parts = line.split(b" ")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - method, target, version
        raise BadHead("not a request line")
    method, target, version = parts
    number = _VERSION.fullmatch(version)
    if not _TOKEN.fullmatch(method) or not number:
        raise BadHead("not a request line")
    if len(method) > MAX_METHOD:
        raise BadHead("the method is too long", 501)
    if number[1] != b"1" or number[2] not in b"01":
        raise BadHead("only HTTP/1.0 and HTTP/1.1 are understood", 505)
    if len(target) > MAX_TARGET:
        raise BadHead("the target is too long", 414)
    if b"#" in target:
        raise BadHead("a fragment in the target")
    return method.decode("ascii"), target.decode("ascii"), version.decode("ascii")


def read_fields(text: bytes) -> tuple[tuple[str, bytes], ...]:
    """Read header or trailer fields without the last line end; raises BadHead."""
    lines = text.split(b"\r\n") if text else []
    if len(lines) > MAX_FIELDS:
        raise BadHead("too many header fields", 431)
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        # A folded line (RFC 9112 section 5.2) and a space before the colon are no tokens either.
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadHead("not a header field")
        fields.append((name.decode("ascii"), value.strip(b" \t")))
    return tuple(fields)


def _check_framing(head: Head) -> None:
    """Refuse what leaves open where the body ends (RFC 9112 section 6)."""
    for name, _ in head.headers:
        spelled = name.lower()
        if "_" in spelled and spelled.replace("_", "-") in _NEVER_DROPPED:
            raise BadHead(f"{name} instead of {name.replace('_', '-')}")  # the same for CGI
    lengths, codings = (head.values(name) for name in _FRAMING)
    if len(lengths) + len(codings) > 1:
        raise BadHead("more than one of Content-Length and Transfer-Encoding")
    if lengths and not _NUMBER.fullmatch(lengths[0]):
        raise BadHead("Content-Length is not a number")
    if codings and head.version == "HTTP/1.0":
        raise BadHead("Transfer-Encoding in HTTP/1.0")
    if codings and codings[0].lower() != b"chunked":
        raise BadHead("the only transfer coding is chunked", 501)
    if head.method == "CONNECT" and body_length(head) != 0:
        raise BadHead("CONNECT with a body")


def _check_host(head: Head) -> None:
    hosts = head.values("host")
    if len(hosts) > 1 or (not hosts and head.version != "HTTP/1.0"):
        raise BadHead("not exactly one Host")
    if hosts and not _HOST_FIELD.fullmatch(hosts[0]):
        raise BadHead("Host is not a host and port")


def body_length(head: Head) -> int | None:
    """Return how many bytes of body follow; None where it is chunked."""
    if head.values("transfer-encoding"):
        return None
    lengths = head.values("content-length")
    return int(lengths[0]) if lengths else 0


def host_field(head: Head) -> str | None:
    """Return the Host field, `host` or `host:port`; None where HTTP/1.0 has none."""
    hosts = head.values("host")
    return hosts[0].decode("ascii") if hosts else None


def authority(head: Head) -> tuple[str, int, str]:
    """Return host, port and path of a target in absolute or, with CONNECT, authority form.

    The host is as sent, an IPv6 address without its brackets; the path is in origin form (`*` for
    the server itself), "" with CONNECT. That Host says the same is the caller's to check. Raises
    BadHead: 400 for other forms, user names and odd ports, 501 for other schemes than http.
    """
    if head.method == "CONNECT":
        host, port = _host_and_port(head.target)
        if port is None:
            raise BadHead("CONNECT without a port")
        return host, port, ""
    absolute = _ABSOLUTE.fullmatch(head.target)
    if not absolute:
        raise BadHead("the target of a request to a proxy begins with http://")
    scheme, place, path = absolute.groups()
    if scheme.lower() != "http":
        raise BadHead("the only scheme is http; others go through CONNECT", 501)
    host, port = _host_and_port(place)
    if not path.startswith("/"):
        is_of_server = head.method == "OPTIONS" and not path  # RFC 9112 section 3.2.4
        path = "*" if is_of_server else f"/{path}"
    return host, _DEFAULT_PORT if port is None else port, path


def _host_and_port(text: str) -> tuple[str, int | None]:
    parts = _HOST_PORT.fullmatch(text)
    if not parts:
        raise BadHead("the target is not a host and port")
    port = None if parts[3] is None else int(parts[3])
    if port is not None and not 0 < port <= _MAX_PORT:
        raise BadHead("the target's port is not one")
    return parts[1] or parts[2], port


def forward(head: Head, path: str) -> bytes:
    """Return the head to send to the server: `path` in origin form, and one request only.

    What is meant for this hop goes: Connection and the fields it names, Upgrade, TE, and every
    Proxy-* field, so that credentials for the proxy stay here. The fields that say whose the
    request is and where it ends always stay. Host is the target's if that names one, as RFC 9112
    section 3.2.2 says. The version is the client's: it decides whether the answer may be chunked.
    Raises BadHead for a path that is not one, and for a target that authority() refuses.
    """
    if not (path == "*" or path.startswith("/")) or not _VISIBLE.fullmatch(path.encode()):
        raise BadHead("the target is not a path")
    dropped = _OF_ONE_HOP | {
        option.strip().lower().decode("latin-1")
        for value in head.values("connection")
        for option in value.split(b",")
    }
    absolute = _ABSOLUTE.fullmatch(head.target)
    lines = [f"{head.method} {path} {head.version}".encode("ascii")]
    if absolute:
        _host_and_port(absolute[2])
        lines.append(b"Host: " + absolute[2].encode("ascii"))
    for name, value in head.headers:
        spelled = name.lower()
        if spelled == "host" and absolute:
            continue
        is_kept = spelled not in dropped and not spelled.startswith("proxy-")
        if is_kept or spelled in _NEVER_DROPPED:
            lines.append(name.encode("ascii") + b": " + value)
    lines.append(b"Connection: close")
    return b"\r\n".join(lines) + _END
