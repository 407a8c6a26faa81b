"""The control channel: a socket in a private directory, one line each way."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading

import pytest

from clsecure.egress import control


@pytest.fixture(name="directory")
def _directory(tmp_path):
    """Too long a path for a socket's address."""
    return tmp_path / ("d" * 100) / "net"


@pytest.fixture(name="channel")
def _channel(directory):
    listening = control.listen(directory, "worker")
    loop = asyncio.new_event_loop()
    acted = []

    def act(request):
        acted.append(dict(request))
        return {"said": request.get("do")}

    async def main():
        await control.serve(listening, act)

    task = loop.create_task(main())

    def run():
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    yield acted
    loop.call_soon_threadsafe(task.cancel)
    thread.join(5)
    assert not thread.is_alive()


def raw(directory, data):
    """What the socket answers to these bytes."""
    opened = os.open(directory, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(10)
        asking.connect(f"/proc/self/fd/{opened}/worker.sock")
        os.close(opened)
        asking.sendall(data)
        asking.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: asking.recv(4096), b""))


def test_asking(directory, channel):
    assert control.ask(directory, "worker", {"do": "allow", "host": "a.test"}) == {"said": "allow"}
    assert channel == [{"do": "allow", "host": "a.test"}]
    assert list(control.running(directory)) == [("worker", {"said": "describe"})]


def test_it_is_the_humans_alone(directory, channel):
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert channel == []


@pytest.mark.parametrize("data", [b"", b"\n", b"nonsense\n", b"[]\n", b"[" * 5000 + b"\n"])
def test_nonsense_is_answered(directory, channel, data):
    answer = raw(directory, data)
    assert "error" in json.loads(answer)
    assert channel == []


def test_a_line_without_end_is_not_waited_for(directory, channel):
    assert raw(directory, b"x" * 200_000) == b""
    assert control.ask(directory, "worker", {"do": "x"}) == {"said": "x"}
    assert channel == [{"do": "x"}]


def test_a_dead_socket_is_nobody(directory):
    control.listen(directory, "dead").close()
    (directory / "nonsense").write_text("")
    (directory / "file.sock").write_text("")
    (directory / "link.sock").symlink_to("dead.sock")
    assert list(control.running(directory)) == []
    assert list(control.running(directory / "missing")) == []
    with control.listen(directory, "dead"):
        pass  # a new one takes its place
