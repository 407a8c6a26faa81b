"""What the first bytes of a connection are taken for."""

from __future__ import annotations

import io
from http.server import BaseHTTPRequestHandler

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress import greeting
from clsecure.egress.greeting import MOST, Language

REQUESTS = [
    b"GET / HTTP/1.1\r\n",
    b"get / HTTP/1.1\r\n",
    b"PROPFIND /x HTTP/1.1\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\n",
    b"\n \tGET / HTTP/1.1\n",
    b"GET\t/\thttp/1.0\n",
    b"GET /\x01 HTTP/1.1\r\n",
    b"GET /\xff HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"\x0cGET /bad HTTP/1.1\r\n",
    b"\x1fGET /bad HTTP/1.1\r\n",
    b"\xa0GET /bad HTTP/1.1\r\n",
    b"\x85GET /bad HTTP/1.1\r\n",
    b"GET\x0b/bad HTTP/1.1\r\n",
    b"GET\xa0/bad HTTP/1.1\r\n",
    b"G\x1dET /bad HTTP/1.1\r\n",
    b"GET /bad\r\n",
    b"POST\x0bhttp://evil.test/bad\n",
    b"OPTIONS *\n",
    b"GET key\r\n",
]
OTHERS = [b"SSH-2.0-x\r\n", b"EHLO me\r\n", b"get /key\r\n", b"PING\r\n"]


def language_of(data):
    """At a port that is not HTTP's."""
    return greeting.language_of(data, 8000)


@pytest.mark.parametrize("data", REQUESTS)
def test_whatever_a_server_could_take_for_a_request(data):
    assert language_of(data) is Language.HTTP
    for at in range(len(data)):
        assert language_of(data[:at]) in {None, Language.HTTP}


@pytest.mark.parametrize("data", OTHERS)
def test_other_text(data):
    assert language_of(data) is Language.OTHER


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\x10\x0c",
        b"\x16\x00",
        b"\xff\xfb",
        b"AMQP\0\0\x09\x01",
        b"0\x0c\x02\x01\x01`\x07",
        b"?\0\0\0",
    ],
)
def test_what_is_no_text(data):
    assert language_of(data) is Language.OTHER


@pytest.mark.parametrize("kind", [20, 21, 22, 23, 24])
def test_every_record_of_tls(kind):
    assert language_of(bytes([kind])) is None
    assert language_of(bytes([kind, 3])) is Language.TLS


def test_a_line_without_end_is_for_the_strict_parser():
    assert language_of(b"a" * (MOST - 1)) is None
    assert language_of(b"a" * MOST) is Language.HTTP
    assert language_of(b"\r\n" * MOST) is Language.HTTP


@given(st.binary(max_size=300))
def test_more_bytes_do_not_change_an_answer(data):
    answers = [language_of(data[:at]) for at in range(len(data) + 1)]
    known = [each for each in answers if each is not None]
    assert len(set(known[:1] + known[-1:])) <= 1


@pytest.mark.parametrize("data", [b"\x16\x03", b"\0", b"SSH-2.0-x\r\n", b"x", *REQUESTS])
def test_at_the_port_of_http_nothing_else_passes(data):
    assert greeting.language_of(data, 80) is Language.HTTP


class Forgiving(BaseHTTPRequestHandler):
    """The standard library's server, which reads a request in its own way."""

    def __init__(self, said):
        self.rfile, self.wfile = io.BytesIO(said), io.BytesIO()
        self.client_address, self.server, self.close_connection = ("", 0), None, True
        self.raw_requestline = self.rfile.readline(65537)
        self.is_read = self.parse_request()

    def log_message(self, *_):
        """Say nothing."""


@given(
    st.sampled_from([b"", b"\r\n", b" ", b"\x0b", b"\x1c", b"\x85", b"\xa0", b"\t"]),
    st.sampled_from([b"GET", b"POST", b"X", b"PROPFIND"]),
    st.binary(min_size=1, max_size=3),
    st.sampled_from([b" HTTP/1.1", b" HTTP/1.0", b"", b"\x0bHTTP/1.1", b"\xa0HTTP/1.0 "]),
)
def test_what_a_real_server_reads_with_a_host_is_not_passed_unread(before, method, gap, version):
    line = before + method + gap + b"/bad" + version + b"\r\n"
    first, _, rest = line.partition(b"\n")
    if first.strip(b"\r"):
        server = Forgiving(line + b"Host: evil.test\r\n\r\n")
        # A method with a byte that no method has is refused by whoever carries it out.
        is_heeded = server.is_read and server.command.encode("latin-1") == method
        is_heeded = is_heeded and server.headers.get("Host") == "evil.test"
        if is_heeded:
            assert language_of(line + rest) is Language.HTTP, line
