"""The options about how much of the host a session may use."""

from __future__ import annotations

from clsecure.declaration import SETTINGS, Flag, Group, Kind, Option

_LOWER = "A project's file can only lower what you have set."

LIMITS: tuple[Option, ...] = (
    Option(
        name="memory",
        kind=Kind.SIZE,
        group=Group.LIMITS,
        flags=(Flag(("--memory",), "memory of all its processes together", metavar="SIZE"),),
        commands=SETTINGS,
        key="memory",
        project=True,
        bounds=(64 << 20, 1 << 50),
        meaning="Memory of all processes of the session together, with their files in `/tmp`, of "
        "which swap is no part: at least 64M. A program that needs more is ended by the kernel. "
        f"{_LOWER}",
    ),
    Option(
        name="cpus",
        kind=Kind.CPUS,
        group=Group.LIMITS,
        flags=(Flag(("--cpus",), "processors' time, in processors", metavar="NUMBER"),),
        commands=SETTINGS,
        key="cpus",
        project=True,
        bounds=(0.05, 8192),
        meaning="Time of the processors: with `1.5`, one and a half processors' worth of it. "
        f"{_LOWER}",
    ),
    Option(
        name="pids",
        kind=Kind.COUNT,
        group=Group.LIMITS,
        flags=(Flag(("--pids",), "processes and threads at a time", metavar="NUMBER"),),
        commands=SETTINGS,
        key="pids",
        project=True,
        bounds=(16, 1 << 22),
        meaning="Processes and threads at a time, of which the box itself needs up to five: at "
        f"least 16. {_LOWER}",
    ),
    Option(
        name="disk",
        kind=Kind.SIZE,
        group=Group.LIMITS,
        flags=(Flag(("--disk",), "what a fresh session may write", metavar="SIZE"),),
        commands=SETTINGS,
        key="disk",
        project=True,
        bounds=(32 << 20, 1 << 43),
        meaning="What a session may write to its workspace, home and repository: at least 32M. It "
        "is settled when the session is made, and a kept one stays as it is. Needs loop devices "
        f"and `mkfs.ext4`. {_LOWER}",
    ),
    Option(
        name="time",
        kind=Kind.TIME,
        group=Group.LIMITS,
        flags=(Flag(("--time",), "how long the agent may run", metavar="TIME"),),
        commands=SETTINGS,
        key="time",
        project=True,
        bounds=(1, 1_000_000),
        meaning="How long the agent, or the command of `exec` and `shell`, may run. It is asked to "
        f"end then (SIGTERM), and ended two seconds later; the exit code is 124. {_LOWER}",
    ),
)
