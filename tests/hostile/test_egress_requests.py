"""One connection, one host: what is said on it cannot lead the server to another, nor to a second request.

The servers note each byte that arrives; where an attempt fails, none of it has.
"""

from __future__ import annotations

import pytest
from egressworld import BOXES, new_world

from world.internet import UPSTREAM

pytestmark = pytest.mark.root

SINK, TLS = 8000, 9444
# Each is said to a plain server of allowed.test, and means /bad of evil.test to one that forgives.
BAD = b"GET /bad HTTP/1.1\r\nHost: evil.test\r\n\r\n"
GOOD = b"GET /good HTTP/1.1\r\nHost: allowed.test:8000\r\n\r\n"
POST = b"POST /good HTTP/1.1\r\nHost: allowed.test:8000\r\n"
# What goes with it is passed on, and what comes behind is not.
CUT = {
    "pipelined": GOOD + BAD,
    "behind_a_body": POST + b"Content-Length: 3\r\n\r\nab\n" + BAD,
    "behind_chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + BAD,
    "behind_no_body": POST + b"Content-Length: 0\r\n\r\n" + BAD,
    "behind_trailers": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n" + BAD,
}
# Of these nothing is passed on.
REFUSED = {
    "other_host": BAD,
    "lower_case": BAD.replace(b"GET", b"get"),
    "unusual_method": BAD.replace(b"GET", b"PROPFIND"),
    "made_up_method": BAD.replace(b"GET", b"X" * 200),
    "connect_inside": b"CONNECT evil.test:80 HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "empty_line_first": b"\r\n" + BAD,
    "bare_empty_line_first": b"\n\n" + BAD,
    "space_first": b" " + BAD,
    "two_spaces": BAD.replace(b"GET ", b"GET  "),
    "tab": BAD.replace(b"GET ", b"GET\t"),
    "high_bytes": BAD.replace(b"/bad", b"/bad\xff"),
    "control_bytes": BAD.replace(b"/bad", b"/bad\x01"),
    "form_feed_first": b"\x0c" + BAD,
    "space_of_latin_first": b"\xa0" + BAD,
    "other_gap": BAD.replace(b"GET /", b"GET\x0b/"),
    "gap_of_latin": BAD.replace(b"GET /", b"GET\xa0/"),
    "without_version": b"GET /bad\r\nHost: evil.test\r\n\r\n",
    "absolute": b"GET http://evil.test/bad HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
    "absolute_without_host": b"GET http://evil.test/bad HTTP/1.0\r\n\r\n",
    "two_hosts": b"GET /bad HTTP/1.1\r\nHost: allowed.test\r\nHost: evil.test\r\n\r\n",
    "space_before_colon": b"GET /bad HTTP/1.1\r\nHost: allowed.test\r\nHost : evil.test\r\n\r\n",
    "folded": b"GET /bad HTTP/1.1\r\nHost: allowed.test\r\nX: y\r\n Host: evil.test\r\n\r\n",
    "bare_line_feeds": BAD.replace(b"\r\n", b"\n"),
    "bare_line_feed_inside": b"GET /bad HTTP/1.1\r\nX: y\nHost: evil.test\r\nHost: allowed.test\r\n\r\n",
    "bare_return": b"GET /bad HTTP/1.1\r\nX: y\rHost: evil.test\r\nHost: allowed.test\r\n\r\n",
    "nul": b"GET /bad HTTP/1.1\r\nHost: allowed.test\0.evil.test\r\n\r\n",
    "user_name": b"GET /bad HTTP/1.1\r\nHost: allowed.test@evil.test\r\n\r\n",
    "length_and_chunks": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + BAD,
    "two_lengths": POST + b"Content-Length: 0\r\nContent-Length: 99\r\n\r\n" + BAD,
    "signed_length": POST + b"Content-Length: +0\r\n\r\n" + BAD,
    "listed_length": POST + b"Content-Length: 0, 99\r\n\r\n" + BAD,
    "other_coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + BAD,
    "two_codings": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
    + BAD,
    "coding_of_old": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n" + BAD,
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) + b"evil.test /bad",
    "future": BAD.replace(b"1.1", b"3.0"),
    "without_host": b"GET /bad HTTP/1.1\r\n\r\nHost: evil.test\r\n\r\n",
    "long_line": b"GET /bad" + b"a" * 20000 + b" HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "many_fields": BAD[:-2] + b"X: y\r\n" * 200 + b"\r\n",
    "long_field": b"GET /bad HTTP/1.1\r\nX: " + b"y" * 20000 + b"\r\nHost: evil.test\r\n\r\n",
}
# Of these the part that is right goes out, before it shows what the rest is.
BROKEN = {
    "longer_chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n" + BAD,
    "bare_feed_in_chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n" + BAD,
    "negative_chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + BAD,
    "hexadecimal_chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n" + BAD,
}
SMUGGLE = r"""
SAID = {name: data.encode("latin-1") for name, data in GIVEN["said"].items()}
SINK = ("allowed.test", GIVEN["port"])
def plain(data): return say(SINK, data, seconds=3, enough=b"\r\n\r\n")[:60]
def slowly(data): return say(SINK, b"", seconds=3, enough=b"\r\n\r\n", pieces=[data[at:at + 1] for at in range(len(data))])[:60]
def tunnel(data):
    if not BOXED:
        return plain(data)
    return connect("%s:%d" % SINK, data, seconds=3, enough=b"\r\n\r\n")[39:]
def by_socks(data):
    if not BOXED:
        return plain(data)
    return socks(SINK[0], SINK[1], data)[8:]
@attempt
def in_the_clear(): return {name: plain(data) for name, data in SAID.items()}
@attempt
def in_a_tunnel(): return {name: tunnel(data) for name, data in SAID.items()}
@attempt
def through_socks(): return {name: by_socks(data) for name, data in SAID.items()}
@attempt
def byte_by_byte(): return {name: slowly(data) for name, data in SAID.items() if len(data) < 300}
"""
ABSOLUTE = r"""
SAID = {name: data.encode("latin-1") for name, data in GIVEN["said"].items()}
def first_line(data):
    return data.replace(b"GET /", b"GET http://allowed.test:8000/").replace(b"POST /", b"POST http://allowed.test:8000/")
@attempt
def absolute_form():
    return {name: say(PROXY if BOXED else ("allowed.test", GIVEN["port"]), first_line(data), seconds=0.3)[:60] for name, data in SAID.items()}
"""


def given(said):
    return {"said": {name: data.decode("latin-1") for name, data in said.items()}, "port": SINK}


@pytest.fixture(scope="module")
def world(human, tmp_path_factory):
    with new_world(human, tmp_path_factory.mktemp("internet")) as made:
        yield made


in_boxes = pytest.mark.parametrize("box", BOXES)
ALLOWED = ("--allow", "allowed.test")


@in_boxes
def test_another_host_is_not_to_be_named(world, box):
    tried = world.inside(box, SMUGGLE, *ALLOWED, given=given(REFUSED))
    assert set(tried.got) == {"in_the_clear", "in_a_tunnel", "through_socks", "byte_by_byte"}
    arrived = tried.bytes_at(f"{UPSTREAM}:{SINK}")
    assert arrived == b""
    for way, answers in tried.got.items():
        assert answers is not None, (way, tried.said)
        for name, answer in answers.items():
            assert "200" not in answer, (way, name)


@in_boxes
def test_what_comes_behind_a_request_is_not_one(world, box):
    tried = world.inside(box, SMUGGLE, *ALLOWED, given=given(CUT))
    arrived = tried.bytes_at(f"{UPSTREAM}:{SINK}")
    assert b"evil.test" not in arrived
    assert b"/bad" not in arrived
    assert arrived.count(b"/good HTTP/1.1\r\n") == 4 * len(CUT)  # and each request was passed on
    for way, answers in tried.got.items():
        assert all("200 OK" in answer for answer in answers.values()), (way, answers)


LATER = r"""
def later(address, begin=b""):
    "A second request, for another host, once the first has been answered."
    with dial(*address) as asking:
        if begin:
            asking.sendall(begin)
            until_end(asking, seconds=3, enough=b"\r\n\r\n")
        asking.sendall(GIVEN["good"].encode("latin-1"))
        said = until_end(asking, seconds=3, enough=b"ok")
        try:
            asking.sendall(GIVEN["bad"].encode("latin-1"))
        except OSError:
            pass
        return said[:12] + until_end(asking, seconds=1)[:30]
SINK = ("allowed.test", GIVEN["port"])
AT = b"%s:%d" % (SINK[0].encode(), SINK[1])
@attempt
def in_the_clear(): return later(SINK)
@attempt
def in_a_tunnel(): return later(PROXY, b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (AT, AT)) if BOXED else ""
"""


@in_boxes
def test_nor_what_comes_once_the_first_is_answered(world, box):
    told = {"good": GOOD.decode(), "bad": BAD.decode(), "port": SINK}
    tried = world.inside(box, LATER, *ALLOWED, given=told)
    arrived = tried.bytes_at(f"{UPSTREAM}:{SINK}")
    assert arrived.count(b"/good HTTP/1.1\r\n") == 2  # in the clear, and in a tunnel
    assert b"/bad" not in arrived
    assert b"evil.test" not in arrived
    assert all(said.startswith("HTTP/1.1 200") for said in tried.got.values())


def test_control_a_connection_takes_another_hosts_request(world):
    told = {"good": GOOD.decode(), "bad": BAD.decode(), "port": SINK}
    tried = world.outside(LATER, given=told)
    assert b"Host: evil.test" in tried.bytes_at(f"{UPSTREAM}:{SINK}")
    assert tried.got["in_the_clear"].count("200") == 2


@in_boxes
def test_a_body_that_breaks_its_frame_ends_there(world, box):
    tried = world.inside(box, SMUGGLE, *ALLOWED, given=given(BROKEN))
    arrived = tried.bytes_at(f"{UPSTREAM}:{SINK}")
    assert b"/good" in arrived
    assert b"evil.test" not in arrived


@in_boxes
def test_nor_with_the_proxys_own_requests(world, box):
    tried = world.inside(box, ABSOLUTE, *ALLOWED, given=given({**REFUSED, **CUT, **BROKEN}))
    arrived = tried.bytes_at(f"{UPSTREAM}:{SINK}")
    assert b"/bad" not in arrived
    assert b"evil.test" not in arrived
    assert arrived.count(b"/good") >= len(CUT)


def test_control_a_server_that_forgives_is_led_astray(world):
    everything = {**REFUSED, **CUT, **BROKEN}
    tried = world.outside(SMUGGLE, given=given(everything))
    arrived = tried.bytes_at(f"{UPSTREAM}:{SINK}")
    assert arrived.count(b"evil.test") >= 3 * len(everything)
    assert tried.got["in_the_clear"]["other_host"].startswith("HTTP/1.1 200")


GREETINGS = r"""
def with_extension(data, kind, content):
    "Add an extension to a hello, in one record, and correct the four lengths around it."
    added = struct.pack("!HH", kind, len(content)) + content
    body = bytearray(data[9:])
    at = 34
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at:at + 2], "big")
    at += 1 + body[at]
    length = int.from_bytes(body[at:at + 2], "big") + len(added)
    body[at:at + 2] = length.to_bytes(2, "big")
    body += added
    return data[:3] + (len(body) + 4).to_bytes(2, "big") + data[5:6] + len(body).to_bytes(3, "big") + bytes(body)
def in_records(data, size):
    body = data[5:]
    return b"".join(data[:3] + len(part).to_bytes(2, "big") + part for part in (body[at:at + size] for at in range(0, len(body), size)))
def on(data, pieces=None):
    port = GIVEN["port"]
    found = [say(("allowed.test", port), data, seconds=0.4, pieces=pieces)[:20]]
    data = data or b"".join(pieces)
    if BOXED:
        found.append(connect("allowed.test:%d" % port, data, seconds=0.4)[39:][:20])
        found.append(socks("allowed.test", port, data)[8:][:20])
    return found
ECH = bytes([0, 0, 1, 0, 1, 7]) + struct.pack("!H", 32) + os.urandom(32) + struct.pack("!H", 64) + os.urandom(64)
EVIL, GOOD = hello("evil.test"), hello("allowed.test")
ALERT = b"\x15\3\1\0\2\1\x5a"
@attempt
def other_name(): return on(EVIL)
@attempt
def upper_case(): return on(hello("EVIL.test"))
@attempt
def address(): return on(hello("10.9.9.9").replace(b"", b"")) if False else on(EVIL.replace(b"evil.test", b"10.9.9.99"))
@attempt
def with_nul(): return on(GOOD.replace(b"allowed.test", b"evil.test\0.x"))
@attempt
def single_bytes(): return on(b"", [EVIL[at:at + 1] for at in range(len(EVIL))])
@attempt
def in_small_records(): return on(in_records(EVIL, 20))
@attempt
def in_tiny_records(): return on(in_records(EVIL, 3))
@attempt
def alert_first(): return on(ALERT + EVIL)
@attempt
def alert_alone_first(): return on(b"", [ALERT[:1], ALERT[1:], EVIL])
@attempt
def empty_record_first(): return on(b"\x16\3\1\0\0" + EVIL)
@attempt
def change_first(): return on(b"\x14\3\3\0\1\1" + EVIL)
@attempt
def ech_inside_another(): return on(with_extension(EVIL, 0xFE0D, ECH))
@attempt
def twice(): return on(with_extension(GOOD, 0, struct.pack("!HBH", 12, 0, 9) + b"evil.test"))
@attempt
def two_names():
    names = struct.pack("!BH", 0, 12) + b"allowed.test" + struct.pack("!BH", 0, 9) + b"evil.test"
    return on(with_extension(hello(None), 0, struct.pack("!H", len(names)) + names))
"""
HONEST = r"""
@attempt
def plain(): return on(GOOD)
@attempt
def without_name(): return on(hello(None))
@attempt
def slowly(): return on(b"", [GOOD[at:at + 1] for at in range(len(GOOD))])
@attempt
def small_records(): return on(in_records(GOOD, 30))
@attempt
def greased(): return on(with_extension(GOOD, 0xFE0D, ECH))
"""
ATTEMPTS = GREETINGS.count("@attempt")


@in_boxes
def test_the_name_in_a_greeting_of_tls_is_the_hosts(world, box):
    tried = world.inside(box, GREETINGS, *ALLOWED, given={"port": TLS})
    assert len(tried.got) == ATTEMPTS
    named = [each["server_name"] for each in tried.heard if "server_name" in each]
    assert named == []
    tried = world.inside(box, GREETINGS, *ALLOWED, given={"port": SINK})
    assert tried.bytes_at(f"{UPSTREAM}:{SINK}") == b""


@in_boxes
def test_an_honest_greeting_passes_in_any_pieces(world, box):
    source = GREETINGS.partition("@attempt")[0] + HONEST
    tried = world.inside(box, source, *ALLOWED, given={"port": TLS})
    for name, answers in tried.got.items():
        assert all(answer.startswith("\x16\x03") for answer in answers), (name, answers)
    named = [each["server_name"] for each in tried.heard if "server_name" in each]
    assert set(named) == {"allowed.test", ""}


def test_control_a_server_heeds_the_name_it_is_given(world):
    tried = world.outside(GREETINGS, given={"port": TLS})
    named = [each["server_name"] for each in tried.heard if "server_name" in each]
    reached = {name for name, answers in tried.got.items() if answers[0].startswith("\x16\x03")}
    assert reached >= {"other_name", "single_bytes", "in_small_records", "ech_inside_another"}
    assert named.count("evil.test") >= 4


FRONT = r"""
@attempt
def fronted():
    context = ssl.create_default_context(cafile="ca.pem.txt")
    with dial(*PROXY) as asking:
        asking.sendall(b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n")
        until_end(asking, enough=b"\r\n\r\n")
        with context.wrap_socket(asking, server_hostname="allowed.test") as tls:
            answers = []
            for host in (b"evil.test", b"inner.test"):  # one connection for several names: coalescing
                tls.sendall(b"GET /fronted HTTP/1.1\r\nHost: %s\r\n\r\n" % host)
                answers.append(tls.recv(1000)[:12].decode())
            return answers
"""


@in_boxes
def test_what_is_asked_inside_tls_ends_at_the_host_that_was_allowed(world, box):
    tried = world.inside(box, FRONT, *ALLOWED)
    places = [(each["at"], each["host"]) for each in tried.asked]
    assert places == [(f"{UPSTREAM}:443", "evil.test"), (f"{UPSTREAM}:443", "inner.test")]
    opened = [each["host"] for each in tried.records if each["event"] == "open"]
    assert opened == ["allowed.test"]
