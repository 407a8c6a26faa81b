"""How each engine is called: from the gate's argv to the argv that root's init starts.

Arguments and environment of the command itself never pass through an engine: the gate reads them
from a file (firejail, for one, refuses more than 128 arguments and long variables).
"""

from __future__ import annotations

from . import container
from .layout import ROOTFS, Mount, bindable, has_writable_root
from .records import Record

FIREJAIL = "/usr/bin/firejail"
BUBBLEWRAP = "/usr/bin/bwrap"
SETPRIV = "/usr/bin/setpriv"
PYTHON = "/usr/bin/python3"
# What root of a container may do with files and ids of its own, to install packages: and no more.
# By their numbers in linux/capability.h.
CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SYS_CHROOT": 18,
    "SETFCAP": 31,
}


class Start(Record):
    """What init starts: as root for an engine that drops the rights itself, else as the worker."""

    argv: tuple[str, ...]
    as_root: bool


def start(
    engine: str,
    gate: tuple[str, ...],
    *,
    uid: int | str,
    gid: int | str,
    mounts: tuple[Mount, ...],
    rooted: bool = False,
) -> Start:
    """Return how the gate is started in that engine (none, firejail, bubblewrap, podman).

    With `rooted` it is root of the container.
    """
    if engine == "firejail":
        return Start(argv=(*_FIREJAIL, *gate), as_root=False)
    if engine == "bubblewrap":
        binds = [word for path in bindable(mounts) for word in ("--bind", path, path)]
        return Start(argv=(*_BUBBLEWRAP, *binds, *_drop(uid, gid), *gate), as_root=True)
    if engine == "podman":
        return Start(argv=(*_podman(mounts, rooted=rooted), *gate), as_root=False)
    return Start(argv=gate, as_root=False)


# --allusers: or firejail hides every home but the one that the password file names. No
# --private-dev and no --private-tmp: the box's own /dev and /tmp are private already, and may hold
# the terminal and the project.
_FIREJAIL = (
    FIREJAIL,
    "--quiet",
    "--noprofile",
    "--allusers",
    "--caps.drop=all",
    "--seccomp",
    "--nonewprivs",
    "--noroot",
    "--nogroups",
    "--",
)
# Started by root without a user namespace, so that no distribution's rule on those matters.
# --dev-bind: bubblewrap's own /dev would lack shared memory and the box's terminals.
_BUBBLEWRAP = (
    BUBBLEWRAP,
    *("--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"),
    *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"),
    *("--cap-add", "CAP_SETPCAP"),
)


def _drop(uid: int | str, gid: int | str) -> tuple[str, ...]:
    return (
        *("--", SETPRIV, f"--reuid={uid}", f"--regid={gid}", "--clear-groups"),
        *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"),
    )


def _podman(mounts: tuple[Mount, ...], *, rooted: bool) -> tuple[str, ...]:
    kept = [f"--cap-add={name}" for name in CAPABILITIES] if rooted else []
    return (
        *(container.PODMAN, "--log-level=error", "--cgroup-manager=cgroupfs"),
        *("--events-backend=none", f"--runtime={container.CRUN}", "run"),
        # The box's own namespaces: its network has no route, and its doors are the only way out.
        *("--network=host", "--ipc=host", "--uts=host", "--userns=keep-id"),
        "--cgroups=disabled",  # the session's is the helper's
        *(() if has_writable_root(mounts) else ("--read-only", "--read-only-tmpfs=false")),
        *("--cap-drop=all", *kept, *(("--user=0:0",) if rooted else ())),
        *("--security-opt=no-new-privileges", "--no-hosts", "--passwd=false", "--systemd=false"),
        # What the gate says and hears is the command's own; a terminal it opens by itself.
        *("--log-driver=passthrough", "--ulimit=host", "--workdir=/"),
        *(word for bind in container.binds(mounts) for word in ("--mount", _mount(bind))),
        *("--mount", "type=bind,src=/dev/pts,dst=/dev/pts"),
        *("--rootfs", ROOTFS),
    )


def _mount(bind: container.Bind) -> str:
    # One line of comma-separated values, in quotes where a path has a comma or quote of its own.
    fields = ["type=bind", f"src={bind.path}", f"dst={bind.path}"]
    if not bind.writable:
        fields.append("ro=true")
    return ",".join(
        '"' + field.replace('"', '""') + '"' if set(field) & set(',"\n') else field
        for field in fields
    )
