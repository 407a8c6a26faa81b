"""The host's network: nothing of it answers in the box but the agent's API, with any level."""

from __future__ import annotations

import secrets
import socket
import subprocess
import threading
from contextlib import ExitStack, suppress

import pytest
from caller import Caller, open_request, patched
from probe import BOXES, got, mode_options, outside, script

from clsecure.helper.protocol import Opened

pytestmark = pytest.mark.root

PROBE = """
def ask(family, kind, address):
    with socket.socket(family, kind) as asking:
        asking.settimeout(GIVEN["seconds"])
        asking.connect(address)
        asking.sendall(b"?")
        return asking.recv(100).decode() or None

@attempt
def api(): return ask(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", GIVEN["api"]))
@attempt
def tcp(): return ask(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", GIVEN["tcp"]))
@attempt
def tcp6(): return ask(socket.AF_INET6, socket.SOCK_STREAM, ("::1", GIVEN["tcp6"]))
@attempt
def mapped():
    return ask(socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", GIVEN["tcp"]))
@attempt
def any_address(): return ask(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", GIVEN["tcp"]))
@attempt
def other_loopback():
    return ask(socket.AF_INET, socket.SOCK_STREAM, ("127.9.9.9", GIVEN["everywhere"]))
@attempt
def udp(): return ask(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", GIVEN["udp"]))
@attempt
def own_address():
    return ask(socket.AF_INET, socket.SOCK_STREAM, (GIVEN["address"], GIVEN["everywhere"]))
@attempt
def abstract(): return ask(socket.AF_UNIX, socket.SOCK_STREAM, "\\0" + GIVEN["abstract"])
@attempt
def interfaces():
    return sorted({name for _, name in socket.if_nameindex()} - {"lo"}) or None
@attempt
def routes():
    with open("/proc/self/net/route") as file:
        return file.read().splitlines()[1:] or None
@attempt
def links():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as asking:
        asking.bind((0, 0))
        asking.send(struct.pack("IHHII", 17, 18, 0x301, 1, 0) + b"\\0")  # RTM_GETLINK, dump
        said = asking.recv(65536)
        names = []
        while len(said) >= 16:
            length, kind = struct.unpack_from("IH", said)
            if kind == 3 or length < 16:
                break
            names.append(length)
            said = said[(length + 3) & ~3:]
        return len(names) if len(names) > 1 else None
"""
ATTEMPTS = {
    "api",
    "tcp",
    "tcp6",
    "mapped",
    "any_address",
    "other_loopback",
    "udp",
    "own_address",
    "abstract",
    "interfaces",
    "routes",
    "links",
}

# Ways around a network namespace: refused in every box, network or not.
AROUND = """
@attempt
def packet(): return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3) and "opened"
@attempt
def raw(): return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and "opened"
@attempt
def raw6(): return socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58) and "opened"
@attempt
def vsock(): return socket.socket(40, socket.SOCK_STREAM) and "opened"
@attempt
def vsock_high_bits():
    libc.syscall.restype = ctypes.c_long
    return syscall(41, ctypes.c_long(0x1_0000_0000 | 40), 1, 0)
@attempt
def crypto(): return socket.socket(38, socket.SOCK_SEQPACKET) and "opened"
@attempt
def bluetooth(): return socket.socket(31, socket.SOCK_RAW, 1) and "opened"
@attempt
def io_uring():
    parameters = ctypes.create_string_buffer(120)
    return syscall(425, 4, parameters)
@attempt
def bpf(): return syscall(321, 0, ctypes.create_string_buffer(72), 72)
@attempt
def keyring(): return syscall(250, 0, -4, 1)
@attempt
def performance():
    attributes = ctypes.create_string_buffer(b"\\1" + b"\\0" * 127)
    return syscall(298, attributes, 0, -1, -1, 0)
@attempt
def other_machine():
    # int 0x80, by which the 32-bit calls are made, from a child: it must be killed.
    code = bytes.fromhex("b814000000cd80c3")  # mov eax, getpid; int 0x80; ret
    import mmap
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(code)
    call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    child = os.fork()
    if child == 0:
        call()
        os._exit(0)
    return "ran" if os.waitpid(child, 0)[1] == 0 else None
@attempt
def other_namespace():
    descriptor = os.open("/proc/1/ns/net", os.O_RDONLY)
    return syscall(308, descriptor, 0)
@attempt
def new_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack("16sH2s4s8s", b"lo:1", socket.AF_INET, b"", bytes([10, 0, 0, 1]), b"")
        fcntl.ioctl(asking, 0x8916, request)
        return "set"
"""


@pytest.fixture(scope="module")
def project(human):
    return human.repository()


@pytest.fixture(scope="module")
def servers():
    """Servers of the host, each of which says something to whoever asks."""
    name = f"clsecure-t-{secrets.token_hex(4)}"
    places = {
        "api": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        "tcp6": (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
        "everywhere": (socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0)),
        "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}"),
    }
    given: dict[str, object] = {"abstract": name, "seconds": 3, "address": host_address()}
    servers, threads = [], []
    with ExitStack() as stack:
        for key, (family, kind, address) in places.items():
            server = stack.enter_context(socket.socket(family, kind))
            server.bind(address)
            if kind == socket.SOCK_STREAM:
                server.listen(64)
            if key != "abstract":
                given[key] = server.getsockname()[1]
            threads.append(threading.Thread(target=serve, args=(server, kind), daemon=True))
            threads[-1].start()
            servers.append(server)
        yield given
        for server in servers:  # or a thread in accept() would keep it open
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()


def serve(server, kind):
    while True:
        try:
            if kind == socket.SOCK_DGRAM:
                _, sender = server.recvfrom(100)
                if sender is None:  # the socket was shut down
                    return
                server.sendto(b"hello", sender)
            else:
                with server.accept()[0] as connection:
                    connection.recv(1)
                    connection.sendall(b"hello")
        except OSError:
            return


def host_address():
    """An address of this host's own, if it has one besides loopback."""
    said = subprocess.run(
        ["hostname", "-I"], capture_output=True, text=True, check=False
    ).stdout.split()
    return next((word for word in said if "." in word), "127.0.0.1")


def look(human, project, servers, box, source, *options):
    api = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{servers['api']}"}
    words = ("exec", *mode_options(box), *options, "--", "/usr/bin/python3", "-")
    text = script(source, servers)
    return got(human.clsecure(*words, cwd=project, stdin=text, env=api).stdout)


def passed(found):
    return {name for name, value in found.items() if value}


def test_control_the_human_reaches_every_server(human, servers):
    assert passed(outside(human, PROBE, servers)) >= ATTEMPTS - {"interfaces", "routes", "links"}


@pytest.mark.parametrize("box", BOXES)
def test_only_the_api_passes(human, project, servers, box):
    found = look(human, project, servers, box, PROBE)
    assert set(found) == ATTEMPTS
    assert passed(found) == {"api"}
    assert found["api"] == "hello"


@pytest.mark.parametrize("box", BOXES)
def test_nothing_passes_without_a_network(human, project, servers, box):
    found = look(human, project, servers, box, PROBE, "--no-network")
    assert set(found) == ATTEMPTS
    assert passed(found) == set()


@pytest.mark.parametrize("box", BOXES)
def test_an_open_network_is_not_the_hosts(human, project, servers, box):
    found = look(human, project, servers, box, PROBE, "--allow-network")
    assert set(found) == ATTEMPTS
    assert passed(found) <= {"api"}


@pytest.mark.parametrize("network", ["--no-network", "--allow-network"])
@pytest.mark.parametrize("box", BOXES)
def test_there_is_no_way_around(human, project, servers, box, network):
    found = look(human, project, servers, box, AROUND, network)
    assert len(found) == AROUND.count("@attempt")
    assert passed(found) == set()


def test_control_without_the_filter_there_is_a_way_around(human, project, tmp_path):
    source = "import socket; socket.socket(40, socket.SOCK_STREAM); print('opened')"
    changes = [
        ("descent.py", "    sc.set_seccomp(base_program())\n", ""),
        ("inside/gate.py", "        *_system_calls(),\n", ""),
        ("inside/gate.py", '< plan["filters"]', "< 1"),
    ]
    outputs = []
    for number, change in enumerate(([], changes)):
        (tmp_path / str(number)).mkdir()
        package = patched(tmp_path / str(number), *change)
        with Caller(human.account.pw_uid, package=package) as caller:
            opened = caller.ask(open_request(human, project, session="around"))
            assert isinstance(opened, Opened), opened
            outputs.append(caller.run("/usr/bin/python3", "-c", source).output)
            caller.discard(opened)
    assert "opened" not in outputs[0]
    assert "opened" in outputs[1]
