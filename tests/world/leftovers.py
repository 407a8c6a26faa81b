"""What clsecure and its tests can leave on a machine, and whose it is: the end of every run looks.

Several runs may share a machine: each notes the humans that it made, and where another run is
seen, only what is theirs counts. A run that is alone answers for everything new.
"""

from __future__ import annotations

import json
import os
import pwd
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clsecure.helper.accounts import FIRST_ID, LAST_ID, PREFIX
from clsecure.helper.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

HUMAN = "clsecure-t-"
STATE = Path(ROOT)
ALONE = "CLSECURE_TEST_ALONE"  # environment: what others leave is this run's, too
REGISTER = "CLSECURE_TEST_HUMANS"  # environment: the file in which a run notes its humans
_KEPT = ("users.lock", "last-uid", "images")  # root's own, and meant to stay
_DATABASES = ("passwd", "group", "subuid", "subgid")
_SHARED = ("home", "tmp", "var/tmp", "dev/shm", "run", "opt", "srv")
_PLACES = (
    *(f"{place}/{name}*" for place in _SHARED for name in (HUMAN, PREFIX)),
    "etc/sudoers.d/*clsecure*",
    "run/netns/*",
    "etc/netns/*",
    "usr/lib/clsecure*",
)
_WORKER = re.compile(rf"{PREFIX}[a-z0-9-]+")
_OWNER = re.compile(rf"(?:SUDO_USER=|HOME=/home/)({HUMAN}[0-9a-f]+)")


class Left(NamedTuple):
    """One thing that should be gone; `owner` is the human's name or user id, where it shows."""

    kind: str
    name: str
    owner: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


class Process(NamedTuple):
    """A process as /proc shows it to root."""

    pid: int
    uid: int
    words: tuple[str, ...]
    environment: str

    @property
    def name(self) -> str:
        """Program and arguments."""
        return " ".join(self.words)

    def serves(self, account: pwd.struct_passwd) -> bool:
        """Say whether it is that user's, or somebody's who was told of them: root's, a worker's."""
        told = account.pw_name in self.environment
        by_sudo = f"SUDO_UID={account.pw_uid}" in self.environment.split("\0")
        return self.uid == account.pw_uid or told or by_sudo


def leftovers() -> frozenset[Left]:
    """Everything that is on this machine now."""
    owners = _owners()
    return frozenset(
        one._replace(owner=_follow(one.owner, owners))
        for find in (_accounts, _files, _state, _processes, _mounts, _cgroups, _loops)
        for one in find()
    )


def new_since(before: frozenset[Left], mine: frozenset[str]) -> list[Left]:
    """What has come since `before` and is still there; `mine` are the humans of this run."""
    now = leftovers()
    others = {one.owner for one in now | before if one.owner.startswith(HUMAN)} - mine
    if ALONE in os.environ:
        others = set()
    new = now - before
    return sorted(one for one in new if not others or one.owner in mine)


def registered() -> frozenset[str]:
    """The humans that this run has made: their names and their user ids."""
    try:
        return frozenset(Path(os.environ[REGISTER]).read_text().split())
    except FileNotFoundError:
        return frozenset()


def register(account: pwd.struct_passwd) -> None:
    """Note a human of this run."""
    if REGISTER in os.environ:
        with open(os.environ[REGISTER], "a") as file:
            file.write(f"{account.pw_name} {account.pw_uid}\n")


def processes() -> Iterator[Process]:
    """Yield every process but those of the kernel."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
                environment = Path(f"/proc/{entry}/environ").read_bytes().decode(errors="replace")
                uid = os.stat(f"/proc/{entry}").st_uid
                real = int(_field(Path(f"/proc/{entry}/status").read_text(), "Uid:"))
            except OSError:
                continue  # it has ended meanwhile
            if words:
                parts = tuple(words.rstrip("\0").split("\0"))
                yield Process(int(entry), real or uid, parts, environment)


def mounts_of(pattern: str) -> list[str]:
    """The mounts whose line in any process's mountinfo holds `pattern`."""
    found, seen = [], set()
    for entry in os.listdir("/proc"):
        try:
            namespace = os.readlink(f"/proc/{entry}/ns/mnt") if entry.isdigit() else ""
            if namespace and namespace not in seen:
                seen.add(namespace)
                lines = Path(f"/proc/{entry}/mountinfo").read_text(errors="replace").splitlines()
                found += [f"{namespace} {line}" for line in lines if pattern in line]
        except OSError:
            continue
    return found


def cgroups() -> Iterator[Path]:
    """Yield the sessions' cgroup directories."""
    root = Path("/sys/fs/cgroup")
    for hierarchy in (root, *root.glob("*/")):
        with suppress(OSError):  # they come and go
            yield from [place for place in (hierarchy / "clsecure").iterdir() if place.is_dir()]


def loop_devices() -> list[str]:
    """Return the loop devices whose files are sessions' state, and these files."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # they come and go
            file = backing.read_text().strip()
            found += [f"{backing.parts[3]} {file}"] if file.startswith(f"{ROOT}/") else []
    return found


def _owners() -> dict[str, str]:
    # From user id to name, and from worker to human: a name, or the id where the human is gone.
    names = {str(one.pw_uid): one.pw_name for one in pwd.getpwall()}
    owners = dict(names)
    for directory in STATE.glob("*/"):
        uid = _human_of(directory)
        owners[directory.name] = names.get(uid, uid)
    return owners


def _follow(owner: str, owners: dict[str, str]) -> str:
    for _ in range(2):
        owner = owners.get(owner, owner)
    return owner


def _human_of(directory: Path) -> str:
    for name in ("record.json", "maker"):
        try:
            said = json.loads((directory / name).read_text())
        except (OSError, ValueError):
            continue
        return str(said["human"] if isinstance(said, dict) else said)
    return ""


def _accounts() -> Iterator[Left]:
    for database in _DATABASES:
        for line in Path("/etc", database).read_text().splitlines():
            name = line.partition(":")[0]
            if name.startswith((HUMAN, PREFIX)):
                yield Left(database, name, name)


def _files() -> Iterator[Left]:
    for place in _PLACES:
        for path in Path("/").glob(place):
            yield Left("file", str(path), path.name)


def _state() -> Iterator[Left]:
    for place in STATE.glob("*"):
        if place.name not in _KEPT:
            yield Left("state", str(place), place.name)
    for place in STATE.glob("images/*"):
        yield Left("images", str(place), place.name)


def _processes() -> Iterator[Left]:
    for process in processes():
        shown = _OWNER.search(process.environment)
        if shown or FIRST_ID <= process.uid <= LAST_ID:
            owner = shown[1] if shown else str(process.uid)
            yield Left("process", f"{process.pid} {process.name}", owner)


def _mounts() -> Iterator[Left]:
    for line in mounts_of(PREFIX):
        yield Left("mount", line, _WORKER.findall(line)[0])


def _cgroups() -> Iterator[Left]:
    for place in cgroups():
        yield Left("cgroup", str(place), place.name)


def _loops() -> Iterator[Left]:
    for line in loop_devices():
        yield Left("loop device", line, _WORKER.findall(line)[0])


def _field(status: str, name: str) -> str:
    return next(line.split()[1] for line in status.splitlines() if line.startswith(name))
