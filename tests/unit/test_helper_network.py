"""Root's side of the network: the kernel messages byte by byte, and which listeners may be."""

from __future__ import annotations

import socket
import struct

import pytest
from test_helper_check import request

from clsecure.helper import check
from clsecure.helper.network import route_message
from clsecure.helper.protocol import Listener, Refusal
from clsecure.helper.sklookup import program

INSTRUCTION = struct.Struct("=BBhi")
JUMPS = (0x15, 0x55)


def test_the_route_is_the_one_that_ip_route_would_add():
    # Compared with what `strace ip route add local default dev lo` shows.
    length, kind, flags, _, port = struct.unpack_from("=IHHII", route_message(7))
    assert (length, kind, flags, port) == (36, 24, 0x605, 0)
    body = route_message(7)[16:]
    assert struct.unpack("=8BI", body[:12]) == (socket.AF_INET, 0, 0, 0, 255, 3, 254, 2, 0)
    assert struct.unpack("=HHI", body[12:]) == (8, 4, 7)


def test_the_program_ends_and_every_jump_stays_in_it():
    code = list(INSTRUCTION.iter_unpack(program(5)))
    assert code[-1] == (0x95, 0, 0, 0)
    for number, (operation, _, offset, _) in enumerate(code):
        if operation in JUMPS:
            assert number + 1 + offset == len(code) - 1
        else:
            assert offset < 64
    wide = [number for number, one in enumerate(code) if one[0] == 0x18]
    assert [code[number][1:] for number in wide] == [(0x11, 0, 5)]
    assert [code[number + 1] for number in wide] == [(0, 0, 0, 0)]


def listener(role="proxy", address="127.0.0.1", port=3128, kind="tcp"):
    return Listener(role=role, address=address, port=port, kind=kind)


FIVE = (
    listener(),
    listener("transparent", port=3129),
    listener("resolver", port=53, kind="udp"),
    listener("resolver-tcp", port=53),
    listener("api", port=8080),
)


@pytest.mark.parametrize("network", ["filtered", "open"])
def test_listeners_that_may_be(network):
    check._check_listeners(request(network=network, listeners=FIVE, broker=True))
    check._check_listeners(request(network=network))
    check._check_listeners(request(network="none"))


@pytest.mark.parametrize(
    "odd",
    [
        {"listeners": (listener("mail"),)},
        {"listeners": (listener(""),)},
        {"listeners": (listener("broker"),)},
        {"listeners": (listener(), listener(port=3130))},
        {"listeners": (listener("resolver", kind="tcp"),)},
        {"listeners": (listener("api", kind="udp"),)},
        {"listeners": (listener(kind="raw"),)},
        {"listeners": (listener(address="0.0.0.0"),)},
        {"listeners": (listener(address="10.0.0.1"),)},
        {"listeners": (listener(address="localhost"),)},
        {"listeners": (listener(address="::"),)},
        {"listeners": (listener("transparent", address="::1"),)},
        {"listeners": (listener(port=0),)},
        {"listeners": (listener(port=65536),)},
        {"network": "none", "listeners": FIVE[:1]},
        {"network": "none", "broker": True},
    ],
)
def test_listeners_that_may_not_be(odd):
    with pytest.raises(Refusal):
        check._check_listeners(request(**odd))
