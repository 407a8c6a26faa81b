"""The forwarder, with real sockets and real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from clsecure.egress import forward

AT_REST = 8  # standard streams, lifeline, listener, and asyncio's own three
SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(name="target")
def _target():
    """A listening socket outside, and the `accept` of its next connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        server.settimeout(10)
        yield server


@pytest.fixture(name="inside")
def _inside(target):
    """The address inside, forwarded to the target."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        os.set_blocking(listener.fileno(), False)
        with forward.start([forward.Forward(listener.fileno(), *target.getsockname())]) as started:
            yield Inside(listener.getsockname(), started.pid)


class Inside:
    def __init__(self, address, pid):
        self.address = address
        self.pid = pid

    def connect(self):
        return socket.create_connection(self.address, timeout=10)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def read_all(connection):
    connection.settimeout(10)
    return b"".join(iter(lambda: connection.recv(65536), b""))


def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(") ")[1][:1]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_bytes_pass_both_ways_and_each_end_by_itself(inside, target):
    with inside.connect() as client:
        client.sendall(b"question")
        server = target.accept()[0]
        with server:
            client.shutdown(socket.SHUT_WR)
            assert read_all(server) == b"question"
            server.sendall(b"a late answer")  # our direction is still open
            server.shutdown(socket.SHUT_WR)
            assert read_all(client) == b"a late answer"


def test_the_outside_may_end_first(inside, target):
    with inside.connect() as client, target.accept()[0] as server:
        server.sendall(b"greeting")
        server.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"greeting"
        client.sendall(b"still going")
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b"still going"


def test_a_large_transfer_passes_quickly_and_whole(inside, target):
    block = os.urandom(1 << 20)
    count = 100
    started = time.monotonic()
    with inside.connect() as client, target.accept()[0] as server:
        sender = threading.Thread(
            target=lambda: [*(client.sendall(block) for _ in range(count)), client.close()]
        )
        sender.start()
        size = 0
        while data := server.recv(1 << 18):
            size += len(data)
        sender.join()
    assert size == count * len(block)
    assert time.monotonic() - started < 5


def test_a_slow_reader_holds_the_sender_back(inside, target):
    with inside.connect() as client, target.accept()[0]:
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            client.sendall(bytes(200 << 20))
        pages = int(Path(f"/proc/{inside.pid}/statm").read_text().split()[1])
        assert pages * os.sysconf("SC_PAGE_SIZE") < 120 << 20


def test_a_dead_target_resets_at_once(target):
    address = target.getsockname()
    target.close()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        forwards = [forward.Forward(listener.fileno(), *address)]
        with forward.start(forwards), socket.create_connection(listener.getsockname()) as client:
            client.settimeout(2)
            with pytest.raises(ConnectionResetError):
                client.recv(1)


@pytest.mark.parametrize("name", ["no such host", "a" * 300])
def test_a_name_that_does_not_resolve_resets(name):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        forwards = [forward.Forward(listener.fileno(), name, 1)]
        with forward.start(forwards), socket.create_connection(listener.getsockname()) as client:
            client.settimeout(5)
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_a_reset_is_passed_on(inside, target):
    with inside.connect() as client:
        server = target.accept()[0]
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_many_connections_at_once_leave_no_descriptor(inside, target):
    inside.connect().close()
    target.accept()[0].close()  # so it has started
    wait_until(lambda: inside.descriptors() == AT_REST)
    with ExitStack() as stack:
        clients = [stack.enter_context(inside.connect()) for _ in range(200)]
        servers = [stack.enter_context(target.accept()[0]) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
            client.shutdown(socket.SHUT_WR)
        got = []
        for server in servers:
            number = read_all(server)
            server.sendall(number)
            server.shutdown(socket.SHUT_WR)
            got.append(int(number))
        assert sorted(got) == list(range(200))
        assert [int(read_all(client)) for client in clients] == list(range(200))
    wait_until(lambda: inside.descriptors() == AT_REST)


def test_it_holds_nothing_but_what_it_needs(inside, tmp_path):
    wait_until(lambda: inside.descriptors() == AT_REST)
    links = {
        os.readlink(f"/proc/{inside.pid}/fd/{n}") for n in os.listdir(f"/proc/{inside.pid}/fd")
    }
    assert not [link for link in links if str(tmp_path) in link or "/dev/pts" in link]
    assert os.getsid(inside.pid) == inside.pid


def test_keyboard_signals_do_not_end_it(inside, target):
    for number in (signal.SIGINT, signal.SIGTSTP, signal.SIGHUP):
        os.kill(inside.pid, number)
    with inside.connect() as client, target.accept()[0] as server:
        client.sendall(b"x")
        assert server.recv(1) == b"x"


def test_it_is_gone_when_the_context_ends(target):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with forward.start([forward.Forward(listener.fileno(), *target.getsockname())]) as started:
            assert alive(started.pid)
        assert not alive(started.pid)


def test_it_ends_by_itself_when_its_lifeline_does(target):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = forward.start([forward.Forward(listener.fileno(), *target.getsockname())])
        os.close(started._lifeline)
        wait_until(lambda: not alive(started.pid))
        assert os.waitpid(started.pid, 0)[1] == 0


PARENT = """
import os, socket, sys, time
from clsecure.egress import forward
listener = socket.create_server(("127.0.0.1", 0))
started = forward.start([forward.Forward(listener.fileno(), "127.0.0.1", 1)])
holder = os.fork() if sys.argv[1] == "hidden" else os.getpid()  # holds the lifeline
if holder == 0:
    time.sleep(30)
    os._exit(0)
print(started.pid, holder, flush=True)
time.sleep(30)
"""


@pytest.mark.parametrize("lifeline", ["closed", "hidden"])
def test_it_ends_when_its_parent_is_killed(lifeline):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, lifeline],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(SOURCE)},
        start_new_session=True,
    ) as parent:
        pid, holder = map(int, parent.stdout.readline().split())
        time.sleep(0.1)
        assert alive(pid)
        parent.kill()
        wait_until(lambda: not alive(pid), seconds=2)
        if lifeline == "hidden":  # only the death signal was left
            os.kill(holder, signal.SIGKILL)
