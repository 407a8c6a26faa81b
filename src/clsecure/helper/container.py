"""What podman is told and given: places of the box, settings of root's, a fresh state."""

from __future__ import annotations

import os
import time

from .layout import INSIDE, ROOTFS, Mount, outermost, within
from .records import Record

PLACE = "/run/podman"  # of root's: podman's settings, and a fresh directory of state for a command
PODMAN = "/usr/bin/podman"
CRUN = "/usr/bin/crun"  # of the OCI runtimes the one that can leave cgroups alone
NEWUIDMAP = ("/usr/bin/newuidmap", "/usr/bin/newgidmap")


class Range(Record):
    """Subordinate ids: `count` of them from `first` on, which are 0 and up in the container."""

    first: int
    count: int


def subordinate(worker: str) -> tuple[Range, ...]:
    """Return the worker's subordinate user and group ids (subuid(5), subgid(5)); empty: none."""
    found = []
    for path in ("/etc/subuid", "/etc/subgid"):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            fields = [line.strip().split(":") for line in file if line.startswith(f"{worker}:")]
        if not fields:
            return ()
        found.append(Range(first=int(fields[0][1]), count=int(fields[0][2])))
    return tuple(found)


class Bind(Record):
    """A place of the box that the container has, too."""

    path: str
    writable: bool


def binds(mounts: tuple[Mount, ...]) -> tuple[Bind, ...]:
    """Return what of the box is shown in the container, what lies in it included."""
    scratch = ("/proc", "/run", "/run/lock")
    theirs = [m for m in mounts if m.at not in scratch and not within(m.at, ROOTFS)]
    writable = outermost(tuple(m.at for m in theirs if m.writable))
    shown = outermost(tuple(m.at for m in mounts if m.kind == "exposed"))
    kept = [path for path in shown if not any(within(path, other) for other in writable)]
    return (
        *(Bind(path=path, writable=True) for path in writable),
        *(Bind(path=path, writable=False) for path in (*kept, INSIDE)),
    )


def prepare(uid: int, gid: int) -> dict[str, str]:
    """Make podman's state for one command, fresh; returns podman's environment.

    With an older state podman would join namespaces that have ended, or that a command has chosen.
    """
    name = f"{PLACE}/{time.monotonic_ns()}"
    os.mkdir(name, 0o700)
    os.chown(name, uid, gid)
    storage(f"{name}.conf", images=f"{name}/storage", state=name)
    return {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "LC_ALL": "C",
        "HOME": name,
        "XDG_RUNTIME_DIR": name,
        "CONTAINERS_CONF": f"{PLACE}/containers.conf",
        "CONTAINERS_STORAGE_CONF": f"{name}.conf",
    }


def storage(path: str, *, images: str, state: str) -> None:
    """Write a configuration file of containers-storage.conf(5)."""
    lines = (
        "[storage]",
        'driver = "overlay"',
        *(f'{key} = "{images}"' for key in ("graphroot", "rootless_storage_path")),
        f'runroot = "{state}/run"',
    )
    write(path, "".join(f"{line}\n" for line in lines).encode())


def settle() -> None:
    """Write podman's settings, before anything of the worker runs."""
    # Root's own, so that nothing that a command has put into its home speaks to the next podman.
    if not os.path.isdir(PLACE):
        os.mkdir(PLACE, 0o755)
    write(f"{PLACE}/containers.conf", b"")


def write(path: str, content: bytes, *, mode: int = 0o644) -> None:
    """Write a new file of root's."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, mode)
    while content:
        content = content[os.write(file, content) :]
    os.close(file)
