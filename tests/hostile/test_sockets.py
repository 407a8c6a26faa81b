"""The box's sockets: every TCP connection arrives at one of root's, and nothing else passes.

The test is the one outside: it holds what init handed out, and answers.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from caller import ENGINES, Caller, open_request, patched
from probe import got, script

from clsecure.helper.protocol import Checked, Exec, Exited, Listener, Opened, Started
from clsecure.helper.wire import send

pytestmark = pytest.mark.root

LISTENERS = (
    Listener(role="proxy", address="127.0.0.1", port=3128),
    Listener(role="transparent", address="127.0.0.1", port=3129),
    Listener(role="resolver", address="127.0.0.1", port=53, kind="udp"),
    Listener(role="resolver-tcp", address="127.0.0.1", port=53),
    Listener(role="api", address="127.0.0.1", port=8443),
)
ROLES = ("proxy", "transparent", "resolver", "resolver-tcp", "api", "broker")
BOXES = [(engine, network) for engine in ENGINES for network in ("filtered", "open")]
# Any address that is not loopback: public, private, of the cloud, of the resolver, none at all.
MEANT = [
    ["10.1.2.3", 80],
    ["93.184.216.34", 443],
    ["93.184.216.34", 65535],
    ["169.254.169.254", 80],
    ["198.18.0.1", 22],
    ["192.168.1.1", 1],
    ["255.1.2.3", 8080],
    ["126.255.255.255", 8080],
    ["128.0.0.1", 3128],
]
PROBE = """
def said(family, address, first=b"?"):
    with socket.socket(family, socket.SOCK_STREAM) as asking:
        asking.settimeout(3)
        asking.connect(address)
        asking.sendall(first)
        return asking.recv(100).decode()

def quickly(function):
    begin = time.monotonic()
    try:
        function()
    except OSError as error:
        assert time.monotonic() - begin < 0.5, "late"
        return errno.errorcode[error.errno]

own = socket.create_server(("0.0.0.0", 8080))
if os.fork() == 0:
    while True:
        connection = own.accept()[0]
        connection.sendall(b"the box's own")
        connection.close()

@attempt
def meant(): return [said(socket.AF_INET, tuple(one)) for one in GIVEN["meant"]]
@attempt
def mapped(): return said(socket.AF_INET6, ("::ffff:10.9.9.9", 25))
@attempt
def own_server(): return [said(socket.AF_INET, (host, 8080)) for host in ("127.0.0.1", "127.9.9.9", "0.0.0.0")]
@attempt
def free_port(): return quickly(lambda: said(socket.AF_INET, ("127.0.0.1", 8081)))
@attempt
def resolver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(3)
        asking.connect(("127.0.0.1", 53))
        asking.send(b"name?")
        return asking.recv(100).decode()
@attempt
def others(): return {str(port): said(socket.AF_INET, ("127.0.0.1", port)) for port in (53, 3128, 8443)}
@attempt
def udp():
    found = set()
    for address in (("8.8.8.8", 53), ("10.1.2.3", 123), ("198.18.0.1", 443), ("127.0.0.1", 9)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(3)
            asking.connect(address)
            asking.send(b"x")
            found.add(quickly(lambda: asking.recv(1)))
    return sorted(found)
@attempt
def tcp6(): return quickly(lambda: said(socket.AF_INET6, ("2001:db8::1", 443)))
@attempt
def udp6():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
        return quickly(lambda: asking.sendto(b"x", ("2606:4700:4700::1111", 53)))
@attempt
def routes():
    with open("/proc/net/route") as file:
        return len(file.read().splitlines()) - 1
@attempt
def resolv_conf():
    with open("/etc/resolv.conf") as file:
        return file.read()
@attempt
def descriptors(): return sorted(os.readlink(f"/proc/self/fd/{one}")[:6] for one in os.listdir("/proc/self/fd") if int(one) > 2 and os.path.exists(f"/proc/self/fd/{one}"))
own.close()
"""


@pytest.fixture(scope="module")
def project(human):
    return human.repository()


class Opening:
    """A box, and the sockets that came out of it by their roles."""

    def __init__(self, caller, opened, descriptors):
        self.caller, self.opened = caller, opened
        assert len(opened.sockets) == len(descriptors)
        self.sockets = [
            (role, socket.socket(fileno=one))
            for role, one in zip(opened.sockets, descriptors, strict=True)
        ]

    def one(self, role):
        (found,) = [each for name, each in self.sockets if name == role]
        return found

    def serve(self):
        """Say to whoever connects which socket it was, and what address was meant."""
        for role, each in self.sockets:
            if role != "broker":
                threading.Thread(target=answer, args=(role, each), daemon=True).start()

    def close(self):
        for _, each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # or accept() in another thread keeps it open
            each.close()


def answer(role, each):
    while True:
        try:
            if each.type == socket.SOCK_DGRAM:
                said, sender = each.recvfrom(100)
                if sender is None:  # the socket was shut down
                    return
                each.sendto(b"%s: %s" % (role.encode(), said), sender)
                continue
            with each.accept()[0] as connection:
                host, port = connection.getsockname()[:2]
                connection.recv(1)
                connection.sendall(f"{role}: {host} {port}".encode())
        except OSError:
            return


@contextmanager
def opening(human, project, package=None, **fields):
    given = {"session": "sockets", "listeners": LISTENERS, "broker": True, **fields}
    with Caller(human.account.pw_uid, **({"package": package} if package else {})) as caller:
        send(caller.channel, open_request(human, project, **given))
        opened, descriptors = caller.receive()
        assert isinstance(opened, Opened), opened
        box = Opening(caller, opened, descriptors)
        try:
            yield box
        finally:
            box.close()
            caller.discard(opened)


def look(box, source, **given):
    ran = box.caller.run("/usr/bin/python3", "-", stdin=script(source, given))
    return got(ran.output)


@pytest.mark.parametrize(("engine", "network"), BOXES)
def test_every_connection_arrives_with_the_address_that_was_meant(human, project, engine, network):
    with opening(human, project, engine=engine, network=network) as box:
        assert box.opened.sockets == ROLES
        assert box.opened.warnings == ()
        box.serve()
        found = look(box, PROBE, meant=MEANT)
    assert found == {
        "meant": [f"transparent: {host} {port}" for host, port in MEANT],
        "mapped": "transparent: 10.9.9.9 25",
        "own_server": ["the box's own"] * 3,
        "free_port": "ECONNREFUSED",
        "resolver": "resolver: name?",
        "others": {
            "53": "resolver-tcp: 127.0.0.1 53",
            "3128": "proxy: 127.0.0.1 3128",
            "8443": "api: 127.0.0.1 8443",
        },
        "udp": ["ECONNREFUSED"],
        "tcp6": "ENETUNREACH",
        "udp6": "ENETUNREACH",
        "routes": 0,
        "resolv_conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n",
        "descriptors": ["socket"],  # the probe's own server
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_network_there_is_nothing(human, project, engine):
    fields = {"network": "none", "listeners": (), "broker": False}
    with opening(human, project, engine=engine, **fields) as box:
        assert box.opened.sockets == ()
        found = look(box, PROBE, meant=MEANT)
        source = (
            "@attempt\ndef tcp(): return quickly(lambda: said(socket.AF_INET, ('10.1.2.3', 80)))"
        )
        tcp = look(box, PROBE.partition("own =")[0] + source)
    assert tcp == {"tcp": "ENETUNREACH"}
    assert {name: value for name, value in found.items() if value} == {
        "own_server": ["the box's own"] * 3,
        "free_port": "ECONNREFUSED",
        "tcp6": "ENETUNREACH",
        "udp6": "ENETUNREACH",
        "descriptors": ["socket"],
    }


def test_once_nobody_serves_connections_are_refused_at_once(human, project):
    source = """
server = socket.create_server(("0.0.0.0", 8080))
@attempt
def refused():
    return [quickly(lambda: said(socket.AF_INET, (host, port))) for host, port in GIVEN["meant"]]
"""
    with opening(human, project) as box:
        box.close()
        found = look(box, PROBE.partition("own =")[0] + source, meant=MEANT)
    assert found == {"refused": ["ECONNREFUSED"] * len(MEANT)}


def test_nobody_in_the_box_can_change_where_connections_go(human, project):
    source = """
NETLINK = lambda kind, flags, body: struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body
def rtnetlink(kind, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as asking:
        asking.send(NETLINK(kind, flags, body))
        return -struct.unpack_from("=i", asking.recv(4096), 16)[0]
ROUTE = struct.pack("=8BI", 2, 0, 0, 0, 255, 3, 254, 2, 0) + struct.pack("=HHI", 8, 4, 1)
@attempt
def delete(): return rtnetlink(25, 5, ROUTE)
@attempt
def add(): return rtnetlink(24, 0x605, ROUTE)
@attempt
def same_port():
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("0.0.0.0", 3129))
        other.listen()
        return "bound"
@attempt
def taken_address():
    # Every address is local, so it can be bound; no connection arrives there.
    server = socket.create_server(("10.1.2.3", 8080))
    return said(socket.AF_INET, ("10.1.2.3", 8080))
"""
    with opening(human, project) as box:
        box.serve()
        found = look(box, PROBE.partition("own =")[0] + source)
    assert found == {
        "delete": errno.EPERM,
        "add": errno.EPERM,
        "same_port": None,
        "taken_address": "transparent: 10.1.2.3 8080",
    }


REFUSED = (
    "sklookup.py",
    "        _allow_memory()\n",
    "        raise OSError(1, 'not permitted')\n",
)


def test_where_the_kernel_refuses_the_usual_ports_are_served(human, project, tmp_path):
    source = """
@attempt
def usual(): return [said(socket.AF_INET, ("10.1.2.3", port)) for port in (80, 443)]
@attempt
def other(): return quickly(lambda: said(socket.AF_INET, ("10.1.2.3", 8080)))
@attempt
def explicit(): return said(socket.AF_INET, ("127.0.0.1", 3128))
"""
    with opening(human, project, patched(tmp_path, REFUSED)) as box:
        assert box.opened.sockets == (*ROLES[:-1], "transparent", "transparent", "broker")
        (warning,) = box.opened.warnings
        assert warning.startswith("tools that know no proxy reach ports 80 and 443 alone: ")
        box.serve()
        found = look(box, PROBE.partition("own =")[0] + source)
    assert found == {
        "usual": ["transparent: 10.1.2.3 80", "transparent: 10.1.2.3 443"],
        "other": "ECONNREFUSED",
        "explicit": "proxy: 127.0.0.1 3128",
    }


def test_where_the_kernel_refuses_the_apis_port_stays_the_apis(human, project, tmp_path):
    api = Listener(role="api", address="127.0.0.1", port=443)
    listeners = (*LISTENERS[:-1], api)
    with opening(human, project, patched(tmp_path, REFUSED), listeners=listeners) as box:
        assert box.opened.sockets == (*ROLES[:-1], "transparent", "broker")
        assert "reach ports 80 alone" not in box.opened.warnings[0]
        assert "reach port 80 alone" in box.opened.warnings[0]
        assert box.sockets[5][1].getsockname() == ("0.0.0.0", 80)


@contextmanager
def running(box, *argv):
    """A command that runs meanwhile; its end is waited for."""
    reading, given = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    request = Exec(argv=argv, environment=("PATH=/usr/bin:/bin",), cwd="/")
    send(box.caller.channel, request, (reading, null, null))
    os.close(reading)
    os.close(null)
    assert isinstance(box.caller.hear(), Started)
    assert isinstance(box.caller.hear(), Checked)
    try:
        yield
    finally:
        os.close(given)
        assert isinstance(box.caller.hear(), Exited)


def asked(broker, request, seconds=5):
    broker.settimeout(seconds)
    broker.send(request)
    said, descriptors, _, _ = socket.recv_fds(broker, 10, 4)
    return said[0], descriptors


SERVER = """
import socket, sys
server = socket.create_server(("127.0.0.1", 8080))
while True:
    connection = server.accept()[0]
    connection.sendall(b"hello from the box")
    connection.close()
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_the_broker_connects_into_the_box(human, project, engine):
    with opening(human, project, engine=engine) as box:
        broker = box.one("broker")
        shell = f"/usr/bin/python3 -c '{SERVER}' & cat; kill %1"
        with running(box, "/bin/bash", "-c", shell):
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                error, descriptors = asked(broker, struct.pack(">H", 8080))
                if error == 0:
                    break
                assert error == errno.ECONNREFUSED
                time.sleep(0.02)
            with socket.socket(fileno=descriptors[0]) as connection:
                assert connection.recv(100) == b"hello from the box"
                assert connection.getpeername() == ("127.0.0.1", 8080)
            for garbage in (b"", b"\0\0", b"x", b"\x1f\x90\0", json.dumps("8080").encode()):
                assert asked(broker, garbage) == (errno.EINVAL, [])
            assert asked(broker, struct.pack(">H", 9)) == (errno.ECONNREFUSED, [])


def test_a_flood_of_the_broker_stops_nothing(human, project):
    with opening(human, project) as box:
        broker = box.one("broker")
        broker.settimeout(0)
        with running(box, "/bin/cat"):
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:  # and no answer is taken
                with suppress(BlockingIOError):
                    broker.send(b"\x1f\x90")
        assert box.caller.run("/bin/true").code == 0
        assert select.select([broker], [], [], 0)[0]


def test_a_broker_that_was_hung_up_is_no_matter(human, project):
    with opening(human, project) as box:
        box.one("broker").close()
        begin = time.monotonic()
        assert box.caller.run("/bin/sleep", "0.3").code == 0
        assert time.monotonic() - begin < 3
        spent = Path(f"/proc/{init_of(box)}/stat").read_text().rpartition(")")[2].split()
        assert int(spent[11]) + int(spent[12]) < 30  # hundredths of a second: it did not spin


def init_of(box):
    pid = box.caller.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


TO_ITSELF = """
import socket, struct
asking = socket.socket()
asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves no trace
print(asking.connect_ex(("127.0.0.1", 40000)))
"""


def test_the_broker_never_connects_a_socket_to_itself(human, project):
    # With one port to choose from, the kernel gives our own end the very one that is asked for.
    narrow = "echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range"
    with opening(human, project) as box:
        subprocess.run(["nsenter", "-t", str(init_of(box)), "-n", "sh", "-c", narrow], check=True)
        assert box.caller.run("/usr/bin/python3", "-c", TO_ITSELF).output == "0\n"  # it would
        with running(box, "/bin/cat"):
            assert asked(box.one("broker"), struct.pack(">H", 40000)) == (errno.ECONNREFUSED, [])
