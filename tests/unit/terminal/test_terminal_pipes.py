"""The relay without a terminal, with real programs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from terminalworld import FRONT, SOURCE

LIMIT_SECONDS = 20  # a relay that never ends must be a failure


@pytest.fixture(name="environment")
def _environment(tmp_path):
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(SOURCE),
        "PEER_LOG": str(tmp_path / "peer.log"),
    }


@pytest.fixture(name="front")
def _front(environment):
    timers = []

    def start(*command, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **options}
        process = subprocess.Popen(
            [sys.executable, str(FRONT), "--pipes", "--", *command],
            stderr=subprocess.PIPE,
            env=environment,
            **options,
        )
        timers.append(threading.Timer(LIMIT_SECONDS, process.kill))
        timers[-1].start()
        return process

    yield start
    for timer in timers:
        timer.cancel()


def signals(environment):
    path = Path(environment["PEER_LOG"])
    return path.read_text().split() if path.exists() else []


def test_input_both_outputs_and_the_exit_code_pass(front):
    with front("sh", "-c", "cat; echo problem >&2; exit 9") as process:
        out, err = process.communicate(b"text")
    assert (out, err, process.returncode) == (b"text", b"problem\n", 9)


def test_death_by_a_signal_is_128_and_its_number(front):
    with front("sh", "-c", "kill -9 $$") as process:
        process.communicate()
    assert process.returncode == 137


def test_a_large_input_and_a_large_output_at_once(front):
    with front("cat") as process:
        out, _ = process.communicate(b"0123456789abcdef" * (1 << 17))
    assert len(out) == 2 << 20


def test_a_command_that_reads_nothing_and_ends(front):
    with front("true") as process:
        process.communicate(b"x" * (4 << 20))
    assert process.returncode == 0


def test_input_left_open_does_not_keep_it_from_ending(front):
    with front("echo", "done") as process:
        assert process.stdout.read() == b"done\n"
        assert process.wait(5) == 0


def test_100_megabytes_flow(front, tmp_path):
    started = time.monotonic()
    with front("head", "-c", "104857600", "/dev/zero", stdin=subprocess.DEVNULL) as process:
        size = 0
        while data := process.stdout.read(1 << 20):
            size += len(data)
    assert size == 104857600
    assert time.monotonic() - started < 8
    with (tmp_path / "file").open("wb") as file:
        front("head", "-c", "104857600", "/dev/zero", stdout=file).communicate()
    assert (tmp_path / "file").stat().st_size == 104857600


def test_output_comes_at_once(front):
    with front("sh", "-c", "echo first; read line; echo then $line") as process:
        assert process.stdout.readline() == b"first\n"
        process.stdin.write(b"second\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"then second\n"


def test_waiting_costs_no_processor_time(front):
    with front("sleep", "1", stdin=subprocess.DEVNULL) as process:
        time.sleep(0.3)
        stat = Path(f"/proc/{process.pid}/stat").read_text().split(") ")[1].split()
        time.sleep(0.5)
        later = Path(f"/proc/{process.pid}/stat").read_text().split(") ")[1].split()
        assert int(later[11]) + int(later[12]) - int(stat[11]) - int(stat[12]) <= 1


def test_every_interrupt_is_passed_on(front, environment):
    script = "import signal; s = {signal.SIGINT}; signal.pthread_sigmask(signal.SIG_BLOCK, s)\n"
    script += "for _ in range(3): print('on', flush=True); signal.sigwait(s)"
    with front("python3", "-c", script) as process:
        for _ in range(3):
            assert process.stdout.readline() == b"on\n"
            process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
    assert signals(environment) == ["INT", "INT", "INT"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_passed_on_and_ends_us(front, environment, number):
    with front("sh", "-c", "trap 'echo bye; exit 3' TERM HUP; echo on; sleep 9 & wait") as process:
        assert process.stdout.readline() == b"on\n"
        process.send_signal(number)
        assert process.stdout.readline() == b"bye\n"
        assert process.wait(8) == 128 + number
    assert signals(environment) == [number.name.removeprefix("SIG")]


def test_a_closed_output_ends_it_quietly(front, environment):
    with front("yes", stdin=subprocess.DEVNULL) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(5) == 141
        assert process.stderr.read() == b""
    assert signals(environment) == ["TERM"]
