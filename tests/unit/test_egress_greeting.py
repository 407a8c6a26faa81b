"""What the first bytes of a connection are taken for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress.greeting import MOST, Language, language_of

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
]
OTHERS = [b"SSH-2.0-x\r\n", b"EHLO me\r\n", b"GET key\r\n", b"0032git-upload-pack /p\0host=a\n"]


@pytest.mark.parametrize("data", REQUESTS)
def test_whatever_a_server_could_take_for_a_request(data):
    assert language_of(data) is Language.HTTP
    for at in range(len(data)):
        assert language_of(data[:at]) in {None, Language.HTTP}


@pytest.mark.parametrize("data", OTHERS)
def test_other_text(data):
    assert language_of(data) is Language.OTHER


@pytest.mark.parametrize(
    "data", [b"\0\0\0\x08\x04\xd2\x16\x2f", b"\x10\x0c", b"\x16\x00", b"\xff\xfb"]
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
