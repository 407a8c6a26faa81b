"""A session that a test can strike at a chosen moment, and what it may leave behind then."""

from __future__ import annotations

import fcntl
import os
import pwd
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clsecure.helper.accounts import PREFIX
from world.human import PROGRAM
from world.leftovers import STATE, Process, cgroups, mounts_of, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from world import Human

SECONDS = 2.0  # after a death nothing of the session may be left
_PATIENCE = 30.0


class Running:
    """clsecure as the human started it: on a terminal that is the test's, or on pipes."""

    def __init__(
        self,
        human: Human,
        *words: str,
        cwd: Path,
        on_terminal: bool,
        env: Mapping[str, str] | None = None,
        before: tuple[str, ...] = (),
    ) -> None:
        self._human = human
        ours, theirs = os.openpty() if on_terminal else os.pipe()
        variables = {**human.environment, "NO_COLOR": "1", **(env or {})}
        # Each of these execs the next: the process is clsecure in the end, and leads its session.
        argv = [*before, "setsid", *(["--ctty"] if on_terminal else []), "setpriv", "--init-groups"]
        argv += [f"--reuid={human.name}", f"--regid={human.name}", "env", "-i"]
        argv += [f"{name}={value}" for name, value in variables.items()]
        self._process = subprocess.Popen(
            [*argv, str(PROGRAM), *words],
            cwd=cwd,
            stdin=theirs if on_terminal else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._ours = ours
        self._open = True
        self.said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            self.hang_up()
        self._process.kill()
        self._process.wait()

    def wait_for(self, text: str) -> None:
        """Read until clsecure, or the agent, has said this."""
        end = time.monotonic() + _PATIENCE
        while text not in self.said:
            assert time.monotonic() < end, f"no {text!r} in:\n{self.said}"
            assert self._read(0.2) or self._process.poll() is None, self.said

    def wait_until(self, workers: str, runs: Callable[[Process], bool]) -> Process:
        """Wait for a process of this session; what is said meanwhile is read."""
        end = time.monotonic() + _PATIENCE
        while True:
            for process in traced(self._human, workers):
                if runs(process):
                    return process
            assert time.monotonic() < end, f"no such process:\n{self.said}"
            self._read(0)

    def helper(self, workers: str) -> Process:
        """Wait for root's helper, the child of sudo."""
        return self.wait_until(workers, is_helper)

    def enter(self, line: str) -> None:
        """Type a line."""
        os.write(self._ours, f"{line}\r".encode())

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Kill clsecure itself, or send it another signal."""
        self._process.send_signal(number)

    def hang_up(self) -> None:
        """Close the terminal, as its window does."""
        os.close(self._ours)
        self._open = False

    def ended(self) -> int:
        """Wait for clsecure's end, as long as it may take; returns its code."""
        code = self._process.wait(SECONDS)
        while self._read(0.05):
            pass
        return code

    def _read(self, seconds: float) -> bool:
        if not self._open or not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # EIO: nobody has the other end
            data = b""
        self.said += data.decode(errors="replace")
        return bool(data)


def is_helper(process: Process) -> bool:
    """Say whether this is the helper itself: not sudo, not the box's init, not a short-lived fork.

    Only the helper is a child of sudo, and what it forks has a command line of the same words.
    """
    if not process.words[0].endswith("python3") or "helper" not in process.name:
        return False
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        parent = status.partition("PPid:\t")[2].partition("\n")[0]
        return Path(f"/proc/{parent}/comm").read_text() == "sudo\n"
    except OSError:
        return False


def traced(human: Human, workers: str) -> list[Process]:
    """The processes of the human's and of these workers, root's in their service too."""
    ids = worker_ids(workers)
    return [
        process
        for process in processes()
        if process.serves(human.account) or process.uid in ids or workers in process.name
    ]


def worker_ids(workers: str) -> set[int]:
    """The user ids of the workers whose names begin so."""
    return {one.pw_uid for one in pwd.getpwall() if one.pw_name.startswith(workers)}


def worker_names(workers: str) -> set[str]:
    """What the system knows of such workers: users and root's state."""
    users = {one.pw_name for one in pwd.getpwall() if one.pw_name.startswith(workers)}
    return users | {place.name for place in STATE.glob(f"{workers}*")}


def cgroups_of(workers: str) -> list[Path]:
    """The cgroup directories of such workers."""
    return [place for place in cgroups() if place.name.startswith(workers)]


def living(human: Human, workers: str, but: int) -> list[str]:
    """What of such sessions is still under way: processes, mounts, cgroups in use, locks."""
    there = [one for one in traced(human, workers) if one.uid != but]
    found = [f"process {one.pid} {one.uid} {one.name}" for one in there]
    found += [f"mount {line}" for line in mounts_of(workers)]
    for place in cgroups_of(workers):
        try:
            found += [f"cgroup {place}"] * bool((place / "cgroup.procs").read_text())
        except OSError:
            continue
    found += [f"lock {path}" for path in STATE.glob(f"{workers}*/lock") if _is_locked(path)]
    return found


def assert_all_ends(human: Human, workers: str, since: float, *, but: int = -1) -> None:
    """Nothing may be under way any more `SECONDS` after that time, but for that user's own."""
    while found := living(human, workers, but):
        assert time.monotonic() < since + SECONDS, "\n".join(found)
        time.sleep(0.02)


def prefix(project: str) -> str:
    """How the names of a project's workers begin."""
    return f"{PREFIX}{project}-"


def kill(pid: int) -> None:
    """Kill a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
