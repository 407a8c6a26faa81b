"""The name read in a hello is the one that the server would read, or none is read at all."""

import contextlib
import shutil
import socket
import ssl
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress.clienthello import (
    MAX_HELLO,
    MAX_RECORDS,
    BadHello,
    ClientHello,
    Incomplete,
    NotTls,
    parse,
)

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True).filter(
    lambda label: not label.startswith("xn--")  # Python's own encoder would look into it
)


def hello_of_python(name, alpn=(), version=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def first_bytes(*argv):
    """Return what a program sends to a server that only listens, until it pauses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [word.replace("PORT", str(server.getsockname()[1])) for word in argv]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as program:
            server.settimeout(20)
            connection, _ = server.accept()
            with connection:
                data = b""
                connection.settimeout(20)
                while True:
                    data += connection.recv(65536)
                    with contextlib.suppress(Incomplete):
                        parse(data)
                        break
            program.kill()
    return data


def vector(width, content):
    return len(content).to_bytes(width, "big") + content


def extension(kind, content):
    return kind.to_bytes(2, "big") + vector(2, content)


def names(*entries):
    return extension(0, vector(2, b"".join(bytes([kind]) + vector(2, n) for kind, n in entries)))


def body(extensions=b"", **parts):
    fields = {
        "version": b"\3\3",
        "random": bytes(32),
        "session": vector(1, bytes(32)),
        "suites": vector(2, b"\x13\1"),
        "compression": vector(1, b"\0"),
        "extensions": vector(2, extensions),
    }
    return b"".join((fields | parts).values())


def records(message, size=16384):
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\3\1" + vector(2, piece) for piece in pieces)


def hello(extensions=b"", size=16384, **parts):
    return records(b"\1" + vector(3, body(extensions, **parts)), size)


SNI = names((0, b"example.org"))


@pytest.mark.parametrize("version", VERSIONS)
@given(
    labels=st.lists(LABEL, min_size=1, max_size=6),
    alpn=st.lists(st.text("abch2/1.", min_size=1, max_size=9), max_size=3),
)
def test_what_openssl_writes_is_read(version, labels, alpn):
    name = ".".join([*labels, "test"])
    data = hello_of_python(name, alpn, version)
    assert parse(data) == ClientHello(name, tuple(alpn), has_ech=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_hello_without_a_name(version):
    assert parse(hello_of_python(None, version=version)) == ClientHello(None, (), has_ech=False)


def test_curl():
    if not shutil.which("curl"):
        pytest.skip("no curl")
    resolve = "example.org:PORT:127.0.0.1"
    data = first_bytes(
        "curl", "-sk", "--noproxy", "*", "--resolve", resolve, "https://example.org:PORT/"
    )
    assert parse(data).server_name == "example.org"
    assert "http/1.1" in parse(data).alpn


def test_openssl_with_both_versions_and_a_name():
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    to = ("openssl", "s_client", "-connect", "127.0.0.1:PORT", "-servername", "Example.ORG")
    assert parse(first_bytes(*to, "-alpn", "h2")) == ClientHello(
        "Example.ORG", ("h2",), has_ech=False
    )
    assert parse(first_bytes(*to, "-split_send_frag", "512")).server_name == "Example.ORG"


def test_the_hello_built_here_is_one_that_openssl_understands():
    """The control of every refusal below: the same bytes without the flaw are a real hello."""
    seen = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _, name, __: seen.append(name)
    received = ssl.MemoryBIO()
    suites = vector(2, b"\x13\1\xc0\x2f")
    received.write(hello(SNI, suites=suites))
    with contextlib.suppress(ssl.SSLError):
        context.wrap_bio(received, ssl.MemoryBIO(), server_side=True).do_handshake()
    assert seen == ["example.org"]
    assert parse(hello(SNI, suites=suites)).server_name == "example.org"


@given(size=st.integers(8, 400), follows=st.binary(max_size=40))
def test_spread_over_records_it_reads_the_same(size, follows):
    message = hello_of_python("example.org", ("h2",))[5:]
    assert parse(records(message, size) + follows) == ClientHello(
        "example.org", ("h2",), has_ech=False
    )


def test_every_prefix_is_incomplete():
    data = records(hello_of_python("example.org")[5:], 100)
    for end in range(len(data)):
        with pytest.raises(Incomplete):
            parse(data[:end])
    parse(data)


@given(
    name=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)
)
def test_a_name_is_given_as_sent(name):
    assert parse(hello(names((0, name.encode())))).server_name == name


def test_a_hello_is_read_when_its_record_is_there():
    """What the record still holds could be a second hello."""
    data = hello(SNI)
    longer = data[:3] + (len(data) - 5 + 1).to_bytes(2, "big") + data[5:]
    with pytest.raises(Incomplete):
        parse(longer)
    with pytest.raises(BadHello):
        parse(longer + b"\1")


def test_encrypted_client_hello_is_seen():
    assert parse(hello(SNI + extension(0xFE0D, b"\0" * 40))) == ClientHello(
        "example.org", (), has_ech=True
    )


def test_a_hello_of_old_without_extensions():
    assert parse(hello(extensions=b"")).server_name is None
    short = body()[:-2]
    assert parse(records(b"\1" + vector(3, short))).server_name is None


BAD = {
    "two extensions of names": hello(SNI + names((0, b"other.test"))),
    "the same extension twice": hello(SNI + SNI),
    "another extension twice": hello(SNI + extension(23, b"") * 2),
    "two names": hello(names((0, b"example.org"), (0, b"other.test"))),
    "a name of another type": hello(names((1, b"example.org"))),
    "a name and one of another type": hello(names((0, b"example.org"), (1, b"x"))),
    "an empty list": hello(extension(0, vector(2, b""))),
    "an empty extension": hello(extension(0, b"")),
    "an empty name": hello(names((0, b""))),
    "NUL": hello(names((0, b"example.org\0.test"))),
    "other than ASCII": hello(names((0, "exämple.org".encode()))),
    "a space": hello(names((0, b"example.org "))),
    "a line end": hello(names((0, b"example.org\r\n"))),
    "DEL": hello(names((0, b"example.org\x7f"))),
    "a name too long": hello(names((0, b"a" * 256))),
    "something after the list": hello(extension(0, vector(2, b"\0" + vector(2, b"a")) + b"x")),
    "a list shorter than it says": hello(extension(0, b"\0\x20\0" + vector(2, b"a"))),
    "a name longer than its list": hello(extension(0, vector(2, b"\0\0\x09a"))),
    "something after the extensions": hello(extensions=b"", tail=b"x"),
    "extensions longer than the hello": hello(extensions=b"", extra=b"")[:-2] + b"\0\x09",
    "an extension longer than all": hello(b"\0\0\0\x20" + SNI[4:]),
    "a session id too long": hello(SNI, session=vector(1, bytes(33))),
    "an odd list of suites": hello(SNI, suites=vector(2, b"\x13\1\x13")),
    "no suites": hello(SNI, suites=vector(2, b"")),
    "no compression": hello(SNI, compression=b"\0"),
    "another version inside": hello(SNI, version=b"\2\0"),
    "an empty protocol": hello(SNI + extension(16, vector(2, b"\0"))),
    "protocols cut off": hello(SNI + extension(16, vector(2, b"\x05h2"))),
    "two hellos in a record": records((b"\1" + vector(3, body(SNI))) * 2),
    "a longer hello than any": records(b"\1" + (MAX_HELLO).to_bytes(3, "big") + bytes(99)),
    "a byte a record": hello(SNI, size=1),
    "another record between": hello(SNI, size=60)[:65]
    + b"\x17\3\3\0\1x"
    + hello(SNI, size=60)[65:],
    "an empty record between": hello(SNI, size=60)[:65]
    + b"\x16\3\1\0\0"
    + hello(SNI, size=60)[65:],
    "an alert between": hello(SNI, size=60)[:65] + b"\x15\3\3\0\2\1\0" + hello(SNI, size=60)[65:],
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_could_be_read_in_two_ways_is_refused(data):
    with pytest.raises(BadHello):
        parse(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x80\x2e\1\0\2\0\x15",  # SSL 2.0
        b"\x15\3\3\0\2\1\0",  # an alert
        b"\x17\3\3\0\1x",
        b"\x16\2\0\0\1\1",
        b"\x16\3\1\x40\1",  # longer than a record may be
        b"\x16\3\1\0\0",
        records(b"\2" + vector(3, body(SNI))),  # a ServerHello
    ],
)
def test_what_is_not_tls(data):
    with pytest.raises(NotTls) as raised:
        parse(data)
    assert not isinstance(raised.value, BadHello)
    with pytest.raises((NotTls, Incomplete)):
        parse(data[:1])


def test_the_wait_has_an_end():
    with pytest.raises(BadHello):
        parse(b"\x16\3\1\0\1" + b"\1" + b"\x16\3\1\0\1\0" * MAX_RECORDS)


@given(st.binary(max_size=400))
def test_any_bytes(data):
    with contextlib.suppress(NotTls, Incomplete):
        parse(data)


@given(at=st.integers(0, 10_000), by=st.integers(1, 255), cut=st.integers(0, 3))
def test_a_changed_byte_does_no_more_than_change_the_hello(at, by, cut):
    data = bytearray(hello(SNI + extension(16, vector(2, vector(1, b"h2")))))
    data[at % len(data)] ^= by
    try:
        read = parse(bytes(data[: len(data) - cut]))
    except (NotTls, Incomplete):
        return
    assert read.server_name is None or (read.server_name.isascii() and "\0" not in read.server_name)


@given(extensions=st.lists(st.tuples(st.sampled_from([0, 16, 23, 0xFE0D]), st.binary(max_size=20))))
def test_any_extensions(extensions):
    data = hello(b"".join(extension(kind, content) for kind, content in extensions))
    kinds = [kind for kind, _ in extensions]
    try:
        read = parse(data)
    except BadHello:
        return
    assert len(set(kinds)) == len(kinds)
    assert read.has_ech == (0xFE0D in kinds)
    assert (read.server_name is None) == (0 not in kinds)


def the_name_that_openssl_reads(data):
    seen = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _, name, __: seen.append(name)
    received = ssl.MemoryBIO()
    received.write(data)
    with contextlib.suppress(ssl.SSLError, UnicodeError):
        context.wrap_bio(received, ssl.MemoryBIO(), server_side=True).do_handshake()
    return seen


@given(at=st.integers(0, 10_000), by=st.integers(1, 255), second=st.integers(0, 10_000))
def test_a_real_server_never_reads_another_name(at, by, second):
    """Whatever is changed in a hello: if both understand it, they read the same."""
    data = bytearray(hello(SNI, suites=vector(2, b"\x13\1\xc0\x2f")))
    data[at % len(data)] ^= by
    data[second % len(data)] ^= by
    try:
        read = parse(bytes(data)).server_name
    except (NotTls, Incomplete):
        return
    assert the_name_that_openssl_reads(bytes(data)) in ([], [read])
