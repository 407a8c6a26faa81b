"""The broker: a port is asked for, a connection or an error comes back, whatever else is said."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from contextlib import contextmanager

import pytest

from clsecure.helper import broker as module
from clsecure.helper.broker import Broker


@contextmanager
def brokered():
    """A broker, and the socket of whoever asks it."""
    broker = Broker()
    with socket.socket(fileno=os.dup(broker.other.fileno())) as asking:
        broker.other.close()
        asking.settimeout(0)
        yield broker, asking
        broker._close()


def work(broker, seconds=0.3):
    """Let it work as init would, until nothing has happened for some time."""
    steps = 0
    while broker.waits_for()[0] >= 0:
        source, wanted = broker.waits_for()
        poll = select.poll()
        poll.register(source, wanted)
        remaining = broker.remaining()
        events = dict(poll.poll((seconds if remaining is None else remaining + 0.01) * 1000))
        if not events and remaining is None:
            break
        broker.step(events.get(source, 0))
        steps += 1
        assert steps < 5000
    return steps


def answer(asking):
    said, descriptors, _, _ = socket.recv_fds(asking, 10, 4)
    assert len(said) == 1
    return said[0], descriptors


@contextmanager
def server(*, backlog=16):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(backlog)
        yield listening, listening.getsockname()[1]


def free_port():
    with server() as (_, port):
        return port


def test_a_connection_comes_back():
    with brokered() as (broker, asking), server() as (listening, port):
        asking.send(struct.pack(">H", port))
        work(broker)
        error, (descriptor,) = answer(asking)
        assert error == 0
        with socket.socket(fileno=descriptor) as connection, listening.accept()[0] as other:
            assert connection.getpeername() == ("127.0.0.1", port)
            assert os.get_blocking(connection.fileno())
            connection.sendall(b"hello")
            assert other.recv(10) == b"hello"
            other.close()
            assert connection.recv(10) == b""  # the broker kept no copy of it


def test_one_request_after_the_other_in_their_order():
    with brokered() as (broker, asking), server() as (_, port):
        for each in (port, free_port(), port):
            asking.send(struct.pack(">H", each))
        work(broker)
        answers = [answer(asking) for _ in range(3)]
        assert [error for error, _ in answers] == [0, errno.ECONNREFUSED, 0]
        assert [len(descriptors) for _, descriptors in answers] == [1, 0, 1]
        for _, descriptors in answers:
            for descriptor in descriptors:
                os.close(descriptor)


@pytest.mark.parametrize("said", [b"", b"\0", b"\0\0", b"\x1f\x90\0", b"x" * 5000])
def test_garbage_is_an_error_and_no_end(said):
    with brokered() as (broker, asking), server() as (_, port):
        asking.send(said)
        asking.send(struct.pack(">H", port))
        work(broker)
        assert answer(asking) == (errno.EINVAL, [])
        error, (descriptor,) = answer(asking)
        os.close(descriptor)
        assert error == 0


def test_descriptors_that_are_sent_do_not_stay():
    with brokered() as (broker, asking):
        read, write = os.pipe()
        socket.send_fds(asking, [b"\0\0"], [write])
        os.close(write)
        work(broker)
        assert os.read(read, 1) == b""
        os.close(read)
        assert answer(asking) == (errno.EINVAL, [])


@pytest.mark.parametrize("end", ["close", "shutdown"])
def test_it_is_quiet_once_nobody_can_ask_any_more(end):
    with brokered() as (broker, asking):
        if end == "close":
            asking.close()
        else:
            asking.shutdown(socket.SHUT_WR)
        assert work(broker) == 1
        assert broker.waits_for() == (-1, 0)
        broker.step(select.POLLIN)


def test_who_asks_and_never_listens_is_waited_for_and_not_for_long():
    with brokered() as (broker, asking):
        sent = 0
        try:
            while True:
                asking.send(b"\0\0")
                sent += 1
                begin = time.monotonic()
                broker.step(select.POLLIN)
                assert time.monotonic() - begin < 0.2
        except BlockingIOError:
            pass
        assert sent > 1
        answers = 0
        while answers < sent:
            work(broker, 0)
            assert answer(asking) == (errno.EINVAL, [])
            answers += 1


def test_a_server_that_takes_no_more_has_a_time_limit(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.2)
    with brokered() as (broker, asking), server(backlog=0) as (_, port):
        waiting = [socket.create_connection(("127.0.0.1", port), 1)]
        begin = time.monotonic()
        asking.send(struct.pack(">H", port))
        work(broker)
        assert answer(asking) == (errno.ETIMEDOUT, [])
        assert time.monotonic() - begin < 2
        for each in waiting:
            each.close()
