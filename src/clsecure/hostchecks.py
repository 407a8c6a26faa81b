"""What a session needs of this host: each thing found, weak or missing, and what mends it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from clsecure import agent, agents, ahead, facts, modes, paths, privileged, process
from clsecure.choices import AgentName
from clsecure.errors import UserError
from clsecure.helper import cgroup, container, engines, trust
from clsecure.helper.protocol import List, Listed

_OLDEST_PYTHON = (3, 10)  # of the helper
_OLDEST_PODMAN = (4, 0)  # --passwd, --log-driver=passthrough
_OLDEST_GIT = (2, 31)  # git rev-parse --path-format
_OLDEST_KERNEL = (5, 12)  # mount_setattr(2)
_IDMAPPED_OVERLAY, _LAYERS_BY_DESCRIPTOR = (5, 19), (6, 13)
_ROOM, _NO_ROOM = 1 << 30, 64 << 20  # bytes
_STATE = "/var/lib"
_UPPER = ("ext4", "ext3", "ext2", "xfs", "btrfs", "tmpfs", "f2fs", "zfs")
_PACKAGES = {
    "useradd": {"dnf": "shadow-utils", "pacman": "shadow", "zypper": "shadow", "": "passwd"},
    "find": {"": "findutils"},
    "mkfs.ext4": {"": "e2fsprogs"},
    "python3": {"pacman": "python", "": "python3"},
}


class Status(StrEnum):
    """How it is."""

    OK = "ok"
    WEAK = "weak"  # a session runs, with less
    MISSING = "missing"  # no session runs in the default mode


@dataclass(frozen=True)
class Check:
    """One thing: its name, what it is for, what was found, and the command that mends it."""

    check: str
    status: Status
    purpose: str
    found: str
    mend: str = ""


def look(environ: Mapping[str, str], name: AgentName = AgentName.CLAUDE) -> tuple[Check, ...]:
    """Look at everything; nothing is changed and nobody is asked."""
    home = Path(os.path.realpath(paths.home(environ)))
    checks: list[Callable[[], Check]] = [
        _python,
        lambda: _sudo(environ),
        _git,
        _kernel,
        _user_namespaces,
        _seccomp,
        _cgroup,
        _limits,
        _disk,
        _engine,
        _containers,
        _accounts,
        _room,
        _tools,
        _images,
        lambda: _agent(environ, home, agents.declared(name)),
        lambda: _terminal(environ),
    ]
    return tuple(check() for check in checks)


def _python() -> Check:
    name, purpose = "python", "the root helper runs on it"
    version = _version(ahead.PYTHON)
    found = f"{ahead.PYTHON} {_dotted(version)}"
    if version < _OLDEST_PYTHON:
        found = found if version else f"no {ahead.PYTHON}"
        return Check(name, Status.MISSING, purpose, f"{found}; 3.10 is needed", _install("python3"))
    reason = trust.why_not(ahead.PYTHON)
    if reason:
        path = reason.split(" ")[0]
        mend = _as_root(f"chown root {path} && chmod go-w {path}", whole=True)
        return Check(name, Status.MISSING, purpose, reason, mend)
    return Check(name, Status.OK, purpose, f"{found}, root's alone")


def _sudo(environ: Mapping[str, str]) -> Check:
    name, purpose = "root", "the root helper makes the box"
    if os.getuid() == 0:
        return Check(name, Status.OK, purpose, "you are root")
    try:
        _try_helper(environ)
    except UserError as error:
        if "not installed" in error.message:
            return Check(name, Status.MISSING, purpose, "no sudo", f"as root: {_bare('sudo')}")
        found = f"{error.message} without a password"
        mend = "clsecure setup (or by an administrator: clsecure setup --for YOU)"
        return Check(name, Status.WEAK, purpose, found, mend)
    if ahead.has_rule() and ahead.is_installed():
        return Check(name, Status.OK, purpose, f"{ahead.INSTALLED}, by a sudo rule of its own")
    found = "sudo without a password, for more than clsecure's helper"
    return Check(name, Status.OK, purpose, found)


def _try_helper(environ: Mapping[str, str]) -> None:
    said, null = os.dup(2), os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 2)  # what sudo has to say is in the check
    try:
        helper = privileged.start(environ, may_ask=False)
        try:
            helper.ask(List(), Listed)
        finally:
            helper.close()
    finally:
        os.dup2(said, 2)
        os.close(said)
        os.close(null)


def _git() -> Check:
    version = _version("git")
    found, purpose = f"git {_dotted(version)}", "the project, and the way home"
    if version < _OLDEST_GIT:
        found = f"{found}; 2.31 is needed" if version else "no git"
        return Check("git", Status.MISSING, purpose, found, _install("git"))
    return Check("git", Status.OK, purpose, found)


def _kernel() -> Check:
    kernel, purpose = facts.kernel(), "the copy-on-write view of the project"
    found = f"Linux {_dotted(kernel)}"
    if kernel < _OLDEST_KERNEL:
        return Check("kernel", Status.MISSING, purpose, f"{found}; 5.12 is needed", _KERNEL)
    if kernel < _IDMAPPED_OVERLAY:
        found += ": projects are cloned instead; 5.19 has overlays on idmapped mounts"
        return Check("kernel", Status.WEAK, purpose, found, _KERNEL)
    return Check("kernel", Status.OK, purpose, found)


_KERNEL = "upgrade the distribution's kernel"


def _user_namespaces() -> Check:
    name, purpose = "user namespaces", "to swap your id and the worker's"
    most = _first_line("/proc/sys/user/max_user_namespaces")
    if not os.path.exists("/proc/self/ns/user") or most == "0":
        mend = _as_root("sysctl user.max_user_namespaces=10000")
        return Check(name, Status.MISSING, purpose, f"switched off (limit {most or '-'})", mend)
    return Check(name, Status.OK, purpose, f"up to {most}")


def _seccomp() -> Check:
    purpose = "system calls that lead out of the box are refused"
    if "errno" in _first_line("/proc/sys/kernel/seccomp/actions_avail").split():
        return Check("seccomp", Status.OK, purpose, "filters")
    return Check("seccomp", Status.MISSING, purpose, "not in this kernel", _KERNEL)


def _cgroup() -> Check:
    purpose = "a second way to end every process of a session"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        mounted = any(line.partition(" - ")[2].startswith("cgroup2 ") for line in file)
    if mounted:
        return Check("cgroup v2", Status.OK, purpose, "mounted")
    mend = _as_root("mount -t cgroup2 none /sys/fs/cgroup")
    found = "not mounted: the end of the pid namespace alone ends them"
    return Check("cgroup v2", Status.WEAK, purpose, found, mend)


def _limits() -> Check:
    purpose = "limits on memory, processors and processes"
    found = cgroup.hierarchies()
    offered = _first_line(f"{found['']}/cgroup.controllers").split() if "" in found else []
    held = dict.fromkeys(found, "cgroup v1") | dict.fromkeys(offered, "cgroup v2")
    words = [f"{name} by {held[name]}" for name in cgroup.CONTROLLERS if name in held]
    missing = [name for name in cgroup.CONTROLLERS if name not in held]
    if not missing:
        return Check("limits", Status.OK, purpose, ", ".join(words))
    words.append(f"no controller for {', '.join(missing)}: the weaker rlimits, if any")
    mend = "start the kernel with these controllers, or give them to this container"
    return Check("limits", Status.WEAK, purpose, "; ".join(words), mend)


def _disk() -> Check:
    name, purpose = "disk limit", "a disk of a given size for a session"
    if not _find("mkfs.ext4"):
        return Check(name, Status.WEAK, purpose, "no mkfs.ext4", _install("mkfs.ext4"))
    if not os.path.exists("/dev/loop-control"):
        mend = _as_root("modprobe loop")
        return Check(name, Status.WEAK, purpose, "no loop devices", mend)
    return Check(name, Status.OK, purpose, "mkfs.ext4, loop devices")


def _engine() -> Check:
    name, purpose = "engine", "namespace mode, the default"
    usable = []
    if _is_set_uid(engines.FIREJAIL):
        usable.append(f"firejail {_dotted(_version(engines.FIREJAIL))}")
    if os.access(engines.BUBBLEWRAP, os.X_OK) and os.access(engines.SETPRIV, os.X_OK):
        usable.append(f"bubblewrap {_dotted(_version(engines.BUBBLEWRAP))}")
    if usable:
        return Check(name, Status.OK, purpose, ", ".join(usable))
    found = "neither firejail (set-uid root) nor bubblewrap (with setpriv)"
    return Check(name, Status.MISSING, purpose, found, _install("firejail"))


def _containers() -> Check:
    name, purpose = "containers", "container mode, where it is asked for"
    missing = facts.missing_for_containers()
    if missing:
        found = f"no {', '.join(missing)}"
        mend = _as_root(modes.install_hint(" ".join(missing)))
        return Check(name, Status.WEAK, purpose, found, mend)
    version = _version(container.PODMAN)
    found = f"podman {_dotted(version)}, crun {_dotted(_version(container.CRUN))}"
    if version < _OLDEST_PODMAN:
        return Check(name, Status.WEAK, purpose, f"{found}; 4.0 is needed", _install("podman"))
    if not os.path.exists("/etc/subuid"):
        mend = _as_root("touch /etc/subuid /etc/subgid")
        return Check(name, Status.WEAK, purpose, f"{found}, but no /etc/subuid", mend)
    return Check(name, Status.OK, purpose, found)


def _accounts() -> Check:
    purpose = "each project's worker is a user of its own"
    missing = [name for name in ("useradd", "userdel") if not _find(name)]
    if missing:
        return Check("users", Status.MISSING, purpose, f"no {missing[0]}", _install("useradd"))
    return Check("users", Status.OK, purpose, "useradd, userdel")


def _room() -> Check:
    status, purpose = os.statvfs(_STATE), "sessions are kept in /var/lib/clsecure"
    free, kind = status.f_bavail * status.f_frsize, facts.filesystem_of(Path(_STATE))
    found = f"{free / (1 << 30):.1f} GiB free, {kind}"
    mend = f"make room in {_STATE}"
    if free < _NO_ROOM:
        return Check("room", Status.MISSING, purpose, found, mend)
    if kind not in _UPPER:
        mend = f"mount ext4, xfs or btrfs at {_STATE}/clsecure"
        return Check("room", Status.WEAK, purpose, f"{found}: may not hold an upper layer", mend)
    return Check("room", Status.WEAK if free < _ROOM else Status.OK, purpose, found, mend)


def _tools() -> Check:
    purpose = "secrets are found; copies, where no overlay can be"
    missing = [name for name in ("find", "grep", "tar") if not _find(name)]
    if missing:
        found = f"no {', '.join(missing)}"
        return Check("tools", Status.MISSING, purpose, found, _install(missing[0]))
    return Check("tools", Status.OK, purpose, "find, grep, tar")


def _images() -> Check:
    purpose = "pulls images for container mode"
    if not _find("skopeo"):
        return Check("images", Status.WEAK, purpose, "no skopeo", _install("skopeo"))
    return Check("images", Status.OK, purpose, f"skopeo {_dotted(_version('skopeo'))}")


def _agent(environ: Mapping[str, str], home: Path, declared: agents.Declaration) -> Check:
    purpose = "the coding agent itself"
    try:
        found = agent.find(environ, home, home / "no such project", declared)
    except UserError as error:
        return Check("agent", Status.MISSING, purpose, f"no {declared.name}", error.hint)
    return Check("agent", Status.OK, purpose, f"{declared.name}: {found.program}")


def _terminal(environ: Mapping[str, str]) -> Check:
    purpose = "the agent's screen, and questions"
    kind = environ.get("TERM", "")
    if not (os.isatty(0) and os.isatty(1)):
        found = "none here: nothing is asked, and the agent has no screen"
        return Check("terminal", Status.WEAK, purpose, found, "start clsecure in a terminal")
    if kind in ("", "dumb"):
        found = f"TERM is {kind or 'not set'}"
        return Check("terminal", Status.WEAK, purpose, found, "export TERM=xterm-256color")
    return Check("terminal", Status.OK, purpose, kind)


def _version(program: str) -> tuple[int, ...]:
    """Return the numbers of what `--version` prints; empty where it does not run."""
    try:
        said = process.run(program, "--version", env={"PATH": _PATH, "LC_ALL": "C"}, check=False)
    except OSError:
        return ()
    found = re.search(r"\d+(\.\d+)+", said.text)
    return tuple(map(int, found[0].split("."))) if found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "?"


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _find(program: str) -> str:
    places = (f"{directory}/{program}" for directory in _PATH.split(":"))
    return next((path for path in places if os.access(path, os.X_OK)), "")


def _is_set_uid(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_uid == 0 and bool(status.st_mode & 0o4000)


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _install(program: str) -> str:
    return _as_root(_bare(program))


def _bare(program: str) -> str:
    names = _PACKAGES.get(program, {"": program})
    manager = next((name for name in modes.INSTALL if _find(name)), "")
    return modes.install_hint(names.get(manager, names[""]))


def _as_root(command: str, *, whole: bool = False) -> str:
    if os.getuid() == 0:
        return command
    return f"sudo sh -c '{command}'" if whole else f"sudo {command}"
