#!/usr/bin/env python3
"""Time from the command to the agent, beside plain firejail and bubblewrap in the same run.

Run as root with the checkout's `.venv/bin/python bench/start.py [--runs N]`. The agent is a small
Python program that prints the monotonic clock when it starts; plain engines start the same program
as the same user. "own share" is clsecure's time less that of the plain engine (user mode: less the
plain program). Runs of all subjects alternate, so that a slow moment meets all of them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from world import Human, new_human
from world.human import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable

AGENT = "#!/usr/bin/python3 -IS\nimport time\nprint(time.monotonic())\n"
MODES = {  # in the human's configuration, so that the command is just `clsecure`
    "user": "mode = user\n",
    "firejail": "engine = firejail\n",
    "bubblewrap": "engine = bubblewrap\n",
    "container": "mode = container\n",
}
PLAIN = {
    "user": (),
    "firejail": ("firejail", "--quiet", "--noprofile", "--caps.drop=all", "--seccomp", "--noroot"),
    "bubblewrap": (
        "bwrap",
        "--bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--unshare-pid",
    ),
}
SIZES = (20, 50_000)
PER_DIRECTORY = 50


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    with new_human() as human:
        subprocess.run(
            [PROGRAM, "setup"], check=True, env=human_environment(human), capture_output=True
        )
        agent = human.write("bin/claude", AGENT, mode=0o755)
        projects = {size: project(human, size) for size in SIZES}
        subjects: dict[str, Callable[[], float]] = {
            "--help": lambda: whole(human, PROGRAM, "--help")
        }
        subjects["python3 -IS"] = lambda: whole(human, "/usr/bin/python3", "-IS", "-c", "")
        for name, words in PLAIN.items():
            subjects[f"plain {name}"] = lambda words=words: to_agent(
                human, (*words, agent), human.home
            )
        for name, text in MODES.items():
            settings = human.write(f"settings/{name}/clsecure/config", text).parent.parent
            for size, top in projects.items():
                start = Start(human, settings, top)
                subjects[f"resume {name} {size}"] = start.resume
                subjects[f"first {name} {size}"] = start.first
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(runs):
            for name, subject in subjects.items():
                times[name].append(subject() * 1000)
        subprocess.run(
            [PROGRAM, "setup", "--remove"],
            check=False,
            env=human_environment(human),
            capture_output=True,
        )
    report({name: statistics.median(values) for name, values in times.items()}, runs)
    return 0


def human_environment(human: Human) -> dict[str, str]:
    """Root's environment, as sudo would make it for this human."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "SUDO_UID": str(human.account.pw_uid),
        "SUDO_USER": human.name,
    }


def project(human: Human, size: int) -> Path:
    """Make a repository of that many files."""
    top = human.home / f"src/files-{size}"
    script = (
        "import os, sys\n"
        "for n in range(int(sys.argv[1])):\n"
        f"    os.makedirs(f'd{{n // {PER_DIRECTORY}}}', exist_ok=True)\n"
        f"    open(f'd{{n // {PER_DIRECTORY}}}/f{{n}}.txt', 'w').write(f'{{n}}\\n')\n"
    )
    human.run("mkdir", "-p", top)
    human.run("git", "init", "-q", "-b", "main", cwd=top)
    human.run("python3", "-c", script, size, cwd=top)
    human.run("git", "add", "-A", cwd=top)
    human.run("git", "commit", "-q", "-m", "files", cwd=top)
    return top


def to_agent(
    human: Human, words: tuple[str | Path, ...], cwd: Path, env: dict[str, str] | None = None
) -> float:
    """Seconds from starting the command to the agent's first line."""
    argv = human.argv(words, env)
    began = time.monotonic()
    ended = subprocess.run(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    return float(ended.stdout.split()[0]) - began


def whole(human: Human, *words: str | Path) -> float:
    """Seconds of a whole command."""
    argv = human.argv(words)
    began = time.monotonic()
    subprocess.run(argv, cwd=human.home, capture_output=True, check=True)
    return time.monotonic() - began


class Start:
    """Starts `clsecure` in one project, with one mode in the human's configuration."""

    def __init__(self, human: Human, settings: Path, top: Path) -> None:
        self._human, self._top = human, top
        self._env = {"XDG_CONFIG_HOME": str(settings)}

    def first(self) -> float:
        """Start where there is no session."""
        self._human.clsecure("cleanup", "--yes", cwd=self._top, env=self._env)
        return self._run()

    def resume(self) -> float:
        """Start where a session is kept."""
        self._human.clsecure("exec", "--", "true", cwd=self._top, env=self._env)
        return self._run()

    def _run(self) -> float:
        return to_agent(self._human, (PROGRAM,), self._top, self._env)


def report(medians: dict[str, float], runs: int) -> None:
    """Print medians in milliseconds, own shares and ratios."""
    print(f"medians of {runs} runs, ms (runuser included in all)")
    for name, value in medians.items():
        kind, *rest = name.split(" ")
        line = f"{name:28} {value:7.1f}"
        if kind in ("first", "resume"):
            line += f"   own share {value - medians[f'plain {rest[0]}']:7.1f}"
            if rest[1] != str(SIZES[0]):
                line += (
                    f"   x{value / medians[f'{kind} {rest[0]} {SIZES[0]}']:.2f} of {SIZES[0]} files"
                )
        print(line)
    print(f"--help is x{medians['--help'] / medians['python3 -IS']:.1f} of an empty interpreter")


if __name__ == "__main__":
    sys.exit(main())
