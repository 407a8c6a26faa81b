"""The seccomp filters, run on a machine of our own: every call is decided as the names say."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.helper import seccomp
from clsecure.helper.seccomp import _CALLS, _NEVER, base_program, inner_program
from clsecure.helper.syscalls import CLONE_NEWNS, CLONE_NEWUSER, MACHINE

ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000
ARCHITECTURE = seccomp._AUDIT_ARCHITECTURE
COLUMN = 0 if MACHINE == "x86_64" else 1


def decide(program, number, *arguments, architecture=ARCHITECTURE):
    """Run a classic BPF program on struct seccomp_data, as the kernel does."""
    words = [*arguments, *(0,) * 6][:6]
    data = struct.pack("iIQ6Q", number, architecture, 0, *(word % 2**64 for word in words))
    code = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    at, value = 0, 0
    while True:
        kind, yes, no, operand = code[at]
        at += 1
        if kind == 0x20:
            (value,) = struct.unpack_from("I", data, operand)
        elif kind == 0x06:
            return operand
        else:
            test = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}
            at += yes if test[kind] else no


def number(name):
    return _CALLS[name][COLUMN]


@pytest.mark.parametrize("name", _NEVER)
def test_calls_that_are_never_let_through(name):
    assert decide(base_program(), number(name)) == ERROR | 38


@pytest.mark.parametrize("name", ["socket", "socketpair"])
def test_four_families_and_no_other(name):
    for family in range(64):
        allowed = family in (1, 2, 10, 16)
        assert (decide(base_program(), number(name), family) == ALLOW) is allowed, family


def test_high_bits_hide_no_family():
    # The kernel takes an int: the upper half of the register does not count.
    assert decide(base_program(), number("socket"), 40 | 1 << 32) == ERROR | 97
    assert decide(base_program(), number("socket"), 2 | 1 << 32) == ALLOW


def test_nothing_is_typed_into_a_terminal():
    for request in (0x5412, 0x541C, 0x5412 | 1 << 40):
        assert decide(base_program(), number("ioctl"), 0, request) == ERROR | 1
    for request in (0x5401, 0x5413, 0x5411):
        assert decide(base_program(), number("ioctl"), 0, request) == ALLOW


@pytest.mark.parametrize("name", seccomp._MOUNTING)
def test_nothing_is_mounted(name):
    assert decide(inner_program(), number(name)) == ERROR | 1


@pytest.mark.parametrize("name", ["clone", "unshare"])
def test_no_namespaces_but_threads_and_processes(name):
    for flags in (CLONE_NEWUSER, CLONE_NEWNS, 0x20000000, 0x40000000, CLONE_NEWUSER | 17):
        assert decide(inner_program(), number(name), flags) == ERROR | 1
    for flags in (0, 17, 0x3D0F00, 0x1200011):  # fork, a thread of libc, a process of libc
        assert decide(inner_program(), number(name), flags) == ALLOW


def test_clone3_sends_libc_to_clone():
    assert decide(inner_program(), number("clone3")) == ERROR | 38


@pytest.mark.parametrize("program", [base_program(), inner_program()], ids=["base", "inner"])
def test_other_machines_and_numberings_are_shut_out(program):
    assert decide(program, 20, architecture=0x40000003) == KILL  # i386
    if MACHINE == "x86_64":
        for call in (41, 425):
            assert decide(program, 0x40000000 | call) == ERROR | 38  # x32
        assert decide(program, -1) == ERROR | 38


@given(st.integers(0, 460))
def test_all_other_calls_pass(call):
    known = {numbers[COLUMN] for numbers in _CALLS.values()}
    if call not in known:
        assert decide(base_program(), call, 1, 2, 3) == ALLOW
        assert decide(inner_program(), call, 1, 2, 3) == ALLOW
