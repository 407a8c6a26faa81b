"""Which addresses count as public, whatever they hide in."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress.addresses import METADATA, embedded, unmapped, why_not_public

FOURS = st.integers(0, 2**32 - 1).map(IPv4Address)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "reserved"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "shared"),
        ("100.127.255.255", "shared"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("192.0.0.8", "reserved"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("198.18.0.1", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("192.88.99.1", "reserved"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::2", "reserved"),
        ("fe80::1", "link-local"),
        ("fec0::1", "private"),
        ("fc00::1", "private"),
        ("fdff::1", "private"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("100::1", "reserved"),
        ("100:0:0:1::1", "reserved"),
        ("5f00::1", "reserved"),
        ("4000::1", "reserved"),
        ("2001:20::1", "reserved"),
        ("64:ff9b:1::8.8.8.8", "private"),
        ("64:ff9b:2::1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "metadata"),
        ("::ffff:0:127.0.0.1", "reserved"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b:1::127.0.0.1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a9fe:a9fe::1", "metadata"),
        ("2002:c0a8:101:ffff::1", "private"),
        ("::127.0.0.1", "loopback"),
        ("::8.8.8.8", "reserved"),
        ("2001:0:808:808::80ff:fffe", "loopback"),  # Teredo, a client of 127.0.0.1
        ("2001:0:7f00:1::f7f7:f7f7", "loopback"),  # Teredo, a server of 127.0.0.1
    ],
)
def test_not_public(address, kind):
    assert why_not_public(ip_address(address)) == kind


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"),
        *("126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255"),
        *("172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"),
        *("223.255.255.255", "168.63.129.15", "2606:4700::1", "2a00:1450::1"),
        *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:0:808:808::f7f7:f7f7"),
    ],
)
def test_public(address):
    assert why_not_public(ip_address(address)) == ""


@given(FOURS)
def test_no_disguise_makes_an_address_more_public(inner):
    plain = why_not_public(inner)
    number = int(inner)
    mapped = IPv6Address(0xFFFF << 32 | number)
    translated = IPv6Address(0x64FF9B << 96 | number)
    here = IPv6Address(0x64FF9B0001 << 80 | number)
    six_to_four = IPv6Address(0x2002 << 112 | number << 80 | 1)
    teredo = IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | ~number & 0xFFFFFFFF)
    assert unmapped(mapped) == inner
    for disguised in (mapped, translated, here, six_to_four, teredo):
        assert embedded(disguised) == inner
        if plain:
            assert why_not_public(disguised) == plain
    assert why_not_public(here)
    assert why_not_public(mapped) == plain
    if number > 1:
        assert embedded(IPv6Address(number)) == inner
        assert why_not_public(IPv6Address(number))


@given(st.integers(0, 2**128 - 1).map(IPv6Address) | FOURS)
def test_public_is_never_wider_than_the_standard_library_says(address):
    if why_not_public(address) == "":
        assert embedded(address).is_global
        assert not embedded(address).is_multicast


def test_what_carries_nothing_is_itself():
    for text in ("8.8.8.8", "::", "::1", "2606:4700::1", "fe80::7f00:1"):
        assert embedded(ip_address(text)) == ip_address(text)


def test_metadata_addresses_are_never_public():
    assert all(why_not_public(address) == "metadata" for address in METADATA)
