"""The seccomp filters of the box, as programs for the kernel's packet-filter machine.

Two filters. `base_program` is installed by root before the worker's user id is taken, so it also
binds firejail and bubblewrap. `inner_program` is installed by the gate, after them: they need the
namespaces that it refuses. For struct seccomp_data see the kernel's
Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

import struct

from .syscalls import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MACHINE,
)

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_X32_BIT = 0x4000_0000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAMILIES = (1, 2, 10, 16)  # unix, inet, inet6, netlink

_X86 = MACHINE == "x86_64"
_AUDIT_ARCHITECTURE = 0xC000_003E if _X86 else 0xC000_00B7
# Names to numbers: x86_64, aarch64.
_CALLS = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "ioctl": (16, 29),
    "clone": (56, 220),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "clone3": (435, 435),
    "mount_setattr": (442, 442),
}
# io_uring opens sockets and files past every other filter; keyrings, BPF and user fault handling
# are outside the namespaces.
_NEVER = (
    "keyctl",
    "add_key",
    "request_key",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "kexec_load",
    "open_by_handle_at",
)
_MOUNTING = (
    "mount",
    "umount2",
    "pivot_root",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "setns",
)
_NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET

_Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def base_program() -> bytes:
    """Four socket families; no keyrings, io_uring, BPF; no typing into the terminal (TIOCSTI)."""
    program = _head() + [part for name in _NEVER for part in _deny(name, _ENOSYS)]
    for name in ("socket", "socketpair"):
        allowed = [
            (_EQUAL, len(_FAMILIES) - position, 0, family)
            for position, family in enumerate(_FAMILIES)
        ]
        program += _only(name, [_load(_ARGUMENT_0), *allowed, _error(_EAFNOSUPPORT), _allow()])
    typing = [
        _load(_ARGUMENT_1),
        (_EQUAL, 1, 0, _TIOCSTI),
        (_EQUAL, 0, 1, _TIOCLINUX),
        _error(_EPERM),
        _allow(),
    ]
    program += _only("ioctl", typing)
    return _encode([*program, _allow()])


def inner_program() -> bytes:
    """No new user, mount, process or network namespaces and no mounting: less kernel to attack."""
    program = _head() + [part for name in _MOUNTING for part in _deny(name, _EPERM)]
    program += _deny("clone3", _ENOSYS)  # its flags are out of a filter's sight; libc takes clone
    for name in ("clone", "unshare"):
        program += _only(
            name, [_load(_ARGUMENT_0), (_ANY_BIT, 0, 1, _NAMESPACES), _error(_EPERM), _allow()]
        )
    return _encode([*program, _allow()])


def _head() -> list[_Instruction]:
    # Calls of another architecture have other numbers: whoever makes one is killed.
    head = [
        _load(_ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT_ARCHITECTURE),
        (_RETURN, 0, 0, _KILL),
        _load(_NUMBER),
    ]
    return [*head, (_AT_LEAST, 0, 1, _X32_BIT), _error(_ENOSYS)] if _X86 else head


def _load(offset: int) -> _Instruction:
    return (_LOAD, 0, 0, offset)


def _error(number: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERROR | number)


def _allow() -> _Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _deny(name: str, error: int) -> list[_Instruction]:
    return [(_EQUAL, 0, 1, _number(name)), _error(error)]


def _only(name: str, body: list[_Instruction]) -> list[_Instruction]:
    # `body` decides and returns: it runs for this call alone.
    return [(_EQUAL, 0, len(body), _number(name)), *body]


def _number(name: str) -> int:
    return _CALLS[name][0 if _X86 else 1]


def _encode(program: list[_Instruction]) -> bytes:
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)
