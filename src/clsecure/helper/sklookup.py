"""A BPF program that picks the socket for TCP connections to addresses outside 127.0.0.0/8.

It is attached to a network namespace and asked whenever the kernel looks for a listening socket
there. However many ports there are, all such connections reach one socket, and its connections
tell by getsockname() where they were meant to go. Needs Linux 5.9 and CAP_NET_ADMIN.

Sources: Documentation/bpf/prog_sk_lookup.rst, Documentation/bpf/standardization/instruction-set.rst
and include/uapi/linux/bpf.h in the kernel's tree; bpf(2).
"""

from __future__ import annotations

import os
import resource
import struct

from . import libc
from . import syscalls as sc

_MAP_CREATE, _MAP_UPDATE_ELEM, _PROG_LOAD, _LINK_CREATE = 0, 2, 5, 28  # enum bpf_cmd
_SOCKMAP, _PROGRAM, _ATTACH = 15, 30, 36  # BPF_MAP_TYPE_SOCKMAP, BPF_PROG_TYPE_, BPF_SK_LOOKUP
_LOOKUP_ELEM, _SK_RELEASE, _SK_ASSIGN = 1, 86, 124  # enum bpf_func_id
_DROP, _PASS = 0, 1  # enum sk_action; a dropped TCP connection is refused
# Where struct bpf_sk_lookup, the program's argument, has what is looked at.
_FAMILY, _PROTOCOL, _LOCAL_IP4 = 8, 12, 40
_AF_INET, _IPPROTO_TCP, _LOOPBACK = 2, 6, 127
# Operation codes: class, size or operation, mode or source of the operand.
_LOAD_WORD, _STORE_WORD, _LOAD_MAP = 0x61, 0x62, 0x18
_COPY, _SET, _ADD, _SHIFT_RIGHT, _TO_HOST_ORDER = 0xBF, 0xB7, 0x07, 0x77, 0xDC
_IF_EQUAL, _IF_OTHER, _CALL, _EXIT = 0x15, 0x55, 0x85, 0x95
_END = 1 << 14  # as an offset: the distance to the program's last instruction
_LICENSE = b"MIT"  # none of the functions that it calls is for GPL programs alone


def steer(listening: int) -> int:
    """Send what is meant for other machines to that listening socket; raises OSError.

    In the calling process's network namespace, for as long as the returned descriptor is open.
    Once the socket is closed for good, such connections are refused.
    """
    limits = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    opened: list[int] = []
    try:
        _allow_memory()
        # map_type, key_size, value_size, max_entries, map_flags
        sockets = sc.bpf(_MAP_CREATE, struct.pack("=5I", _SOCKMAP, 4, 4, 1, 0))
        opened.append(sockets)
        _put(sockets, listening)
        loaded = _load(program(sockets))
        opened.append(loaded)
        namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        opened.append(namespace)
        # prog_fd, target_fd, attach_type, flags; the link holds the program, that one the map
        return sc.bpf(_LINK_CREATE, struct.pack("=4I", loaded, namespace, _ATTACH, 0))
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, limits)


def _allow_memory() -> None:
    # Before Linux 5.11 maps and programs counted as root's locked memory: 64 KiB are soon full.
    unlimited = resource.RLIM_INFINITY
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (unlimited, unlimited))
    except ValueError:
        pass  # without CAP_SYS_RESOURCE, and it may do as it is


def program(sockets: int) -> bytes:
    """Return the instructions (struct bpf_insn) for the map of that descriptor.

    Registers: r0 holds results, r1 to r5 a call's arguments, r6 to r9 outlive calls, r10 is the
    frame.
    """
    instructions: list[tuple[int, int, int, int, int]] = [
        # operation, target, source, offset, value
        (_COPY, 6, 1, 0, 0),  # r6 = the lookup
        (_SET, 0, 0, 0, _PASS),  # r0 = let the kernel look as usual
        (_LOAD_WORD, 2, 6, _FAMILY, 0),
        (_IF_OTHER, 2, 0, _END, _AF_INET),
        (_LOAD_WORD, 2, 6, _PROTOCOL, 0),
        (_IF_OTHER, 2, 0, _END, _IPPROTO_TCP),
        (_LOAD_WORD, 2, 6, _LOCAL_IP4, 0),  # in network byte order
        (_TO_HOST_ORDER, 2, 0, 0, 32),
        (_SHIFT_RIGHT, 2, 0, 0, 24),  # r2 = the address's first byte
        (_IF_EQUAL, 2, 0, _END, _LOOPBACK),
        (_STORE_WORD, 10, 0, -4, 0),  # key 0, on the stack
        (_LOAD_MAP, 1, 1, 0, sockets),  # r1 = the map; source 1: by descriptor (BPF_PSEUDO_MAP_FD)
        (0, 0, 0, 0, 0),  # second half of the one before
        (_COPY, 2, 10, 0, 0),
        (_ADD, 2, 0, 0, -4),  # r2 = where the key is
        (_CALL, 0, 0, 0, _LOOKUP_ELEM),
        (_IF_EQUAL, 0, 0, _END, 0),  # no socket: r0 is 0, which is _DROP
        (_COPY, 7, 0, 0, 0),  # r7 = the socket
        (_COPY, 1, 6, 0, 0),
        (_COPY, 2, 7, 0, 0),
        (_SET, 3, 0, 0, 0),  # no flags
        (_CALL, 0, 0, 0, _SK_ASSIGN),
        (_COPY, 6, 0, 0, 0),  # r6 = 0, or an error
        (_COPY, 1, 7, 0, 0),
        (_CALL, 0, 0, 0, _SK_RELEASE),
        (_SET, 0, 0, 0, _PASS),
        (_IF_EQUAL, 6, 0, _END, 0),  # the kernel takes what was assigned
        (_SET, 0, 0, 0, _DROP),
        (_EXIT, 0, 0, 0, 0),
    ]
    last = len(instructions) - 1
    code = b""
    for number, (operation, target, source, offset, value) in enumerate(instructions):
        distance = last - number - 1 if offset == _END else offset
        code += struct.pack("=BBhi", operation, source << 4 | target, distance, value)
    return code


def _put(sockets: int, listening: int) -> None:
    key, value = libc.c_uint32(0), libc.c_uint32(listening)
    # map_fd, 4 bytes of nothing, key, value, flags
    fields = struct.pack("=I4xQQQ", sockets, libc.addressof(key), libc.addressof(value), 0)
    sc.bpf(_MAP_UPDATE_ELEM, fields)


def _load(instructions: bytes) -> int:
    code = libc.create_string_buffer(instructions)
    licence = libc.create_string_buffer(_LICENSE)
    fields = struct.pack(
        "=IIQQIIQII16sII",
        _PROGRAM,
        len(instructions) // 8,
        libc.addressof(code),
        libc.addressof(licence),
        *(0, 0, 0),  # log_level, log_size, log_buf
        *(0, 0),  # kern_version, prog_flags
        b"clsecure",
        0,  # prog_ifindex
        _ATTACH,
    )
    return sc.bpf(_PROG_LOAD, fields)
