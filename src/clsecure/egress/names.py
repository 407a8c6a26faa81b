"""One spelling for each host: what a tool calls it, normalised, or refused where it is ambiguous.

The decision, the log and the dial all use the spelling made here, so nothing that two programs
could read in two ways may pass. A name that a resolver or `inet_aton(3)` would take for an
address (`0x7f.1`, `2130706433`, `127.1`, `0177.0.0.1`) is neither a name nor an address here.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

_NAME_LENGTH = 253  # RFC 1035 section 2.3.4: 255 octets on the wire
_LABEL_LENGTH = 63  # the same
_PORT_LIMIT = 65535
# RFC 952 and RFC 1123 section 2.1; the underscore stands in names that are in use (RFC 8552).
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", re.ASCII)
# "Ends in a number" of the WHATWG URL standard, section 3.5: browsers and curl read such a host
# as an IPv4 address in one of the old forms, or refuse it.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_ADDRESS_6 = re.compile(r"[0-9A-Fa-f:.]+", re.ASCII)
# UTS #46 section 2.3: browsers take these for dots, the codec of the standard library does too.
_OTHER_DOTS = frozenset("\u3002\uff0e\uff61")


class BadHost(ValueError):
    """Text that is not one host; `str(error)` says why in a few words."""


class Host(NamedTuple):
    """A host: either `name`, lower-case ASCII without a dot at its end, or `address`."""

    name: str = ""
    address: IPv4Address | IPv6Address | None = None

    def __str__(self) -> str:
        return self.name if self.address is None else str(self.address)


def parse_host(text: str | bytes) -> Host:
    """Return the host that `text` is: a name, an IPv4 address, an IPv6 address without brackets.

    One dot at the end of a name goes, capitals become small, letters outside ASCII become
    A-labels (RFC 5890). Bytes must be ASCII. Raises BadHost.
    """
    text = _as_text(text)
    if not text:
        raise BadHost("no host")
    if ":" in text:
        return Host(address=_address_6(text))
    labels = [_label(label) for label in text.removesuffix(".").split(".")]
    if _NUMBER.fullmatch(labels[-1]):
        return Host(address=_address_4(text))
    name = ".".join(labels)
    if len(name) > _NAME_LENGTH:
        raise BadHost("name too long")
    return Host(name=name)


def parse_target(text: str | bytes, default_port: int | None = None) -> tuple[Host, int]:
    """Return host and port of `host:port` or `[IPv6 address]:port`.

    `default_port` is for text without a port; None requires one. Raises BadHost, for an IPv6
    address without brackets too.
    """
    text = _as_text(text)
    if text.startswith("["):
        inner, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise BadHost("malformed brackets")
        return Host(address=_address_6(inner)), _port(rest[1:] if rest else None, default_port)
    host, colon, port = text.partition(":")
    if ":" in port:
        raise BadHost("IPv6 address without brackets")
    return parse_host(host), _port(port if colon else None, default_port)


def parse_port(text: str) -> int:
    """Return a port from 1 to 65535, in decimal without leading zeros; raises BadHost."""
    if not _PORT.fullmatch(text) or int(text) > _PORT_LIMIT:
        raise BadHost("bad port")
    return int(text)


def _port(text: str | None, default: int | None) -> int:
    if text is not None:
        return parse_port(text)
    if default is None:
        raise BadHost("no port")
    return default


def _as_text(text: str | bytes) -> str:
    if isinstance(text, bytes):
        try:
            text = text.decode("ascii")
        except UnicodeDecodeError:
            raise BadHost("bytes that are not ASCII") from None
    if len(text) > _NAME_LENGTH + len("[].:65535"):  # an A-label is never shorter than its text
        raise BadHost("name too long")
    return text


def _label(label: str) -> str:
    if not label:
        raise BadHost("empty label")
    ascii_label = label.lower() if label.isascii() else _a_label(label)
    if len(ascii_label) > _LABEL_LENGTH:
        raise BadHost("label too long")
    if not _LABEL.fullmatch(ascii_label):
        raise BadHost("character that no host name has")
    return ascii_label


def _a_label(label: str) -> str:
    """Return the A-label of a label with letters outside ASCII.

    Lower case is the only mapping done. What IDNA 2003 (RFC 3490, the standard library), IDNA
    2008 (RFC 5891) and UTS #46 would change further, or each in its own way, is refused: full-width
    letters, ligatures, joiners, sharp s, a decomposed accent. What is left has one Punycode.
    """
    from encodings.idna import ToASCII, ToUnicode

    small = label.lower()
    if _OTHER_DOTS.intersection(small):
        raise BadHost("dot of another script")
    if (
        unicodedata.normalize("NFKC", label) != label
        or unicodedata.normalize("NFKC", small) != small
        or any(unicodedata.category(character).startswith("C") for character in small)
    ):
        raise BadHost("ambiguous international name")
    try:
        encoded = ToASCII(small)
        again = ToUnicode(encoded)
    except UnicodeError:  # too long, or not allowed by RFC 3491
        raise BadHost("no valid international name") from None
    if again != small:  # the deviations of UTS #46 section 2.1, which stand for two hosts each
        raise BadHost("ambiguous international name")
    return encoded.decode("ascii").lower()


def _address_4(text: str) -> IPv4Address:
    """Return a dotted quad without leading zeros; every other number is refused."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise BadHost("not a plain IPv4 address") from None


def _address_6(text: str) -> IPv6Address:
    if not _ADDRESS_6.fullmatch(text):  # a zone (RFC 4007, `%eth0`) means nothing elsewhere
        raise BadHost("not a plain IPv6 address")
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise BadHost("not a plain IPv6 address") from None
