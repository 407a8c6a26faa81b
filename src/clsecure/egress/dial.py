"""From an allowed name to a connection: resolved once, each address checked, one of them dialled.

Nothing is looked up a second time, so a name cannot point elsewhere after it has been checked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from clsecure.egress.names import Host

Address = IPv4Address | IPv6Address

_RESOLVE_SECONDS = 10.0
_CONNECT_SECONDS = 10.0
_MOST = 16  # addresses of one name that are looked at


async def addresses_of(host: Host) -> tuple[Address, ...]:
    """Return the addresses of a host, in the resolver's order; raises OSError."""
    if host.address is not None:
        return (host.address,)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_RESOLVE_SECONDS):
        found = await loop.getaddrinfo(host.name, None, type=socket.SOCK_STREAM)
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    return tuple(ip_address(text) for text in texts)[:_MOST]


async def connect(addresses: Sequence[Address], port: int) -> socket.socket:
    """Return a connection to the first address that answers; raises OSError."""
    last: OSError = OSError("no address")
    for address in addresses:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP's own numbers
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(0)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(connection, (str(address), port))
        except OSError as error:  # TimeoutError is one
            connection.close()
            last = error
        except BaseException:
            connection.close()
            raise
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
    raise last
