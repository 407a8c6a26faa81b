"""The few files of /etc that the box has of its own, and the programs that run inside."""

from __future__ import annotations

import os

from .lean import socket
from .protocol import Open

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd

_FIRST_PERSON, _NOBODY = 1000, 65534
_PROGRAMS = ("gate.py", "gh.py")
# Who else could be asked for names listens outside of the box; firejail asks some 20 times.
_NAME_SERVICES = b"""passwd: files
group: files
shadow: files
gshadow: files
hosts: files dns
networks: files
protocols: files
services: files
ethers: files
rpc: files
"""
# resolv.conf(5): the box's own resolver answers at once, or it is gone.
_RESOLVER = b"nameserver 127.0.0.1\noptions timeout:2 attempts:2\n"


def programs() -> dict[str, bytes]:
    """Return the programs of clsecure that run inside the box, by name."""
    here = os.path.join(os.path.dirname(os.path.realpath(__file__)), "inside")
    found = {}
    for name in _PROGRAMS:
        with open(os.path.join(here, name), "rb") as file:
            found[name] = file.read()
    return found


def etc(request: Open, worker: pwd.struct_passwd) -> dict[str, bytes]:
    """Return the box's own files, by path."""
    return {
        "/etc/passwd": _accounts("/etc/passwd", worker.pw_uid, worker.pw_name, home=request.home),
        "/etc/group": _accounts("/etc/group", worker.pw_gid, worker.pw_name),
        "/etc/subuid": _subordinate("/etc/subuid", worker.pw_name),
        "/etc/subgid": _subordinate("/etc/subgid", worker.pw_name),
        # What useradd(8) keeps of the files before: the same names.
        **{f"/etc/{name}-": b"" for name in ("passwd", "group", "subuid", "subgid")},
        "/etc/nsswitch.conf": _NAME_SERVICES,
        "/etc/hosts": f"127.0.0.1 localhost {socket.gethostname()}\n::1 localhost\n".encode(),
        "/etc/resolv.conf": b"" if request.network == "none" else _RESOLVER,
    }


def _accounts(path: str, number: int, worker: str, *, home: str = "") -> bytes:
    # System accounts and the worker alone: the names of the people on this host stay outside.
    kept = []
    for line in _read(path).splitlines(keepends=True):
        fields = line.split(b":")
        try:
            owner = int(fields[2])
        except (IndexError, ValueError):
            continue
        if owner == number and fields[0] == worker.encode():
            if home:
                fields[5], fields[6] = os.fsencode(home), b"/bin/bash\n"
            kept.append(b":".join(fields))
        elif owner < _FIRST_PERSON or owner == _NOBODY:
            kept.append(line)
    return b"".join(kept)


def _subordinate(path: str, worker: str) -> bytes:
    own = f"{worker}:".encode()
    return b"".join(line for line in _read(path).splitlines(keepends=True) if line.startswith(own))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
