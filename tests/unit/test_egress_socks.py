"""SOCKS 5 in whatever pieces: the target asked for, or a refusal, and never another target."""

import itertools
import shutil
import socket
import struct
import subprocess
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress.socks import Negotiation, Reply, reply

GREETING = b"\5\1\0"
WELCOME = b"\5\0"
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)
PORTS = st.integers(1, 65535)


def request(host, port=443, *, command=1, reserved=0, version=5):
    if isinstance(host, IPv4Address):
        address = b"\1" + host.packed
    elif isinstance(host, IPv6Address):
        address = b"\4" + host.packed
    else:
        name = host if isinstance(host, bytes) else host.encode()
        address = b"\3" + bytes([len(name)]) + name
    return bytes([version, command, reserved]) + address + struct.pack("!H", port)


def negotiate(*pieces):
    negotiation = Negotiation()
    answer = b"".join(negotiation.feed(piece) for piece in pieces)
    return negotiation, answer


HOSTS = (
    VISIBLE
    | st.builds(IPv4Address, st.integers(0, 2**32 - 1))
    | st.builds(IPv6Address, st.integers(0, 2**128 - 1))
)


@given(
    host=HOSTS,
    port=PORTS,
    rest=st.binary(max_size=30),
    cuts=st.lists(st.integers(0, 300), max_size=6),
)
def test_a_target_in_any_pieces(host, port, rest, cuts):
    data = GREETING + request(host, port) + rest
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    negotiation, answer = negotiate(*(data[a:b] for a, b in itertools.pairwise(edges)))
    assert answer == WELCOME
    assert negotiation.target == (str(host), port)
    assert negotiation.rest == rest
    assert not negotiation.failed


@given(host=HOSTS, port=PORTS)
def test_a_byte_at_a_time(host, port):
    data = GREETING + request(host, port)
    negotiation = Negotiation()
    for number, byte in enumerate(data, 1):
        answer = negotiation.feed(bytes([byte]))
        assert answer == (WELCOME if number == len(GREETING) else b"")
        assert (negotiation.target is not None) == (number == len(data))
    assert negotiation.rest == b""
    assert negotiation.feed(b"more") == b""
    assert negotiation.rest == b"more"


@contextmanager
def curl_negotiates(url):
    """Let curl ask for a URL through us; yields curl, the connection and its negotiation."""
    if not shutil.which("curl"):
        pytest.skip("no curl")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        proxy = f"socks5h://127.0.0.1:{server.getsockname()[1]}"
        argv = ["curl", "-sS", "--noproxy", "", "-x", proxy, url]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(argv, **pipes) as curl:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(20)
                negotiation = Negotiation()
                while not negotiation.target:
                    connection.sendall(negotiation.feed(connection.recv(4096)))
                yield curl, connection, negotiation


def test_curl_asks_for_a_name():
    with curl_negotiates("http://example.org:8080/") as (curl, connection, negotiation):
        assert negotiation.target == ("example.org", 8080)
        connection.sendall(reply(Reply.SUCCEEDED))
        assert connection.recv(4096).startswith(b"GET / HTTP/1.1\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        assert curl.communicate(timeout=20)[0] == b"hi"


def test_curl_is_told_of_a_refusal():
    with curl_negotiates("http://example.org/") as (curl, connection, _):
        connection.sendall(reply(Reply.NOT_ALLOWED))
        assert b"(2)" in curl.communicate(timeout=20)[1]
        assert curl.returncode == 97  # CURLE_PROXY


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"\4\1\0\x50\1\2\3\4\0", b""),  # SOCKS 4
        (b"GET / HTTP/1.1\r\n", b""),
        (b"\5\0", b"\5\xff"),
        (b"\5\1\2", b"\5\xff"),  # user name and password alone
        (b"\5\2\1\2", b"\5\xff"),
        (GREETING + request("example.org", command=2), WELCOME + reply(7)),
        (GREETING + request("example.org", command=3), WELCOME + reply(7)),
        (GREETING + request(IPv4Address("10.0.0.1"), command=0xF0), WELCOME + reply(7)),
        (GREETING + b"\5\1\0\2", WELCOME),
        (GREETING + b"\5\1\0\2\0", WELCOME + reply(8)),
        (GREETING + b"\4\1\0\3", WELCOME + reply(1)),
        (GREETING + request("example.org", reserved=1), WELCOME + reply(1)),
        (GREETING + request("example.org", 0), WELCOME + reply(1)),
        (GREETING + request(""), WELCOME + reply(1)),
        (GREETING + request("example.org\0.test"), WELCOME + reply(1)),
        (GREETING + request("example.org\r\nX: y"), WELCOME + reply(1)),
        (GREETING + request("exam ple.org"), WELCOME + reply(1)),
        (GREETING + request("exämple.org"), WELCOME + reply(1)),
        (GREETING + request(b"a\x7f"), WELCOME + reply(1)),
    ],
)
def test_refusals(data, answer):
    negotiation, answered = negotiate(data)
    assert answered == answer
    assert negotiation.target is None
    assert negotiation.rest == b""
    if data != GREETING + b"\5\1\0\2":  # one byte more is awaited there
        assert negotiation.failed
        assert negotiation.reason
        assert negotiation.feed(GREETING + request("example.org")) == b""
        assert negotiation.target is None


def test_a_reply():
    assert reply(Reply.SUCCEEDED) == b"\5\0\0\1\0\0\0\0\0\0"


@given(pieces=st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes(pieces):
    data = b"".join(pieces)
    negotiation, answer = negotiate(*pieces)
    if negotiation.target:
        assert data[:1] == b"\5"
        assert answer == WELCOME
        host, port = negotiation.target
        assert host.isascii()
        assert host.isprintable()
        assert 0 < port < 65536
    whole, answer_of_whole = negotiate(data)
    assert (whole.target, whole.failed, whole.rest) == (
        negotiation.target,
        negotiation.failed,
        negotiation.rest,
    )
    assert answer_of_whole == answer


@given(request_bytes=st.binary(max_size=60), cut=st.integers(0, 60))
def test_any_request(request_bytes, cut):
    test_any_bytes.hypothesis.inner_test([GREETING, request_bytes[:cut], request_bytes[cut:]])
