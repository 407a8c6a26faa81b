#!/usr/bin/env python3
"""A connection through the egress service, beside a direct one and through other proxies.

Run as root with the checkout's `.venv/bin/python bench/egress.py [--rounds N] [--proxies DIR]`. All
is in a network namespace of its own, over loopback TCP; every proxy runs as `nobody` and allows the
one host. mitmproxy hands bytes on (`--ignore-hosts`), proxy.py and sandbox-runtime's HTTP proxy are
as they come, and are installed by pip and npm: into DIR, to be used again, else for this run alone.
Rounds alternate between the subjects, so that a slow moment meets all of them.

Ends with 1 where our service fails, or misses a limit: half of direct TCP's throughput, and more
than mitmproxy and proxy.py.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import egress_ends as ends

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from world.internet import UPSTREAM, Internet, new_internet

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "allowed.test"
OURS, DIRECT, BELOW = "clsecure", "direct", ("mitmproxy", "proxy.py")
BYTES = 1_000_000_000
CONNECTIONS, CONCURRENT, IDLE = 200, 200, 1000
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
ENDS = (sys.executable, str(Path(ends.__file__)))
RUNTIME = "node_modules/@anthropic-ai/sandbox-runtime/dist/sandbox"
RUNTIME_SCRIPT = """
import {{ createHttpProxyServer }} from '{module}/http-proxy.js'
import {{ matchesDomainPattern }} from '{module}/domain-pattern.js'
const filter = (port, host) => matchesDomainPattern(host, '{host}')
createHttpProxyServer({{ filter }}).listen({port}, '127.0.0.1')
"""
_START_SECONDS = 30


class Subject(NamedTuple):
    """A way to the far end: its route (see egress_ends), and the process of the proxy there."""

    route: str
    pid: int


class Figures:
    """What was found of one subject."""

    def __init__(self) -> None:
        self.speeds: list[float] = []  # bytes a second
        self.waits: list[float] = []  # seconds to the first byte
        self.crowds: list[float] = []  # seconds of all concurrent connections
        self.errors: list[str] = []
        self.empty = self.full = 0  # bytes of memory, without and with idle tunnels


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--proxies", type=Path)
    given = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clsecure-t-")))
        proxies = given.proxies or directory / "proxies"
        install(proxies)
        (directory / "internet").mkdir()
        internet = stack.enter_context(new_internet(directory / "internet"))
        far = stack.enter_context(running(internet, *ENDS, "serve", UPSTREAM))
        assert far.stdout is not None
        far.stdout.readline()
        subjects = {DIRECT: Subject("direct", 0)}
        subjects |= {
            name: stack.enter_context(proxy(internet, words))
            for name, words in commands(directory, proxies).items()
        }
        figures = {name: Figures() for name in subjects}
        for _ in range(given.rounds):
            for name, subject in subjects.items():
                measure(internet, subject, figures[name])
        for name, subject in subjects.items():
            if subject.pid:
                measure_memory(internet, subject, figures[name])
    return report(figures, given.rounds)


def install(directory: Path) -> None:
    """Install the other proxies where they are missing."""
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    if not (directory / "python/bin/mitmdump").exists():
        subprocess.run([sys.executable, "-m", "venv", directory / "python"], check=True)
        pip = directory / "python/bin/pip"
        words = ("install", "-q", "--disable-pip-version-check", "mitmproxy", "proxy.py")
        subprocess.run([pip, *words], check=True, stderr=subprocess.DEVNULL)
    if not (directory / RUNTIME).exists():
        words = ("install", "--silent", "--prefix", str(directory))
        subprocess.run(["npm", *words, "@anthropic-ai/sandbox-runtime"], check=True)


def commands(directory: Path, proxies: Path) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Name to port and command line of each proxy."""
    state = directory / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    directory.chmod(0o755)
    programs = proxies / "python/bin"
    script = directory / "runtime.mjs"
    script.write_text(
        RUNTIME_SCRIPT.format(module=proxies.resolve() / RUNTIME, host=HOST, port=3133)
    )
    return {
        OURS: (ends.PROXY_PORT, (*ENDS, "service", str(state), HOST)),
        "mitmproxy": (
            3131,
            (
                str(programs / "mitmdump"),
                "--quiet",
                "--listen-host=127.0.0.1",
                "--listen-port=3131",
                f"--set=confdir={state}",
                "--ignore-hosts=.*",
            ),
        ),
        "proxy.py": (
            3132,
            (
                "env",
                f"HOME={state}",
                str(programs / "proxy"),
                "--hostname=127.0.0.1",
                "--port=3132",
                "--log-level=ERROR",
                f"--data-dir={state}",
            ),
        ),
        "sandbox-runtime": (3133, ("node", str(script))),
    }


@contextmanager
def running(internet: Internet, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command of which input and output are ours, until its input ends or it is killed."""
    argv = [*internet.prefix, *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as one:
        try:
            yield one
        finally:
            for pid in reversed(family(one.pid)):
                with ExitStack() as gone:
                    gone.push(lambda kind, *_: kind is ProcessLookupError)
                    os.kill(pid, 9)


@contextmanager
def proxy(internet: Internet, words: tuple[int, tuple[str, ...]]) -> Iterator[Subject]:
    """Run a proxy until it answers; the service's own process is the one that it prints."""
    port, argv = words
    with running(internet, *NOBODY, *argv) as one:
        pid = one.pid
        if ends.__file__ in argv:
            assert one.stdout is not None
            pid = int(one.stdout.readline())
        deadline = time.monotonic() + _START_SECONDS
        probe = f"import socket; socket.create_connection(('127.0.0.1', {port})).close()"
        while internet.run(sys.executable, "-c", probe).returncode:
            if time.monotonic() > deadline or one.poll() is not None:
                raise RuntimeError(f"does not start: {argv}")
            time.sleep(0.1)
        yield Subject(str(port), pid)


def ask(internet: Internet, figures: Figures, *words: str) -> object:
    """Return what one measurement prints; None where it fails, which is noted."""
    ended = internet.run(*ENDS, *words)
    if ended.returncode:
        figures.errors.append((ended.stderr.strip().splitlines() or ["died"])[-1])
        return None
    return json.loads(ended.stdout)


def measure(internet: Internet, subject: Subject, figures: Figures) -> None:
    """Measure one round."""
    if speed := ask(internet, figures, "throughput", subject.route, HOST, str(BYTES)):
        figures.speeds.append(speed)
    if waits := ask(internet, figures, "latency", subject.route, HOST, str(CONNECTIONS)):
        figures.waits += waits
    if crowd := ask(internet, figures, "concurrent", subject.route, HOST, str(CONCURRENT)):
        figures.crowds.append(crowd[0])
        figures.errors += crowd[1]


def measure_memory(internet: Internet, subject: Subject, figures: Figures) -> None:
    """Measure memory, before and with idle tunnels."""
    figures.empty = resident(subject.pid)
    with running(internet, *ENDS, "idle", subject.route, HOST, str(IDLE)) as client:
        assert client.stdout is not None
        if not client.stdout.readline():
            figures.errors.append("not all idle tunnels were opened")
        figures.full = resident(subject.pid)
        client.communicate("")
        if client.returncode:
            figures.errors.append("an idle tunnel was closed")


def family(pid: int) -> list[int]:
    """A process and all below it, parents first."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def resident(pid: int) -> int:
    """Bytes of memory of a process and all below it; what they share counts for each."""
    total = 0
    for one in family(pid):
        status = Path(f"/proc/{one}/status").read_text()
        total += 1024 * int(status.partition("VmRSS:")[2].split()[0])
    return total


def report(found: dict[str, Figures], rounds: int) -> int:
    """Print the table; returns the status to exit with."""
    if any(not (each.speeds and each.waits and each.crowds) for each in found.values()):
        for name, each in found.items():
            print(name, *sorted(set(each.errors)), sep="\n  ")
        return 1
    direct = found[DIRECT]
    speeds = {name: statistics.median(each.speeds) for name, each in found.items()}
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(
        f"{rounds} rounds: medians of throughput ({BYTES / 1e9:.0f} GB) and of {CONCURRENT} at "
        f"once, {CONNECTIONS * rounds} connections for latency,\n{IDLE} idle tunnels; "
        f"{os.cpu_count()} processors, load {load}"
    )
    print(
        f"{'':16} {'MB/s':>6} {'':13} {'first byte, added ms':>20} {'':3} {CONCURRENT} at once"
        f" {'':6} memory, MB {'':8} of one\n{'':16} {'':6} {'of direct':>13} {'p50':>12} {'p99':>7}"
        f" {'ms':>9} {'errors':>7} {'empty':>7} {f'{IDLE}':>6} {'tunnel, kB':>11}"
    )
    p50, p99 = (percentile(direct.waits, each) for each in (50, 99))
    for name, each in found.items():
        line = (
            f"{name:16} {speeds[name] / 1e6:6.0f} {speeds[name] / speeds[DIRECT]:13.0%}"
            f" {(percentile(each.waits, 50) - p50) * 1000:12.2f}"
            f" {(percentile(each.waits, 99) - p99) * 1000:7.2f}"
            f" {statistics.median(each.crowds) * 1000:9.0f} {len(each.errors):7}"
        )
        if each.full:
            line += (
                f" {each.empty / 1e6:7.0f} {each.full / 1e6:6.0f}"
                f" {(each.full - each.empty) / IDLE / 1000:11.1f}"
            )
        print(line)
    print(f"direct itself: first byte after {p50 * 1000:.2f} ms (p50), {p99 * 1000:.2f} ms (p99)")
    for name, each in found.items():
        for error in sorted(set(each.errors)):
            print(f"{name}: {each.errors.count(error)} x {error}")
    missed = [name for name in BELOW if speeds[OURS] <= speeds[name]]
    missed += ["half of direct"] * (speeds[OURS] < speeds[DIRECT] / 2)
    for name in missed:
        print(f"the tunnel's throughput is not above: {name}")
    return 1 if missed or found[OURS].errors or direct.errors else 0


def percentile(values: list[float], part: int) -> float:
    """The value below which `part` per cent of them are."""
    return statistics.quantiles(values, n=100, method="inclusive")[part - 1]


if __name__ == "__main__":
    sys.exit(main())
