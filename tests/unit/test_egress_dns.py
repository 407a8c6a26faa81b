"""The resolver answers everything itself, and nothing that is not one plain question."""

import ctypes
import json
import shutil
import socket
import struct
import subprocess
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress import dns
from clsecure.egress.dns import MAX_NAMES, MAX_QUERY, Names, answer

A, NS, PTR, TXT, AAAA, SRV, HTTPS, ANY = 1, 2, 12, 16, 28, 33, 65, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
RANGE = IPv4Network("198.18.0.0/15")
OPT = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)


def normalise(text):
    """Stand in for the real one: letters, digits, dots and dashes; an address is no name."""
    if not text or set(text) - set("abcdefghijklmnopqrstuvwxyz0123456789.-"):
        raise ValueError("not a name")
    return "" if set(text) <= set("0123456789.") else text


@pytest.fixture
def names():
    return Names(normalise)


def wire(name):
    labels = name.encode().split(b".") if name else []
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def query(
    name="example.org", kind=A, *, number=7, flags=0x0100, counts=(1, 0, 0), extra=(), category=1
):
    encoded = name if isinstance(name, bytes) else wire(name)
    return (
        struct.pack("!HHHHHH", number, flags, *counts, len(extra))
        + encoded
        + struct.pack("!HH", kind, category)
        + b"".join(extra)
    )


class Answer:
    """An answer, read by hand: every byte of it has to be accounted for."""

    def __init__(self, data):
        assert data is not None
        assert len(data) <= MAX_QUERY
        self.number, self.flags, questions, answers, authorities, extra = struct.unpack_from(
            "!HHHHHH", data
        )
        assert self.flags & 0x8000
        assert authorities == 0
        at = 12
        self.question = None
        if questions:
            self.name, at = self.read_name(data, at)
            self.question = struct.unpack_from("!HH", data, at)
            at += 4
        self.records = []
        for _ in range(answers):
            owner, at = self.read_name(data, at)
            kind, category, ttl, length = struct.unpack_from("!HHIH", data, at)
            at += 10
            assert (owner, kind, category) == (self.name, *self.question)
            self.records.append((ttl, data[at : at + length]))
            at += length
        self.opt = None
        if extra:
            assert data[at] == 0
            self.opt = struct.unpack_from("!HHIH", data, at + 1)
            at += 11
        assert at == len(data)

    def read_name(self, data, at):
        if data[at] >= 0xC0:
            return self.read_name(data, struct.unpack_from("!H", data, at)[0] & 0x3FFF)[0], at + 2
        labels = []
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
        return b".".join(labels), at + 1

    @property
    def code(self):
        return (self.flags & 0xF) | ((self.opt[2] >> 24 << 4) if self.opt else 0)

    @property
    def address(self):
        ((_, data),) = self.records
        return IPv4Address(data)


def test_a_name_gets_an_address_and_keeps_it(names):
    first = Answer(answer(query("example.org"), names))
    other = Answer(answer(query("other.test"), names))
    again = Answer(answer(query("EXAMPLE.org"), names))
    assert first.code == NOERROR
    assert first.address == again.address != other.address
    assert first.records[0][0] == 60
    assert names.name_of(first.address) == "example.org"
    assert again.name == b"EXAMPLE.org"


class Glibc:
    """The C library's own writer and reader of messages (resolver(3), arpa/nameser.h)."""

    def __init__(self):
        self.library = ctypes.CDLL("libresolv.so.2")
        if not hasattr(self.library, "ns_sprintrr"):
            pytest.skip("another C library")

    def query(self, name, kind):
        message = ctypes.create_string_buffer(MAX_QUERY)
        names = ("res_mkquery", "__res_mkquery")  # since glibc 2.34, and before
        make = next(getattr(self.library, name) for name in names if hasattr(self.library, name))
        length = make(0, name.encode(), 1, kind, None, 0, None, message, MAX_QUERY)
        assert length > 0
        return message.raw[:length]

    def records(self, message):
        """Return the records of the answer, as in a zone file."""
        handle, record, text = (ctypes.create_string_buffer(2048) for _ in range(3))
        assert self.library.ns_initparse(message, len(message), handle) == 0
        shown = []
        while self.library.ns_parserr(handle, 1, len(shown), record) == 0:
            assert self.library.ns_sprintrr(handle, record, None, None, text, 2048) > 0
            shown.append(text.value.decode().split())
        return shown


@pytest.mark.parametrize(
    ("name", "kind", "code", "shown"),
    [
        ("example.org", A, 0, [["example.org.", "1M", "IN", "A", "198.18.0.2"]]),
        ("example.org", AAAA, 0, []),
        ("exa_mple.org", A, 3, []),
        (
            "1.0.18.198.in-addr.arpa",
            PTR,
            0,
            [["1.0.18.198.in-addr.arpa.", "1M", "IN", "PTR", "first.test."]],
        ),
    ],
)
def test_the_c_library_asks_and_understands(names, name, kind, code, shown):
    names.address_for("first.test")
    library = Glibc()
    reply = answer(library.query(name, kind), names)
    assert library.records(reply) == shown
    assert Answer(reply).code == code


def test_another_client():
    """Node's resolver (c-ares) looks names up over a socket."""
    if not shutil.which("node"):
        pytest.skip("no node")
    names = Names(normalise)
    script = """
        const {Resolver} = require('dns').promises, r = new Resolver({timeout: 5000});
        r.setServers([process.argv[1]]);
        const said = p => p.catch(e => e.code);
        (async () => console.log(JSON.stringify([
            await said(r.resolve4('example.org', {ttl: true})),
            await said(r.resolve6('example.org')), await said(r.resolve4('exa_mple.org')),
            await said(r.reverse('198.18.0.1'))])))()
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        command = ["node", "-e", script, f"127.0.0.1:{server.getsockname()[1]}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as node:
            for _ in range(4):
                data, asker = server.recvfrom(4096)
                server.sendto(answer(data, names), asker)
            said = json.loads(node.communicate(timeout=20)[0])
    assert said == [
        [{"address": "198.18.0.1", "ttl": 60}],
        "ENODATA",
        "ENOTFOUND",
        ["example.org"],
    ]


@pytest.mark.parametrize("kind", [NS, PTR, TXT, AAAA, SRV, HTTPS, ANY, 252])
def test_other_types_have_no_answer_and_take_no_address(names, kind):
    read = Answer(answer(query(kind=kind), names))
    assert (read.code, read.records) == (NOERROR, [])
    assert names.address_for("first.test") == IPv4Address("198.18.0.1")


def test_the_way_back(names):
    address = Answer(answer(query("example.org"), names)).address
    read = Answer(answer(query(address.reverse_pointer, PTR), names))
    assert read.records == [(60, wire("example.org"))]
    assert Answer(answer(query(address.reverse_pointer, TXT), names)).records == []
    for unknown in ("1.255.18.198.in-addr.arpa", "1.1.1.1.in-addr.arpa", "8.8.8.888.in-addr.arpa"):
        assert Answer(answer(query(unknown, PTR), names)).code == NXDOMAIN


def test_localhost(names):
    for name in ("localhost", "LOCALHOST", "some.localhost"):
        assert Answer(answer(query(name), names)).address == IPv4Address("127.0.0.1")
        assert Answer(answer(query(name, AAAA), names)).records == []
    read = Answer(answer(query("1.0.0.127.in-addr.arpa", PTR), names))
    assert read.records == [(60, wire("localhost"))]
    assert names.address_for("first.test") == IPv4Address("198.18.0.1")


def test_the_addresses_are_used_up():
    names = Names(normalise)
    given_out = {names.address_for(f"n{number}.test") for number in range(MAX_NAMES)}
    assert len(given_out) == MAX_NAMES
    assert all(address in RANGE for address in given_out)
    assert not {int(address) & 0xFFFF for address in given_out} & {0, 0xFFFF}
    assert names.address_for("more.test") is None
    read = Answer(answer(query("more.test"), names))
    assert (read.code, read.records) == (SERVFAIL, [])
    assert Answer(answer(query("n5.test"), names)).address == names.address_for("n5.test")
    assert all(names.name_of(address) for address in given_out)


def test_what_has_no_name(names):
    names.address_for("example.org")
    assert names.name_of(IPv4Address("198.18.0.2")) is None
    assert names.name_of(IPv6Address("::ffff:198.18.0.1")) is None
    assert dns.is_synthetic(IPv4Address("198.19.255.255"))
    assert not dns.is_synthetic(IPv4Address("198.20.0.0"))
    assert not dns.is_synthetic(IPv4Address("198.17.255.255"))
    assert not dns.is_synthetic(IPv6Address("2001:db8::1"))


@pytest.mark.parametrize(
    "name",
    [
        wire("10.1.2.3"),  # an address
        b"\x0bexample\0org\0",
        b"\x0bexample.org\0",  # one label with a dot in it
        b"\x09localhost\x01\0\0",
        wire("exa mple.org"),
        b"\x04ex\xe4m\3org\0",
        wire("under_score.org"),
    ],
)
def test_names_that_no_host_has(names, name):
    read = Answer(answer(query(name), names))
    assert (read.code, read.records) == (NXDOMAIN, [])
    assert names.address_for("first.test") == IPv4Address("198.18.0.1")


def test_the_root_is_there(names):
    assert Answer(answer(query("", NS), names)).code == NOERROR


MALFORMED = {
    "a pointer": query(b"\xc0\x0c"),
    "a pointer after a label": query(b"\3www\xc0\x0c"),
    "a length of the other kinds": query(b"\x41a\0"),
    "a name too long": query(".".join(["a" * 63] * 4)),
    "a name cut off": query()[:20],
    "a name without an end": query()[:-5] + b"\x3f",
    "no type": query()[:-3],
    "no question": query(counts=(0, 0, 0)),
    "nothing but a header": query(counts=(0, 0, 0))[:12],
    "two questions": query(counts=(2, 0, 0)) + wire("other.test") + b"\0\1\0\1",
    "an answer": query(counts=(1, 1, 0)),
    "an authority": query(counts=(1, 0, 1)),
    "something after": query() + b"x",
    "two OPT records": query(extra=(OPT, OPT)),
    "an OPT record of a name": query(extra=(b"\1a" + OPT,)),
    "an OPT record cut off": query(extra=(OPT[:-1],)),
    "options cut off": query(extra=(OPT[:-1] + b"\x09abc",)),
    "another record": query(extra=(b"\0" + struct.pack("!HHIH", A, 1, 0, 4) + bytes(4),)),
    "a count without a record": query()[:10] + b"\0\1" + query()[12:],
    "a count of two and one record": query()[:10] + b"\0\2" + query()[12:] + OPT,
    "truncated": query(flags=0x0300),
    "too large": query(extra=(OPT[:-2] + struct.pack("!H", 600) + bytes(600),)),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(names, data):
    read = Answer(answer(data, names))
    assert (read.code, read.question, read.records) == (FORMERR, None, [])
    assert read.number == 7
    assert names.address_for("first.test") == IPv4Address("198.18.0.1")


def test_the_longest_name_is_well(names):
    name = ".".join(["a" * 63] * 3 + ["b" * 61])
    padded = OPT[:-2] + struct.pack("!H", 200) + bytes(200)
    assert Answer(answer(query(name, extra=(padded,)), names)).address in RANGE


@pytest.mark.parametrize("data", [b"", b"\0" * 11, query(flags=0x8180), query(flags=0xA800)])
def test_what_is_dropped(names, data):
    assert answer(data, names) is None


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
def test_other_operations(names, opcode):
    read = Answer(answer(query(flags=opcode << 11), names))
    assert (read.code, read.flags >> 11 & 15) == (NOTIMP, opcode)


@pytest.mark.parametrize("category", [0, 3, 254, 255])
def test_other_classes(names, category):
    assert Answer(answer(query("version.bind", TXT, category=category), names)).code == REFUSED


def test_edns(names):
    cookie = b"\0" + struct.pack("!HHIH", 41, 4096, 0x8000, 12) + b"\0\x0a\0\x08" + bytes(8)
    read = Answer(answer(query(extra=(cookie,)), names))
    assert read.address in RANGE
    assert read.opt == (41, 1232, 0x8000, 0)
    assert Answer(answer(query(), names)).opt is None
    newer = b"\0" + struct.pack("!HHIH", 41, 4096, 1 << 16, 0)
    read = Answer(answer(query(extra=(newer,)), names))
    assert (read.code, read.records) == (BADVERS, [])


@pytest.mark.parametrize(("asked", "told"), [(0x0100, 0x8180), (0, 0x8080), (0x0130, 0x8190)])
def test_flags(names, asked, told):
    assert Answer(answer(query(flags=asked), names)).flags == told


@given(st.binary(max_size=600))
def test_any_bytes(data):
    read = answer(data, Names(normalise))
    assert read is None or Answer(read).number == int.from_bytes(data[:2], "big")


@given(
    at=st.integers(0, 100),
    by=st.integers(1, 255),
    name=st.sampled_from(["example.org", "1.0.18.198.in-addr.arpa", "localhost"]),
    kind=st.sampled_from([A, PTR, AAAA]),
)
def test_a_changed_byte(at, by, name, kind):
    names = Names(normalise)
    names.address_for("example.org")
    data = bytearray(query(name, kind, extra=(OPT,)))
    data[at % len(data)] ^= by
    if (reply := answer(bytes(data), names)) is None:
        return
    read = Answer(reply)
    if read.records and read.question[0] == A and read.address in RANGE:
        assert names.name_of(read.address) == read.name.decode().lower()


@given(
    labels=st.lists(st.text("abcXYZ019-", min_size=1, max_size=63), min_size=1, max_size=8),
    number=st.integers(0, 65535),
)
def test_names_go_round(labels, number):
    name = ".".join(labels)
    names = Names(normalise)
    read = Answer(answer(query(name, number=number), names))
    assert read.number == number
    if len(name) > 253:
        assert read.code == FORMERR
        return
    assert read.name == name.encode()
    if read.code == NOERROR:
        assert names.name_of(read.address) == name.lower()
        back = Answer(answer(query(read.address.reverse_pointer, PTR), names))
        assert back.records == [(60, wire(name.lower()))]
