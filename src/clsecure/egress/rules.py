"""Which hosts a session may reach: rules, what they match, and a verdict with its reason.

A decision has two halves, both made here and neither with any I/O: `Policy.judge` on what the
tool asked for, before anything is resolved, and `Policy.judge_addresses` on what the name turned
out to be. Only addresses that passed the second may be dialled.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple, TypeAlias

from clsecure.choices import Network
from clsecure.egress.addresses import METADATA, Address, embedded, unmapped, why_not_public
from clsecure.egress.names import BadHost, Host, parse_host, parse_port
from clsecure.errors import ExitCode, UserError
from clsecure.output import escape

AddressRange: TypeAlias = IPv4Network | IPv6Network

BY_DOOR = "reached by the door of the agent's API alone"
API_RULE = "api"  # the rule that a verdict names where the agent's own API is meant
_FORMS = "a rule is HOST, *.HOST, an address or a range such as 10.1.0.0/16, each with :PORT or not"
# Wider ranges are a whole network's worth of hosts, not a list: 10.0.0.0/8 and fc00::/7 are the
# widest with one owner (RFC 1918, RFC 4193).
_WIDEST = {4: 8, 6: 7}


class Rule(NamedTuple):
    """One line of the allow-list or the deny-list.

    `name` is a host's, or with `is_suffix` the name above all that match; `network` are the
    addresses instead. `port` None means every port. `text` is the rule in its one spelling.
    """

    text: str
    name: str
    is_suffix: bool
    network: AddressRange | None
    port: int | None

    def matches_name(self, name: str, port: int) -> bool:
        """Whether the rule speaks of the host called `name`."""
        if not self.name or self.port not in {None, port}:
            return False
        return name.endswith("." + self.name) if self.is_suffix else name == self.name

    def matches_address(self, address: Address, port: int) -> bool:
        """Whether the rule speaks of exactly this address."""
        return self.network is not None and self.port in {None, port} and address in self.network


class Verdict(NamedTuple):
    """The decision: `rule` is the text of the rule that made it, or "", `reason` is for people."""

    allowed: bool
    rule: str
    reason: str


def parse_rule(text: str) -> Rule:
    """Return the rule that a person wrote; raises UserError (USAGE)."""
    host, port_text = _split(text)
    try:
        port = None if port_text is None else parse_port(port_text)
        is_suffix = host.startswith("*.")
        if host == "*" or (is_suffix and "." not in host[2:].removesuffix(".")):
            raise _too_wide(text)
        if "/" in host:
            return _range_rule(text, host, port)
        parsed = parse_host(host[2:] if is_suffix else host)
    except BadHost as error:
        raise _bad(text, str(error)) from error
    if parsed.address is None:
        canonical = ("*." if is_suffix else "") + parsed.name + _port_text(port)
        return Rule(canonical, parsed.name, is_suffix, None, port)
    if is_suffix:
        raise _bad(text, "an address has no subdomains")
    address = unmapped(parsed.address)
    return Rule(_address_text(str(address), port), "", is_suffix, ip_network(address), port)


class Policy:
    """The rules in force for one session, which may change while it runs."""

    def __init__(
        self, level: Network, allow: Iterable[Rule] = (), api: tuple[Host, int] | None = None
    ) -> None:
        self.level = level
        self.api = api
        self.by_door: frozenset[tuple[Host, int]] = frozenset()  # APIs that have a door of theirs
        self._allowed: list[Rule] = []
        self._denied: list[Rule] = []
        for rule in allow:
            self.allow(rule)

    def allow(self, rule: Rule) -> None:
        """Allow from now on; takes back a denial of the very same rule, no wider one."""
        _move(rule, self._denied, self._allowed)

    def deny(self, rule: Rule) -> None:
        """Deny from now on, whatever other rules allow."""
        _move(rule, self._allowed, self._denied)

    def only(self, host: Host, port: int) -> Policy:
        """Return a policy for that API alone; what is denied in this one is denied there, too."""
        alone = Policy(Network.FILTERED, api=(host, port))
        alone._denied = self._denied
        return alone

    def judge(self, host: Host, port: int) -> Verdict:
        """Decide on what was asked for, before its name is resolved."""
        if self.level is Network.NONE:
            return _no("no network in this session")
        if host.address is not None:
            return self._judge_address(host, host.address, port)
        if denial := _first_name(self._denied, host.name, port):
            return _no("on the deny-list", denial.text)
        if (host, port) == self.api:
            return _yes("the agent's API", API_RULE)
        if rule := _first_name(self._allowed, host.name, port):
            return _yes("on the allow-list", rule.text)
        return self._unlisted(host, port)

    def judge_addresses(self, host: Host, port: int, addresses: Iterable[Address]) -> Verdict:
        """Decide on every address that `host` resolved to: one that is refused refuses all.

        An address that is not public must be on the allow-list itself, or the host must be the
        agent's API. For a host given by address, `addresses` is that one.
        """
        verdict = self.judge(host, port)
        found = tuple(addresses)
        if not verdict.allowed:
            return verdict
        if not found:
            return _no("no address")
        refusals = (self._refusal(host, port, address) for address in found)
        return next((refusal for refusal in refusals if refusal), verdict)

    def _judge_address(self, host: Host, address: Address, port: int) -> Verdict:
        if refusal := self._refusal(host, port, address):
            return refusal
        if (host, port) == self.api:
            return _yes("the agent's API", API_RULE)
        if rule := _first_address(self._allowed, address, port):
            return _yes("on the allow-list", rule.text)
        return self._unlisted(host, port)

    def _unlisted(self, host: Host, port: int) -> Verdict:
        if self.level is Network.OPEN:
            return _yes("the network is open", "")
        if (host, port) in self.by_door:
            return _no(BY_DOOR)
        return _no("not on the allow-list")

    def _refusal(self, host: Host, port: int, address: Address) -> Verdict | None:
        """Return why this address must not be dialled for `host`, or None."""
        if denial := _denial(self._denied, address, port):
            return _no("on the deny-list", denial.text)
        kind = why_not_public(address)
        if not kind or (host, port) == self.api:
            return None
        if _first_address(self._allowed, address, port):
            return None
        if host.address is None:
            return _no(f"resolves to {_article(kind)} address")
        return _no(f"{_article(kind)} address, not on the allow-list")


def _yes(reason: str, rule: str) -> Verdict:
    return Verdict(allowed=True, rule=rule, reason=reason)


def _no(reason: str, rule: str = "") -> Verdict:
    return Verdict(allowed=False, rule=rule, reason=reason)


def _move(rule: Rule, source: list[Rule], target: list[Rule]) -> None:
    if rule in source:
        source.remove(rule)
    if rule not in target:
        target.append(rule)


def _first_name(rules: Iterable[Rule], name: str, port: int) -> Rule | None:
    return next((rule for rule in rules if rule.matches_name(name, port)), None)


def _first_address(rules: Iterable[Rule], address: Address, port: int) -> Rule | None:
    """Return the rule that lists this address.

    A mapped address is the IPv4 address itself. Translated and tunnelled ones are not: where they
    lead is for some router to say. A range does not list a metadata address inside it.
    """
    plain = unmapped(address)
    alone = bool(METADATA.intersection((plain, embedded(address))))
    return next(
        (
            rule
            for rule in rules
            if rule.matches_address(plain, port) and not (alone and _is_range(rule))
        ),
        None,
    )


def _denial(rules: Iterable[Rule], address: Address, port: int) -> Rule | None:
    """Return the rule that denies this address or the one it carries."""
    forms = (address, embedded(address))
    return next(
        (rule for rule in rules if any(rule.matches_address(form, port) for form in forms)), None
    )


def _is_range(rule: Rule) -> bool:
    return rule.network is not None and rule.network.num_addresses > 1


def _article(kind: str) -> str:
    return f"an {kind}" if kind.startswith(tuple("aeiou")) else f"a {kind}"


def _split(text: str) -> tuple[str, str | None]:
    """Return host and port as written; an IPv6 address has brackets where a port follows."""
    if text.startswith("["):
        inner, closed, rest = text[1:].partition("]")
        if not closed or ":" not in inner or (rest and not rest.startswith(":")):
            raise _bad(text, "malformed brackets")
        return inner, rest[1:] if rest else None
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _range_rule(text: str, host: str, port: int | None) -> Rule:
    start, _, length = host.partition("/")
    address = parse_host(start).address
    if address is None or not length.isdecimal() or not length.isascii():
        raise _bad(text, "not an address and a length")
    try:
        network = ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        raise _bad(text, "not an address and a length") from None
    if network.network_address != address:
        raise _bad(text, f"the range is {network}")
    if unmapped(address) != address:
        raise _bad(text, "give these addresses as an IPv4 range")
    if network.prefixlen < _WIDEST[network.version]:
        raise _too_wide(text)
    return Rule(
        _address_text(str(network), port), name="", is_suffix=False, network=network, port=port
    )


def _address_text(address: str, port: int | None) -> str:
    if port is None:
        return address
    return (f"[{address}]" if ":" in address else address) + _port_text(port)


def _port_text(port: int | None) -> str:
    return "" if port is None else f":{port}"


def _bad(text: str, reason: str) -> UserError:
    return UserError(
        f"not a host to allow or deny: {escape(text)}: {reason}",
        hint=_FORMS,
        code=ExitCode.USAGE,
    )


def _too_wide(text: str) -> UserError:
    return UserError(
        f"too wide for a list of hosts: {escape(text)}",
        hint="to open the network to every public host, use --allow-network",
        code=ExitCode.USAGE,
    )
