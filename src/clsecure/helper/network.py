"""The box's network: loopback alone, every IPv4 address the box's own, and root's sockets there.

Nothing leaves: what a program sends to another machine arrives at a socket of the box, or at none
and is refused at once. Who serves these sockets lives outside, where init hands them to.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from .lean import socket
from .sklookup import steer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .protocol import Listener, Open

_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41
_BACKLOG = 256
# The ports that matter to tools which know no proxy, where a socket for every port cannot be had.
_USUAL_PORTS = (80, 443)
# From rtnetlink(7), and the kernel's linux/rtnetlink.h and linux/netlink.h.
_NETLINK_ROUTE, _NEWROUTE, _ERROR = 0, 24, 2
_REQUEST, _ACKNOWLEDGE, _EXCLUSIVE, _CREATE = 0x001, 0x004, 0x200, 0x400
_TABLE_LOCAL, _PROTOCOL_BOOT, _SCOPE_HOST, _TYPE_LOCAL = 255, 3, 254, 2
_OUTPUT_INTERFACE = 4  # RTA_OIF


class Network:
    """Makes all of it; `sockets` are what is handed out, each with its role."""

    def __init__(self, request: Open, host_namespace: str) -> None:
        """Make the network of this process; raises OSError when it cannot be had."""
        self.sockets: list[tuple[str, socket.socket]] = []
        self.warnings: list[str] = []
        self._link: int | None = None  # while it is open, connections are steered
        if os.readlink("/proc/self/ns/net") == host_namespace:
            raise OSError(errno.EPERM, "not in a network namespace of its own")
        _raise_loopback()
        if request.network == "none":
            return
        _take_every_address()
        for listener in request.listeners:
            self.sockets.append((listener.role, _listen(listener)))
        for role, listening in tuple(self.sockets):
            if role == "transparent":
                self._steer(listening, {one.port for one in request.listeners})

    def _steer(self, listening: socket.socket, taken: set[int]) -> None:
        try:
            self._link = steer(listening.fileno())
        except OSError as error:
            ports = [port for port in _USUAL_PORTS if port not in taken]
            self.sockets += [("transparent", _bind(socket.SOCK_STREAM, "", port)) for port in ports]
            words = f"port{'s' * (len(ports) > 1)} {' and '.join(map(str, ports))}"
            self.warnings.append(
                f"tools that know no proxy reach {words} alone: "
                f"the kernel refuses a socket for all of them ({error.strerror})"
            )


def _raise_loopback() -> None:
    any_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        request = struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
    finally:
        any_socket.close()


def _take_every_address() -> None:
    # The same as `ip route add local default dev lo`.
    asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
    try:
        asking.send(route_message(socket.if_nametoindex("lo")))
        answer = asking.recv(4096)
    finally:
        asking.close()
    # struct nlmsghdr, then struct nlmsgerr, which begins with 0 or a negative errno
    _, kind, _, _, _, result = struct.unpack_from("=IHHIIi", answer)
    if kind != _ERROR or result:
        raise OSError(-result or errno.EPROTO, f"no local route: {os.strerror(-result)}")


def route_message(interface: int) -> bytes:
    """Return the request for a local route of every IPv4 address to that interface."""
    # struct rtmsg: no destination is the default; then one attribute, its length and kind first
    route = struct.pack(
        "=8BI",
        *(socket.AF_INET, 0, 0, 0),  # family, length of destination and source, type of service
        *(_TABLE_LOCAL, _PROTOCOL_BOOT, _SCOPE_HOST, _TYPE_LOCAL),
        0,
    ) + struct.pack("=HHI", 8, _OUTPUT_INTERFACE, interface)
    flags = _REQUEST | _ACKNOWLEDGE | _CREATE | _EXCLUSIVE
    return struct.pack("=IHHII", 16 + len(route), _NEWROUTE, flags, 1, 0) + route


def _listen(listener: Listener) -> socket.socket:
    kind = socket.SOCK_DGRAM if listener.kind == "udp" else socket.SOCK_STREAM
    return _bind(kind, listener.address, listener.port)


def _bind(kind: int, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    if kind == socket.SOCK_STREAM:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((address, port))
    if kind == socket.SOCK_STREAM:
        bound.listen(_BACKLOG)
    return bound
