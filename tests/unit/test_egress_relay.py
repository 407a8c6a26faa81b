"""The carrying of bytes: what the sockets on the box's side are set to."""

from __future__ import annotations

import socket

from clsecure.egress import relay


def test_connections_from_the_box_do_not_pace_themselves():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        relay.unpaced(listening)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as inside:
            said = inside.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    assert said.rstrip(b"\0") == b"reno"


def test_other_sockets_stay_as_they_are():
    for family, kind in ((socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_UNIX, socket.SOCK_STREAM)):
        with socket.socket(family, kind) as other:
            relay.unpaced(other)
