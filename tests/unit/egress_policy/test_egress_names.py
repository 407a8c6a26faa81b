"""Host names: one spelling each, and nothing that two programs could read in two ways."""

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clsecure.egress.names import BadHost, Host, parse_host, parse_target


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.Org", "example.org"),
        ("example.org.", "example.org"),
        (b"Example.ORG.", "example.org"),
        ("localhost", "localhost"),
        ("_acme-challenge.example.org", "_acme-challenge.example.org"),
        ("r3---sn-x.example.org", "r3---sn-x.example.org"),
        ("1.example.org", "1.example.org"),
        ("0x7f.1.example", "0x7f.1.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("xn--fa-hia.example", "xn--fa-hia.example"),
        ("例え.example", "xn--r8jz45g.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_names(text, name):
    assert parse_host(text) == Host(name=name)
    assert str(parse_host(text)) == name


def test_the_longest_name():
    label = "a" * 61
    longest = ".".join([label, label, label, label, "a" * 5])
    assert len(longest) == 253
    assert parse_host(longest).name == longest
    assert parse_host(longest + ".").name == longest
    with pytest.raises(BadHost, match="too long"):
        parse_host(longest + "a")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.1.2.3", IPv4Address("10.1.2.3")),
        ("0.0.0.0", IPv4Address("0.0.0.0")),
        ("2001:DB8::1", IPv6Address("2001:db8::1")),
        ("::ffff:127.0.0.1", IPv6Address("::ffff:7f00:1")),
        ("::", IPv6Address("::")),
    ],
)
def test_addresses(text, address):
    host = parse_host(text)
    assert host == Host(address=address)
    assert str(host) == str(address)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", ".example.org", "example..org", "example.org.."),
        *("a b", " example.org", "example.org ", "example.org\n", "example.org\r\nx", "a\tb"),
        *("example.org\0", "example.org\0.evil.test", "a\x7fb", "a\x1fb"),
        *("user@example.org", "example.org/", "example.org\\x", "a%2eb", "a%00b", "[::1]"),
        *("*.example.org", "a,b", "a;b", "a#b", "a?b", "-a.example", "a-.example", "a'b", 'a"b'),
        *("a" * 64 + ".example", "a." * 127 + "a", "x" * 100000),
        *("0x7f.1", "2130706433", "0177.0.0.1", "127.1", "127.0.1", "0x7f000001", "0x", "1.0x"),
        *("127.0.0.01", "127.0.0.1.", "256.1.1.1", "1.2.3.4.5", "example.1", "example.0x1f"),
        *("fe80::1%eth0", "fe80::1%251", "::1%lo", "1:2:3", ":::", "::g", "::1.", "::1 "),
        *("a:80", "::ffff:0177.0.0.1"),
        *("faß.example", "ς.example", "a\u200db.example", "a\u200cb.example", "a\u00adb.example"),
        *(
            "\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45.org",
            "example\u3002org",
            "example\uff0eorg",
            "example\uff61org",
            "ﬁ.example",
        ),
        *("bu\u0308cher.example", "\uff11\uff12\uff17.0.0.1", "\uff11.example", "\ud800.example"),
        *("\u2100.example", "\u202eabc.example", "a\ue000.example", "ex\u3000ample.org"),
        "Kelvin\u212a.example",
    ],
)
def test_refused(text):
    with pytest.raises(BadHost) as caught:
        parse_host(text)
    assert 0 < len(str(caught.value)) < 50
    assert "\n" not in str(caught.value)


def test_bytes_outside_ascii_are_refused():
    with pytest.raises(BadHost):
        parse_host("bücher.example".encode())


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.org:443", "example.org", 443),
        (b"EXAMPLE.org.:1", "example.org", 1),
        ("10.0.0.1:65535", "10.0.0.1", 65535),
        ("[2001:db8::1]:80", "2001:db8::1", 80),
        ("[::1]", "::1", 7),
        ("example.org", "example.org", 7),
    ],
)
def test_targets(text, host, port):
    found, number = parse_target(text, 7)
    assert (str(found), number) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("example.org:", "example.org:0", "example.org:65536", "example.org:080", "a:+80", "a:-1"),
        *("a: 80", "a:80 ", "a:8_0", "a:٨٠", "a:80:80", "a:99999999999999999999", "a:0x50"),
        *("::1:80", "::1", "[::1", "[::1]80", "[::1]:", "[::1]]:80", "[[::1]]:80", "::1]:80"),
        *("[127.0.0.1]:80", "[example.org]:80", "[]:80", "[fe80::1%eth0]:80", "x[::1]:80"),
        *(":80", "[", "]", "", "user:pw@example.org:80", "http://example.org", "a:80\r\n"),
    ],
)
def test_refused_targets(text):
    with pytest.raises(BadHost):
        parse_target(text, 443)


def test_a_port_is_needed_where_there_is_no_usual_one():
    for text in ("example.org", "[::1]"):
        with pytest.raises(BadHost, match="no port"):
            parse_target(text)


@given(st.text() | st.text("0123456789abcdefx.:-_%[]@ Aß", max_size=30) | st.binary())
@example("a.example")
def test_what_is_accepted_has_one_spelling_and_only_harmless_characters(text):
    try:
        host = parse_host(text)
    except BadHost:
        return
    spelling = str(host)
    assert parse_host(spelling) == host
    assert parse_host(spelling.encode()) == host
    assert spelling.isascii()
    assert spelling == spelling.lower()
    assert not set(spelling) - set("abcdefghijklmnopqrstuvwxyz0123456789.-_:")
    assert len(spelling) <= 253
    assert parse_target(f"[{spelling}]:1" if ":" in spelling else f"{spelling}:1") == (host, 1)


@given(st.text("0123456789abcdefx.", min_size=1, max_size=20))
@example("0x7f.1")
@example("017700000001")
@example("1.2.3.4")
def test_what_the_c_library_takes_for_an_address_is_never_a_name(text):
    try:
        read = socket.inet_aton(text)
    except OSError:
        return
    try:
        host = parse_host(text)
    except BadHost:
        return
    assert host.address is not None
    assert host.address.packed == read


@given(st.integers(0, 2**128 - 1).map(IPv6Address) | st.integers(0, 2**32 - 1).map(IPv4Address))
def test_addresses_survive(address):
    assert parse_host(str(address)) == Host(address=address)
    assert parse_host(address.exploded) == Host(address=address)
