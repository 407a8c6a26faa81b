"""A head has one meaning or is refused; what is sent on has the same and nothing of this hop."""

import http.server
import io
import shutil
import socket
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress.httphead import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_TARGET,
    BadHead,
    Head,
    authority,
    body_length,
    forward,
    host_field,
    parse,
)

TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12)
VALUE = st.binary(max_size=30).map(
    lambda value: bytes(byte for byte in value if byte not in {*range(32), 127} - {9}).strip()
)
FIELD_NAMES = TOKEN.filter(lambda name: name.lower() != "host")


def head(*lines, start="GET http://example.org/ HTTP/1.1", host="Host: example.org"):
    encoded = [line if isinstance(line, bytes) else line.encode() for line in (start, host, *lines)]
    return b"".join(line + b"\r\n" for line in encoded if line) + b"\r\n"


def read(data):
    result = parse(data)
    assert result is not None
    return result[0]


def test_a_request():
    data = head("Accept: */*", "X-Empty:", "X-Space: \t a b \t", b"X-Odd: \xe4")
    assert parse(data + b"body") == (
        Head(
            "GET",
            "http://example.org/",
            "HTTP/1.1",
            (
                ("Host", b"example.org"),
                ("Accept", b"*/*"),
                ("X-Empty", b""),
                ("X-Space", b"a b"),
                ("X-Odd", b"\xe4"),
            ),
        ),
        len(data),
    )


def test_every_prefix_needs_more():
    data = head("Accept: */*", "Content-Length: 3")
    assert all(parse(data[:end]) is None for end in range(len(data)))
    assert parse(data) is not None


@given(
    fields=st.lists(st.tuples(FIELD_NAMES, VALUE), max_size=8),
    target=st.from_regex(r"/[!-\"$-~]*", fullmatch=True),
)
def test_what_is_written_is_read(fields, target):
    lines = [name.encode() + b": " + value for name, value in fields]
    try:
        parsed = read(head(*lines, start=f"GET {target} HTTP/1.1"))
    except BadHead:
        assert any(
            name.lower().replace("_", "-") in {"content-length", "transfer-encoding", "host"}
            for name, _ in fields
        )
        return
    assert parsed.target == target
    assert parsed.headers == (("Host", b"example.org"), *fields)


@pytest.mark.parametrize(
    "argv",
    [
        ["curl", "-s", "http://example.org:8080/a?b=c"],
        ["curl", "-s", "-d", "x=y", "-H", "Expect:", "http://example.org:8080/a?b=c"],
        ["curl", "-s", "-0", "http://example.org:8080/a?b=c"],
        ["wget", "-q", "-t1", "-O-", "http://example.org:8080/a?b=c"],
        ["python3", "-c", "import urllib.request as u;u.urlopen('http://example.org:8080/a?b=c')"],
    ],
)
def test_real_clients_are_understood(argv):
    if not shutil.which(argv[0]):
        pytest.skip(f"no {argv[0]}")
    parsed = read(from_client(argv))
    assert authority(parsed) == ("example.org", 8080, "/a?b=c")
    assert host_field(parsed) == "example.org:8080"


@pytest.mark.parametrize(
    "argv",
    [
        ["curl", "-s", "https://example.org/"],
        ["wget", "-q", "-t1", "-O-", "https://example.org/"],
        ["python3", "-c", "import urllib.request as u;u.urlopen('https://example.org/')"],
    ],
)
def test_real_clients_connect(argv):
    if not shutil.which(argv[0]):
        pytest.skip(f"no {argv[0]}")
    parsed = read(from_client(argv))
    assert authority(parsed) == ("example.org", 443, "")


def from_client(argv):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = {"PATH": "/usr/bin:/bin", "http_proxy": proxy, "https_proxy": proxy}
        with subprocess.Popen(
            argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as program:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(20)
                data = b""
                while parse(data) is None:
                    data += connection.recv(65536)
            program.kill()
    return data


BAD = {
    "LF alone": (head().replace(b"\r\n", b"\n"), 400),
    "LF alone in a field": (head("A: b\nC: d"), 400),
    "CR alone in a field": (head("A: b\rC: d"), 400),
    "CR at the end of a field": (head("A: b\r"), 400),
    "CR at the end of the line": (head(start="GET http://example.org/ HTTP/1.1\r"), 400),
    "NUL": (head("A: b\0"), 400),
    "NUL in the target": (head(start="GET http://example.org\0/ HTTP/1.1"), 400),
    "other control characters": (head("A: b\x01c"), 400),
    "vertical tab": (head("A: \x0bchunked"), 400),
    "DEL": (head("A: b\x7f"), 400),
    "a folded line": (head("A: b", " c"), 400),
    "a line folded with a tab": (head("A: b", "\tc"), 400),
    "a folded first line": (head(" A: b", host=""), 400),
    "a space before the colon": (head("A : b"), 400),
    "a tab before the colon": (head("Transfer-Encoding\t: chunked"), 400),
    "no colon": (head("abc"), 400),
    "no name": (head(": b"), 400),
    "a name of other than ASCII": (head("Ä: b"), 400),
    "an empty line first": (b"\r\n" + head(), 400),
    "two spaces": (head(start="GET  http://example.org/ HTTP/1.1"), 400),
    "a tab between": (head(start="GET\thttp://example.org/ HTTP/1.1"), 400),
    "a space at the end": (head(start="GET http://example.org/ HTTP/1.1 "), 400),
    "a space in the target": (head(start="GET http://example.org/ a HTTP/1.1"), 400),
    "no version": (head(start="GET http://example.org/"), 400),
    "no target": (head(start="GET HTTP/1.1"), 400),
    "a small version": (head(start="GET / http/1.1"), 400),
    "a long version": (head(start="GET / HTTP/1.10"), 400),
    "a fragment": (head(start="GET http://example.org/#a HTTP/1.1"), 400),
    "other than ASCII in the target": (head(start="GET http://example.org/ä HTTP/1.1"), 400),
    "a method with odd characters": (head(start="GE(T http://example.org/ HTTP/1.1"), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.2": (head(start="GET / HTTP/1.2"), 505),
    "HTTP/0.9": (head(start="GET / HTTP/0.9"), 505),
    "a long method": (head(start="A" * 33 + " / HTTP/1.1"), 501),
    "a long target": (head(start="GET /" + "a" * MAX_TARGET + " HTTP/1.1"), 414),
    "no Host": (head(host=""), 400),
    "two Hosts": (head("Host: example.org"), 400),
    "two Hosts of odd case": (head("hOST: other.test"), 400),
    "an empty Host": (head(host="Host:"), 400),
    "two names in Host": (head(host="Host: example.org, other.test"), 400),
    "a user in Host": (head(host="Host: a@example.org"), 400),
    "a path in Host": (head(host="Host: example.org/a"), 400),
    "a word after Host": (head(host="Host: example.org other.test"), 400),
    "an open bracket in Host": (head(host="Host: [::1"), 400),
    "an empty port in Host": (head(host="Host: example.org:"), 400),
    "an underscore for Host": (head("_Host: a", "Content_Length: 1"), 400),
    "both lengths": (head("Content-Length: 3", "Transfer-Encoding: chunked"), 400),
    "both the other way round": (head("transfer-encoding: chunked", "content-length: 3"), 400),
    "two lengths": (head("Content-Length: 3", "Content-Length: 4"), 400),
    "two equal lengths": (head("Content-Length: 3", "Content-Length: 3"), 400),
    "two lengths in one": (head("Content-Length: 3, 3"), 400),
    "a sign": (head("Content-Length: +3"), 400),
    "minus": (head("Content-Length: -1"), 400),
    "hex": (head("Content-Length: 0x3"), 400),
    "an underscore": (head("Content-Length: 1_0"), 400),
    "an empty length": (head("Content-Length:"), 400),
    "other digits": (head("Content-Length: ٣"), 400),
    "an endless length": (head("Content-Length: " + "9" * 19), 400),
    "two codings": (head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
    "two codings in one": (head("Transfer-Encoding: chunked, chunked"), 501),
    "another coding first": (head("Transfer-Encoding: gzip, chunked"), 501),
    "identity": (head("Transfer-Encoding: identity"), 501),
    "an odd coding": (head("Transfer-Encoding: xchunked"), 501),
    "a quoted coding": (head('Transfer-Encoding: "chunked"'), 501),
    "a coding with a parameter": (head("Transfer-Encoding: chunked;a=b"), 501),
    "an empty coding": (head("Transfer-Encoding:"), 501),
    "a coding with an underscore": (head("Transfer_Encoding: chunked"), 400),
    "a coding in 1.0": (head("Transfer-Encoding: chunked", start="GET / HTTP/1.0"), 400),
    "CONNECT with a length": (head("Content-Length: 3", start="CONNECT a:1 HTTP/1.1"), 400),
    "CONNECT with chunks": (
        head("Transfer-Encoding: chunked", start="CONNECT a:1 HTTP/1.1"),
        400,
    ),
    "too many fields": (head(*["A: b"] * MAX_FIELDS), 431),
    "too long": (head("A: " + "b" * MAX_HEAD), 431),
    "too long without an end": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 3000, 431),
    "a line without an end": (b"GET /" + b"a" * MAX_HEAD, 414),
    "TLS": (b"\x16\3\1\2\0\1\0\1\xfc", 400),
}


@pytest.mark.parametrize(("data", "status"), BAD.values(), ids=BAD.keys())
def test_refusals(data, status):
    with pytest.raises(BadHead) as raised:
        parse(data)
    assert raised.value.status == status
    assert str(raised.value).isprintable()


def test_the_controls_of_the_refusals():
    assert read(head(*["A: b"] * (MAX_FIELDS - 1)))
    assert read(head("A: " + "b" * (MAX_HEAD - len(head("A: ")))))
    assert read(head("Transfer-Encoding: Chunked")).values("transfer-encoding") == [b"Chunked"]
    assert read(head("Content-Length: 03"))
    assert read(head("Content-Length: 0", start="CONNECT a:1 HTTP/1.1"))
    assert read(head(start="GET / HTTP/1.0", host=""))
    assert read(head(host="Host: [2001:db8::1]:80"))
    assert read(head(start="GET /" + "a" * (MAX_TARGET - 1) + " HTTP/1.1"))


def test_a_refusal_does_not_wait():
    for beginning in (b"GET / HTTP/1.1\r\nA: b\n", b"GET / HTTP/1.1\nA", b"GET /\0", b"\x16\3\1"):
        with pytest.raises(BadHead):
            parse(beginning)


def test_the_body_may_be_anything():
    data = head("Content-Length: 4")
    assert parse(data + b"\0\n\r\xff") == (read(data), len(data))


def test_odd_lines_take_no_time():
    blank = " " * (MAX_HEAD - 100)
    start = time.monotonic()
    for line in (f"A: {blank}\x01", f"A: a{blank}\x01", "A: " + "a " * 8000 + "\x01"):
        with pytest.raises(BadHead):
            parse(head(line))
    assert time.monotonic() - start < 1


def test_where_the_body_ends():
    assert body_length(read(head())) == 0
    assert body_length(read(head("Content-Length: 12"))) == 12
    assert body_length(read(head("Transfer-Encoding: chunked"))) is None


@pytest.mark.parametrize(
    ("start", "target"),
    [
        ("GET http://example.org HTTP/1.1", ("example.org", 80, "/")),
        ("GET HTTP://Example.ORG/a HTTP/1.1", ("Example.ORG", 80, "/a")),
        ("GET http://example.org:8080/a?b HTTP/1.1", ("example.org", 8080, "/a?b")),
        ("GET http://example.org?b HTTP/1.1", ("example.org", 80, "/?b")),
        ("GET http://example.org//other.test/ HTTP/1.1", ("example.org", 80, "//other.test/")),
        ("GET http://example.org/@other.test HTTP/1.1", ("example.org", 80, "/@other.test")),
        ("GET http://[2001:db8::1]:81/ HTTP/1.1", ("2001:db8::1", 81, "/")),
        ("OPTIONS http://example.org HTTP/1.1", ("example.org", 80, "*")),
        ("OPTIONS http://example.org/ HTTP/1.1", ("example.org", 80, "/")),
        ("CONNECT example.org:443 HTTP/1.1", ("example.org", 443, "")),
        ("CONNECT [::1]:443 HTTP/1.1", ("::1", 443, "")),
        ("CONNECT 0x7f.1:443 HTTP/1.1", ("0x7f.1", 443, "")),  # the caller's to refuse
    ],
)
def test_targets(start, target):
    assert authority(read(head(start=start))) == target


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("GET / HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET example.org:80 HTTP/1.1", 400),
        ("GET //example.org/ HTTP/1.1", 400),
        ("GET http:/example.org/ HTTP/1.1", 400),
        ("GET http:///a HTTP/1.1", 400),
        ("GET http://:80/ HTTP/1.1", 400),
        ("GET http://a@example.org/ HTTP/1.1", 400),
        ("GET http://example.org:80@other.test/ HTTP/1.1", 400),
        ("GET http://example.org\\@other.test/ HTTP/1.1", 400),
        ("GET http://example.org%00.test/ HTTP/1.1", 400),
        ("GET http://example.org%2f.test/ HTTP/1.1", 400),
        ("GET http://example.org:/ HTTP/1.1", 400),
        ("GET http://example.org:0/ HTTP/1.1", 400),
        ("GET http://example.org:65536/ HTTP/1.1", 400),
        ("GET http://example.org:+80/ HTTP/1.1", 400),
        ("GET http://example.org:80:80/ HTTP/1.1", 400),
        ("GET http://2001:db8::1/ HTTP/1.1", 400),
        ("GET http://[fe80::1%25lo]/ HTTP/1.1", 400),
        ("GET https://example.org/ HTTP/1.1", 501),
        ("GET ftp://example.org/ HTTP/1.1", 501),
        ("CONNECT example.org HTTP/1.1", 400),
        ("CONNECT http://example.org:443 HTTP/1.1", 400),
        ("CONNECT example.org:443/ HTTP/1.1", 400),
        ("CONNECT a@example.org:443 HTTP/1.1", 400),
        ("CONNECT :443 HTTP/1.1", 400),
        ("CONNECT example.org: HTTP/1.1", 400),
        ("CONNECT example.org:443,other.test:443 HTTP/1.1", 400),
        ("connect example.org:443 HTTP/1.1", 400),
    ],
)
def test_targets_that_are_refused(start, status):
    with pytest.raises(BadHead) as raised:
        authority(read(head(start=start)))
    assert raised.value.status == status


def test_what_is_sent_on():
    data = head(
        "Proxy-Authorization: Basic c2VjcmV0",
        "Proxy-Connection: keep-alive",
        "proxy-anything: x",
        "Connection: Keep-Alive, X-Hop , Host,content-length",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Upgrade: h2c",
        "HTTP2-Settings: AAAA",
        "X-Hop: y",
        "X-End: z",
        "Content-Length: 3",
        start="POST http://Example.org:80/a HTTP/1.1",
    )
    assert forward(read(data), "/a") == (
        b"POST /a HTTP/1.1\r\nHost: Example.org:80\r\nX-End: z\r\nContent-Length: 3\r\n"
        b"Connection: close\r\n\r\n"
    )


def test_the_connection_field_cannot_take_the_framing_away():
    for framing in ("Content-Length: 3", "Transfer-Encoding: chunked"):
        data = head(framing, "Connection: transfer-encoding, content-length, host")
        sent = forward(read(data), "/")
        assert framing.encode() in sent
        assert b"Host: example.org" in sent


def test_an_old_client_is_answered_as_such():
    data = head("Accept: */*", start="GET http://example.org:81/ HTTP/1.0", host="")
    assert forward(read(data), "/") == (
        b"GET / HTTP/1.0\r\nHost: example.org:81\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )


def test_a_request_without_a_proxy_keeps_its_host():
    data = head(start="GET /a HTTP/1.1", host="Host: example.org:8080")
    assert b"\r\nHost: example.org:8080\r\n" in forward(read(data), "/a")


@pytest.mark.parametrize("path", ["", "a", "/a b", "/\r\n", "http://other.test/", "/ä"])
def test_no_other_path(path):
    with pytest.raises(BadHead, match="not a path"):
        forward(read(head()), path)


@given(st.binary(max_size=300))
def test_any_bytes(data):
    try:
        assert parse(data) is None or data.count(b"\r\n\r\n")
    except BadHead as error:
        assert error.status in {400, 414, 431, 501, 505}


PIECES = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b",", b"chunked", b"3"),
        *(b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Host: other.test"),
        *(b"GET / HTTP/1.1", b"Connection: host"),
    ]
)


class Server(http.server.BaseHTTPRequestHandler):
    """The reader of the standard library, as another opinion about one request."""

    def __init__(self, data):
        self.rfile, self.wfile = io.BytesIO(data), io.BytesIO()
        self.client_address, self.requestline = ("", 0), ""
        self.raw_requestline = self.rfile.readline(65537)
        self.is_read = self.parse_request()

    def log_message(self, *words):
        pass


@given(
    pieces=st.lists(st.tuples(st.integers(0, 200), PIECES), max_size=4),
    lines=st.lists(
        st.sampled_from(["Content-Length: 3", "Transfer-Encoding: chunked", "A: b", "TE: x"]),
        max_size=3,
    ),
)
def test_what_passes_reads_the_same_elsewhere(pieces, lines):
    data = head(*lines, start="POST http://example.org/a HTTP/1.1")
    for at, piece in pieces:
        data = data[: at % len(data)] + piece + data[at % len(data) :]
    try:
        result = parse(data)
        if result is None:
            return
        host, _, path = authority(result[0])
    except BadHead:
        return
    sent = forward(result[0], path)
    again = read(sent)
    other = Server(sent)
    assert other.is_read
    assert sent.count(b"\r\n\r\n") == 1
    assert other.rfile.read() == b""
    assert (other.command, other.path) == (result[0].method, path)
    assert other.headers.get_all("Host") == [host_field(again)]
    assert host_field(again).startswith(host)
    assert other.headers.get_all("Connection") == ["close"]
    framing = [other.headers.get_all(name) for name in ("Content-Length", "Transfer-Encoding")]
    assert framing.count(None) >= 1
    assert body_length(again) == body_length(result[0])
    if body_length(again):
        assert [int(length) for length in framing[0]] == [body_length(again)]
