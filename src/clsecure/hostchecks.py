"""What a session needs of this host: each thing found, weak or missing, and what mends it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from clsecure import agent, agents, ahead, containerchecks, facts, paths, privileged
from clsecure.choices import AgentName
from clsecure.errors import UserError
from clsecure.helper import cgroup, engines, trust
from clsecure.helper.protocol import List, Listed
from clsecure.hostfinds import (
    Check,
    Status,
    as_root,
    bare,
    dotted,
    find,
    first_line,
    install,
    is_set_uid,
    version_of,
)

_OLDEST_PYTHON = (3, 10)  # of the helper
_OLDEST_GIT = (2, 31)  # git rev-parse --path-format
_OLDEST_KERNEL = (5, 12)  # mount_setattr(2)
_IDMAPPED_OVERLAY = (5, 19)
_ROOM, _NO_ROOM = 1 << 30, 64 << 20  # bytes
_STATE = "/var/lib"
_UPPER = ("ext4", "ext3", "ext2", "xfs", "btrfs", "tmpfs", "f2fs", "zfs")


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
        containerchecks.containers,
        _accounts,
        _room,
        _tools,
        containerchecks.images,
        lambda: _agent(environ, home, agents.declared(name)),
        lambda: _terminal(environ),
    ]
    return tuple(check() for check in checks)


def _python() -> Check:
    name, purpose = "python", "the root helper runs on it"
    version = version_of(ahead.PYTHON)
    found = f"{ahead.PYTHON} {dotted(version)}"
    if version < _OLDEST_PYTHON:
        found = found if version else f"no {ahead.PYTHON}"
        return Check(name, Status.MISSING, purpose, f"{found}; 3.10 is needed", install("python3"))
    reason = trust.why_not(ahead.PYTHON)
    if reason:
        path = reason.split(" ")[0]
        mend = as_root(f"chown root {path} && chmod go-w {path}", whole=True)
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
            return Check(name, Status.MISSING, purpose, "no sudo", f"as root: {bare('sudo')}")
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
    version = version_of("git")
    found, purpose = f"git {dotted(version)}", "the project, and the way home"
    if version < _OLDEST_GIT:
        found = f"{found}; 2.31 is needed" if version else "no git"
        return Check("git", Status.MISSING, purpose, found, install("git"))
    return Check("git", Status.OK, purpose, found)


def _kernel() -> Check:
    kernel, purpose = facts.kernel(), "the copy-on-write view of the project"
    found = f"Linux {dotted(kernel)}"
    if kernel < _OLDEST_KERNEL:
        return Check("kernel", Status.MISSING, purpose, f"{found}; 5.12 is needed", _KERNEL)
    if kernel < _IDMAPPED_OVERLAY:
        found += ": projects are cloned instead; 5.19 has overlays on idmapped mounts"
        return Check("kernel", Status.WEAK, purpose, found, _KERNEL)
    return Check("kernel", Status.OK, purpose, found)


_KERNEL = "upgrade the distribution's kernel"


def _user_namespaces() -> Check:
    name, purpose = "user namespaces", "to swap your id and the worker's"
    most = first_line("/proc/sys/user/max_user_namespaces")
    if not os.path.exists("/proc/self/ns/user") or most == "0":
        mend = as_root("sysctl user.max_user_namespaces=10000")
        return Check(name, Status.MISSING, purpose, f"switched off (limit {most or '-'})", mend)
    return Check(name, Status.OK, purpose, f"up to {most}")


def _seccomp() -> Check:
    purpose = "system calls that lead out of the box are refused"
    if "errno" in first_line("/proc/sys/kernel/seccomp/actions_avail").split():
        return Check("seccomp", Status.OK, purpose, "filters")
    return Check("seccomp", Status.MISSING, purpose, "not in this kernel", _KERNEL)


def _cgroup() -> Check:
    purpose = "a second way to end every process of a session"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        mounted = any(line.partition(" - ")[2].startswith("cgroup2 ") for line in file)
    if mounted:
        return Check("cgroup v2", Status.OK, purpose, "mounted")
    mend = as_root("mount -t cgroup2 none /sys/fs/cgroup")
    found = "not mounted: the end of the pid namespace alone ends them"
    return Check("cgroup v2", Status.WEAK, purpose, found, mend)


def _limits() -> Check:
    purpose = "limits on memory, processors and processes"
    found = cgroup.hierarchies()
    offered = first_line(f"{found['']}/cgroup.controllers").split() if "" in found else []
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
    if not find("mkfs.ext4"):
        return Check(name, Status.WEAK, purpose, "no mkfs.ext4", install("mkfs.ext4"))
    if not os.path.exists("/dev/loop-control"):
        mend = as_root("modprobe loop")
        return Check(name, Status.WEAK, purpose, "no loop devices", mend)
    return Check(name, Status.OK, purpose, "mkfs.ext4, loop devices")


def _engine() -> Check:
    name, purpose = "engine", "namespace mode, the default"
    usable = []
    if is_set_uid(engines.FIREJAIL):
        usable.append(f"firejail {dotted(version_of(engines.FIREJAIL))}")
    if os.access(engines.BUBBLEWRAP, os.X_OK) and os.access(engines.SETPRIV, os.X_OK):
        usable.append(f"bubblewrap {dotted(version_of(engines.BUBBLEWRAP))}")
    if usable:
        return Check(name, Status.OK, purpose, ", ".join(usable))
    found = "neither firejail (set-uid root) nor bubblewrap (with setpriv)"
    return Check(name, Status.MISSING, purpose, found, install("firejail"))


def _accounts() -> Check:
    purpose = "each project's worker is a user of its own"
    missing = [name for name in ("useradd", "userdel") if not find(name)]
    if missing:
        return Check("users", Status.MISSING, purpose, f"no {missing[0]}", install("useradd"))
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
    missing = [name for name in ("find", "grep", "tar") if not find(name)]
    if missing:
        found = f"no {', '.join(missing)}"
        return Check("tools", Status.MISSING, purpose, found, install(missing[0]))
    return Check("tools", Status.OK, purpose, "find, grep, tar")


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
