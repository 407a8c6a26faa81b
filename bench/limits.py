#!/usr/bin/env python3
"""How the host answers while an agent takes all it can, in each mode, with limits and alone.

Run as root with the checkout's `.venv/bin/python bench/limits.py [--seconds N]`. A program of the
host's, /bin/true, is started again and again, and timed: at rest, and beside a fork bomb, a memory
hog, a disk filler and busy loops in a session with limits on all of it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from world import Human, new_human

MODES = {
    "user": ("--mode", "user"),
    "firejail": ("--mode", "namespace", "--engine", "firejail"),
    "bubblewrap": ("--mode", "namespace", "--engine", "bubblewrap"),
    "container": ("--mode", "container"),
}
LIMITS = ("--memory", "256M", "--cpus", "1", "--pids", "200", "--disk", "128M")
ATTACKS = {  # each begins again when it was stopped, for as long as the measurement lasts
    "fork bomb": "b() { b | b & }; while :; do b; sleep 1; done",
    "memory hog": "while :; do python3 -c 'held = [bytearray(8 << 20) for _ in range(999)]'; done",
    "disk filler": "while :; do dd if=/dev/zero of=fill bs=1M; rm -f fill; done",
    "busy loops": "for n in 1 2 3 4; do (while :; do :; done) & done; wait",
}
PAUSE = 0.02  # seconds


class Pulse(Thread):
    """Times a trivial command of the host's until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self._end = Event()
        self.times: list[float] = []

    def run(self) -> None:
        while not self._end.is_set():
            began = time.perf_counter()
            subprocess.run(["/bin/true"], check=True)
            self.times.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE)

    def stop(self) -> list[float]:
        self._end.set()
        self.join()
        return self.times


def at_rest(seconds: float) -> list[float]:
    pulse = Pulse()
    pulse.start()
    time.sleep(seconds)
    return pulse.stop()


def beside(human: Human, project: Path, mode: str, attack: str, seconds: int) -> list[float]:
    """Measure the host while a session of that mode runs the attack, from its first moment."""
    words = ("exec", *MODES[mode], *LIMITS, "--time", f"{seconds}s", "--fresh", "--yes")
    script = f"echo under way; exec 2>/dev/null; {ATTACKS[attack]}"
    with human.start(
        *words, "--", "bash", "-c", script, cwd=project, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as running:  # fmt: skip
        if running.stdout is None or b"under way" not in running.stdout.readline():
            raise SystemExit(f"{mode}: the session did not start")
        pulse = Pulse()
        pulse.start()
        running.stdout.read()
        times = pulse.stop()
    human.clsecure("discard", "--yes", cwd=project)
    return times


def row(name: str, times: list[float]) -> str:
    ordered = sorted(times)
    high = ordered[int(len(ordered) * 0.99)] if len(ordered) > 1 else ordered[0]
    middle = statistics.median(ordered)
    return f"{name:<26} {middle:8.1f} {high:8.1f} {ordered[-1]:8.1f} {len(ordered):6}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    seconds = parser.parse_args().seconds
    print(f"{'':26} {'median':>8} {'99 %':>8} {'max':>8} {'runs':>6}   ms to start /bin/true")
    print(row("at rest", at_rest(seconds)), flush=True)
    with new_human() as human:
        human.agent("true")
        project = human.repository("limited")
        for mode in MODES:
            for attack in ATTACKS:
                times = beside(human, project, mode, attack, seconds)
                print(row(f"{mode}: {attack}", times), flush=True)


if __name__ == "__main__":
    main()
