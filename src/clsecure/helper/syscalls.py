"""The Linux calls that Python lacks, through the C library; each raises OSError.

The numbers of the calls added since 5.1 are the same on every architecture; the others are looked
up for x86_64 and aarch64, the two on which clsecure runs. Sources: the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/linux/{mount,openat2,sched,prctl}.h.
"""

from __future__ import annotations

import os

from . import libc

libc.library.syscall.restype = libc.c_long

MACHINE = os.uname().machine
_X86 = MACHINE == "x86_64"

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_PIDFD_OPEN, _CLONE3, _OPENAT2, _MOUNT_SETATTR = 434, 435, 437, 442
_PIVOT_ROOT = 155 if _X86 else 41
_KEYCTL = 250 if _X86 else 219
_KEYCTL_JOIN_SESSION_KEYRING = 1
_BPF = 321 if _X86 else 280
_CAPSET = 126 if _X86 else 91
_CAPABILITY_VERSION = 0x2008_0522  # linux/capability.h, _LINUX_CAPABILITY_VERSION_3

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x0002_0000, 0x0400_0000, 0x0800_0000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x1000_0000, 0x2000_0000, 0x4000_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_INTO_CGROUP = 0x2_0000_0000

MS_NOSUID, MS_NODEV = 2, 4
MS_REC, MS_PRIVATE, MS_SLAVE = 0x4000, 1 << 18, 1 << 19
MNT_DETACH = 2
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_EMPTY_PATH = 0x04, 0x40
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
MOUNT_ATTR_NOEXEC, MOUNT_ATTR_IDMAP = 8, 0x10_0000
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_SET_FD, _FSCONFIG_CMD_CREATE = 0, 1, 5, 6
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 2, 4, 8, 16
NO_LINKS = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_DUMPABLE = 1, 24, 4
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38


class _MountAttributes(libc.Structure):
    _fields_ = tuple((name, libc.c_uint64) for name in ("set", "clear", "propagation", "userns"))


class _OpenHow(libc.Structure):
    _fields_ = tuple((name, libc.c_uint64) for name in ("flags", "mode", "resolve"))


class _CloneArguments(libc.Structure):
    _fields_ = tuple(
        (name, libc.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    )


class _FilterProgram(libc.Structure):
    _fields_ = (("length", libc.c_ushort), ("instructions", libc.c_char_p))


def _fail(what: str) -> OSError:
    number = libc.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def _call(what: str, number: int, *arguments: object) -> int:
    words = [libc.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.library.syscall(libc.c_long(number), *words)
    if result < 0:
        raise _fail(what)
    return result


def clone(flags: int, cgroup: int | None) -> int:
    """Fork into new namespaces, and into the cgroup of that descriptor; like os.fork()."""
    arguments = _CloneArguments(flags=flags, exit_signal=17)  # SIGCHLD
    if cgroup is not None:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup
    return _call("clone3", _CLONE3, libc.byref(arguments), libc.sizeof(arguments))


def unshare(flags: int) -> None:
    """Leave the namespaces of these kinds for new ones."""
    if libc.library.unshare(flags) < 0:
        raise _fail("unshare")


def setns(descriptor: int) -> None:
    """Enter the namespace of that descriptor."""
    if libc.library.setns(descriptor, 0) < 0:
        raise _fail("setns")


def pidfd_open(pid: int) -> int:
    """Return a descriptor which is readable once that process has ended."""
    return _call("pidfd_open", _PIDFD_OPEN, pid, 0)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount, for what the newer calls do not do and for kernels that lack them."""
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    if libc.library.mount(words[0], words[1], words[2], libc.c_ulong(flags), words[3]) < 0:
        raise _fail(f"mount {kind or ''} on {target}")


def detach(target: str) -> None:
    """Unmount lazily: out of sight now, gone with its last user."""
    if libc.library.umount2(os.fsencode(target), MNT_DETACH) < 0:
        raise _fail(f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """Make another mount the root of this mount namespace."""
    _call("pivot_root", _PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old))


def openat2(directory: int, path: str, flags: int, *, mode: int = 0, resolve: int) -> int:
    """Open `path` under the descriptor `directory` within the limits of `resolve`."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    encoded = os.fsencode(path)
    return _call("openat2", _OPENAT2, directory, encoded, libc.byref(how), libc.sizeof(how))


def clone_tree(directory: int, *, recursive: bool = False) -> int:
    """Return a detached copy of the mount at this descriptor, which becomes its root."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    return _call("open_tree", _OPEN_TREE, directory, b"", flags)


def set_mount(
    tree: int, *, set_: int = 0, clear: int = 0, userns: int = 0, recursive: bool = False
) -> None:
    """Change the attributes of the mount of that descriptor."""
    attributes = _MountAttributes(set_, clear, 0, userns)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _call(
        "mount_setattr",
        _MOUNT_SETATTR,
        tree,
        b"",
        flags,
        libc.byref(attributes),
        libc.sizeof(attributes),
    )


def attach(tree: int, target: int) -> None:
    """Put the detached mount `tree` on top of the descriptor `target`."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    _call("move_mount", _MOVE_MOUNT, tree, b"", target, b"", flags)


def new_filesystem(
    kind: str,
    options: tuple[tuple[str, str | None], ...] = (),
    layers: tuple[tuple[str, int], ...] = (),
    attributes: int = 0,
) -> int:
    """Make a detached mount (fsopen, fsconfig, fsmount); `layers` are options by descriptor."""
    context = _call("fsopen", _FSOPEN, kind.encode(), 1)
    try:
        _call("fsconfig", _FSCONFIG, context, _FSCONFIG_SET_STRING, b"source", kind.encode(), 0)
        for key, value in options:
            command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
            word = None if value is None else os.fsencode(value)
            _call("fsconfig", _FSCONFIG, context, command, key.encode(), word, 0)
        for key, layer in layers:
            _call("fsconfig", _FSCONFIG, context, _FSCONFIG_SET_FD, key.encode(), None, layer)
        _call("fsconfig", _FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _call("fsmount", _FSMOUNT, context, 1, attributes)
    except OSError as error:
        raise OSError(error.errno, f"{kind}: {error.strerror}{_messages(context)}") from None
    finally:
        os.close(context)


def _messages(context: int) -> str:
    # The kernel's own words on what it did not like can be read from the context, a line a read.
    lines = []
    try:
        while line := os.read(context, 4096):
            lines.append(os.fsdecode(line).strip())
    except OSError:
        pass
    return f" ({'; '.join(lines)})" if lines else ""


def set_death_signal(number: int) -> None:
    """Ask for a signal at the parent's death; a change of credentials makes the kernel forget."""
    if libc.library.prctl(_PR_SET_PDEATHSIG, libc.c_ulong(number), 0, 0, 0) < 0:
        raise _fail("prctl(PR_SET_PDEATHSIG)")


def drop_bounding_set() -> None:
    """Take every capability out of the bounding set of this process."""
    for capability in range(64):
        if libc.library.prctl(_PR_CAPBSET_DROP, libc.c_ulong(capability), 0, 0, 0) < 0:
            if capability == 0:
                raise _fail("prctl(PR_CAPBSET_DROP)")
            return  # EINVAL: the kernel's last capability was the one before


def keep_capabilities(kept: tuple[int, ...]) -> None:
    """Give up every capability but these, of the first 32, for good."""
    if libc.library.prctl(_PR_SET_NO_NEW_PRIVS, libc.c_ulong(1), 0, 0, 0) < 0:
        raise _fail("prctl(PR_SET_NO_NEW_PRIVS)")
    drop_bounding_set()
    mask = sum(1 << capability for capability in kept)
    # capset(2): effective, permitted and inheritable, first of the capabilities 0 to 31.
    header = (libc.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (libc.c_uint32 * 6)(mask, mask, 0, 0, 0, 0)
    _call("capset", _CAPSET, header, data)


def write_out(descriptor: int) -> None:
    """Wait until the file system of that descriptor has everything on the disk."""
    if libc.library.syncfs(descriptor) < 0:
        raise _fail("syncfs")


def new_session_keyring() -> None:
    """Leave the session keyring of whoever started this process for a new, empty one."""
    _call("keyctl", _KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, None, 0, 0, 0)


def bpf(command: int, attributes: bytes) -> int:
    """Do a command of the kernel's BPF, given as much of its union bpf_attr as it reads."""
    return _call("bpf", _BPF, command, attributes, len(attributes))


def set_seccomp(program: bytes) -> None:
    """Install a seccomp filter (struct sock_filter); needs CAP_SYS_ADMIN or no_new_privs."""
    filters = _FilterProgram(len(program) // 8, program)
    if libc.library.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, libc.byref(filters), 0, 0) < 0:
        raise _fail("prctl(PR_SET_SECCOMP)")
