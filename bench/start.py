#!/usr/bin/env python3
"""Time from the command to the agent, beside plain firejail and bubblewrap in the same run.

Run as root with the checkout's `.venv/bin/python bench/start.py [--runs N] [--bare]`. The agent is
a small Python program that prints the monotonic clock when it starts; plain engines start the same
program as the same user. "own share" is clsecure's time less that of the plain engine (user mode:
less the plain program). Runs of all subjects alternate, so that a slow moment meets all of them.
The home is furnished: tools of five managers and their caches are shown, secrets in the project are
hidden, Claude's settings and a key are there; `--bare` leaves all that out.

Container mode runs on the host's programs, and on an image of some 250 MB made of them, which plain
rootless podman runs as well. Its limits are on the whole time to the agent.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from furnished import furnish, furnish_project

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
    "image": "mode = container\nimage = {image}\n",
}
# Programs and libraries of this host, enough for the agent, and for a realistic size.
IN_IMAGE = (
    *("usr/bin/python3*", "usr/bin/[a-g]*", "usr/lib/python3*", "usr/lib/git-core"),
    "usr/lib/*-linux-gnu/lib[a-f]*.so*",
    *(f"usr/lib/*-linux-gnu/lib{name}*" for name in ("m.so", "m-", "z.so", "resolv", "pthread")),
)
PODMAN = ("podman", "--cgroup-manager=cgroupfs", "--events-backend=none")
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
    parser.add_argument("--bare", action="store_true")
    words = parser.parse_args()
    runs = words.runs
    with new_human() as human:
        subprocess.run(
            [PROGRAM, "setup"], check=True, env=human_environment(human), capture_output=True
        )
        agent = human.write("bin/claude", AGENT, mode=0o755)
        image, plain_image = make_image(human)
        projects = {size: project(human, size) for size in SIZES}
        if not words.bare:
            furnish(human)
            for top in projects.values():
                furnish_project(human, top)
        subjects: dict[str, Callable[[], float]] = {
            "--help": lambda: whole(human, PROGRAM, "--help")
        }
        subjects["python3 -IS"] = lambda: whole(human, "/usr/bin/python3", "-IS", "-c", "")
        for name, words in PLAIN.items():
            subjects[f"plain {name}"] = lambda words=words: to_agent(
                human, (*words, agent), human.home
            )
        shown = ("--network=none", "--volume", f"{agent}:/claude:ro", plain_image, "/claude")
        subjects["plain image"] = lambda: to_agent(human, (*plain_podman(), *shown), human.home)
        for name, text in MODES.items():
            place = f"settings/{name}/clsecure/config"
            settings = human.write(place, text.format(image=image)).parent.parent
            for size, top in projects.items():
                start = Start(human, settings, top)
                subjects[f"resume {name} {size}"] = start.resume
                subjects[f"first {name} {size}"] = start.first
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(runs):
            for name, subject in subjects.items():
                times[name].append(subject() * 1000)
        print(f"{disk_of_workers(human) / 1e6:.1f} MB of disk for each of the last sessions")
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


def make_image(human: Human) -> tuple[str, str]:
    """Make an image of this host's programs; returns how clsecure and how podman name it."""
    script = f"""
    mkdir -p t/tmp t/etc t/root && cd t
    (cd / && tar -c --ignore-failed-read {" ".join(IN_IMAGE)} 2>/dev/null) | tar -x 2>/dev/null
    for name in bin sbin lib lib64; do [ ! -L /$name ] || ln -s usr/$name $name; done
    cp -rL --parents /lib64/ld-* . 2>/dev/null; mkdir -p usr/lib64 usr/sbin
    cp -L /lib64/ld-linux* usr/lib64/ 2>/dev/null; du -sm . | cut -f1
    tar -c . | podman --cgroup-manager=cgroupfs import -q - bench >/dev/null 2>&1
    podman --cgroup-manager=cgroupfs save -q --format=oci-archive -o ../image.tar bench
    cd .. && chmod -R u+w t && rm -r t
    """
    human.write(
        ".config/containers/storage.conf",
        '[storage]\ndriver = "overlay"\n',
    )
    size = human.run("sh", "-c", script, seconds=300).stdout.strip()
    print(f"an image of {size} MB")
    name = f"oci-archive:{human.home}/image.tar"
    human.clsecure("image", "pull", name, seconds=300)
    return name, "localhost/bench"


def plain_podman() -> tuple[str, ...]:
    """Rootless podman, with the runtime that takes this host's cgroups."""
    runtime = ("--runtime=runc",) if shutil.which("runc") else ()
    return (*PODMAN, *runtime, "run", "--rm", "--read-only", "--cap-drop=all")


def disk_of_workers(human: Human) -> float:
    """Bytes of disk that a session of this human takes, on average."""
    states = [Path("/var/lib/clsecure", worker) for worker in human.workers()]
    used = subprocess.run(["du", "-sxB1", *states], check=True, capture_output=True, text=True)
    return statistics.mean(int(line.split()[0]) for line in used.stdout.splitlines())


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
        self._human.clsecure("exec", "--", "env", cwd=self._top, env=self._env)
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
            if f"plain {rest[0]}" in medians:
                line += f"   own share {value - medians[f'plain {rest[0]}']:7.1f}"
            if rest[1] != str(SIZES[0]):
                line += (
                    f"   x{value / medians[f'{kind} {rest[0]} {SIZES[0]}']:.2f} of {SIZES[0]} files"
                )
        print(line)
    print(f"--help is x{medians['--help'] / medians['python3 -IS']:.1f} of an empty interpreter")


if __name__ == "__main__":
    sys.exit(main())
