"""Which addresses are the public internet's, and which are this host's or its neighbours'.

Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), read 2025, and the
documents named beside each range. Where the registry calls a small part of a refused range
globally reachable (anycast of 192.0.0.0/24 and 2001::/23), it is refused all the same.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

# Addresses at which cloud platforms hand credentials to whoever asks from the machine. One is in
# a public range, the others would be refused for their range, but as what they are.
METADATA: frozenset[Address] = frozenset(
    {
        IPv4Address("169.254.169.254"),  # the usual one
        IPv4Address("169.254.170.2"),  # credentials of an AWS container (ECS)
        IPv4Address("169.254.170.23"),  # the same in EKS
        IPv4Address("169.254.0.23"),  # Tencent Cloud
        IPv4Address("100.100.100.200"),  # Alibaba Cloud
        IPv4Address("192.0.0.192"),  # Oracle Cloud, the older one
        IPv4Address("168.63.129.16"),  # Azure's host agent
        IPv6Address("fd00:ec2::254"),  # AWS
        IPv6Address("fd00:ec2::23"),  # EKS
        IPv6Address("fd20:ce::254"),  # Google Cloud
    }
)

_RANGES_4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/32", "unspecified"),  # RFC 1122 3.2.1.3; Linux connects it to loopback
        ("0.0.0.0/8", "reserved"),  # RFC 791 section 3.2, "this network"
        ("10.0.0.0/8", "private"),  # RFC 1918
        ("100.64.0.0/10", "shared"),  # RFC 6598, between a provider and its customers
        ("127.0.0.0/8", "loopback"),  # RFC 1122 section 3.2.1.3
        ("169.254.0.0/16", "link-local"),  # RFC 3927
        ("172.16.0.0/12", "private"),  # RFC 1918
        ("192.0.0.0/24", "reserved"),  # RFC 6890 section 2.1, IETF protocol assignments
        ("192.0.2.0/24", "documentation"),  # RFC 5737
        ("192.88.99.0/24", "reserved"),  # RFC 7526, was 6to4 relay anycast
        ("192.168.0.0/16", "private"),  # RFC 1918
        ("198.18.0.0/15", "benchmarking"),  # RFC 2544; the box's own names have these
        ("198.51.100.0/24", "documentation"),  # RFC 5737
        ("203.0.113.0/24", "documentation"),  # RFC 5737
        ("224.0.0.0/4", "multicast"),  # RFC 5771
        ("255.255.255.255/32", "broadcast"),  # RFC 919 section 7
        ("240.0.0.0/4", "reserved"),  # RFC 1112 section 4
    )
)
_RANGES_6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::/128", "unspecified"),  # RFC 4291 section 2.5.2
        ("::1/128", "loopback"),  # RFC 4291 section 2.5.3
        ("64:ff9b:1::/48", "private"),  # RFC 8215, a site's own translation
        ("100::/63", "reserved"),  # RFC 6666 discards, RFC 9780 the half beside it
        ("2001::/23", "reserved"),  # RFC 2928, IETF protocol assignments
        ("2001:db8::/32", "documentation"),  # RFC 3849
        ("3fff::/20", "documentation"),  # RFC 9637
        ("5f00::/16", "reserved"),  # RFC 9602, segment routing inside a network
        ("fc00::/7", "private"),  # RFC 4193
        ("fe80::/10", "link-local"),  # RFC 4291 section 2.5.6
        ("fec0::/10", "private"),  # RFC 3879, site-local of old
        ("ff00::/8", "multicast"),  # RFC 4291 section 2.7
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291 section 2.4 and IANA: all that is given out
_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 section 2.5.5.1
_TRANSLATED = IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1
_TRANSLATED_HERE = IPv6Network("64:ff9b:1::/48")  # RFC 8215
_SIX_TO_FOUR = IPv6Network("2002::/16")  # RFC 3056 section 2
_TEREDO = IPv6Network("2001::/32")  # RFC 4380 section 4
_LAST_SPECIAL = 1  # `::` and `::1` are not IPv4 addresses in disguise


def embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address carries; any other address as it is.

    For 64:ff9b:1::/48 the last 32 bits are taken, which is what a /96 out of it means; the prefix
    in use is not to be seen, so `why_not_public` refuses that range whatever it carries.
    """
    if isinstance(address, IPv4Address):
        return address
    bits = int(address)
    if any(address in network for network in (_MAPPED, _TRANSLATED, _TRANSLATED_HERE)):
        return IPv4Address(bits & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address(bits >> 80 & 0xFFFFFFFF)
    if address in _TEREDO:
        return IPv4Address(~bits & 0xFFFFFFFF)  # the client's address is stored inverted
    if address in _COMPATIBLE and bits > _LAST_SPECIAL:
        return IPv4Address(bits & 0xFFFFFFFF)
    return address


def unmapped(address: Address) -> Address:
    """Return the IPv4 address to which Linux connects for an IPv4-mapped one (ipv6(7))."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def why_not_public(address: Address) -> str:
    """Return "" for a public address, else the kind of address it is, such as "loopback"."""
    inner = embedded(address)
    if METADATA.intersection((address, inner)):
        return "metadata"
    if isinstance(inner, IPv4Address) and (kind := _kind_4(inner)):
        return kind
    return _kind_6(address) if isinstance(address, IPv6Address) else ""


def _kind_4(address: IPv4Address) -> str:
    return next((kind for network, kind in _RANGES_4 if address in network), "")


def _kind_6(address: IPv6Address) -> str:
    if address in _MAPPED or address in _TRANSLATED:
        return ""  # what they carry has been looked at
    if address in _TEREDO:  # and so has the client; the server is dialled first
        return _kind_4(IPv4Address(int(address) >> 64 & 0xFFFFFFFF))
    kind = next((kind for network, kind in _RANGES_6 if address in network), "")
    return kind or ("" if address in _GLOBAL_UNICAST else "reserved")
