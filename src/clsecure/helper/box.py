"""The helper's side of one box: makes its namespaces, relays to its init, and ends it."""

from __future__ import annotations

import os
import select

from . import files, init
from . import syscalls as sc
from .cgroup import Cgroup
from .launch import Box as BoxPlan
from .layout import Host, Mount
from .lean import signal, socket
from .mounts import Builder
from .places import Owner
from .protocol import INIT_ANSWERS, Open, Refusal, Session, receive, send
from .records import Record
from .state import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd

_NAMESPACES = sc.CLONE_NEWNS | sc.CLONE_NEWPID | sc.CLONE_NEWIPC | sc.CLONE_NEWUTS
_MAX_ID = 0xFFFF_FFFF


class Box:
    """A running box; `close` leaves nothing of it."""

    def __init__(
        self,
        request: Open,
        session: Session,
        *,
        human: Owner,
        account: pwd.struct_passwd,
        mounts: tuple[Mount, ...],
        host: Host,
        control: socket.socket,
    ) -> None:
        worker = Owner(account.pw_uid, account.pw_gid, ())
        plan = BoxPlan(
            request=request,
            mounts=mounts,
            uid=worker.uid,
            gid=worker.gid,
            host_pid_namespace=os.readlink("/proc/self/ns/pid"),
            host_net_namespace=os.readlink("/proc/self/ns/net"),
        )
        inside = files.programs(), files.etc(request, account)
        userns = swapped_ids(human, worker)
        builder = Builder(
            human=human,
            worker=worker,
            userns=userns,
            state=f"{ROOT}/{session.worker}",
            set_uid=request.engine == "firejail",
        )
        self.cgroup = Cgroup(session.worker)
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        flags = _NAMESPACES | (0 if request.network == "open" else sc.CLONE_NEWNET)
        self.pid = sc.clone(flags, self.cgroup.descriptor)
        if self.pid == 0:
            # The human's end must be the helper's alone, or its closing would not be seen.
            control.close()
            os.dup2(os.open("/dev/null", os.O_RDWR), 0)
            self.channel.close()
            init.main(init.Init(plan, theirs), host, builder, *inside)
        theirs.close()
        os.close(userns)
        self.ended = sc.pidfd_open(self.pid)

    def ask(self, request: Record, descriptors: tuple[int, ...] = ()) -> None:
        """Hand a request to the box's init; raises Refusal when it is gone."""
        try:
            send(self.channel, request, descriptors)
        except OSError:
            raise Refusal("the box has ended", code=1) from None

    def answer(self) -> tuple[Record, list[int]]:
        """Wait for what init says next; raises Refusal when it is gone."""
        received = receive(self.channel, INIT_ANSWERS)
        if received is None:
            raise Refusal("the box has ended", code=1)
        return received

    def close(self) -> None:
        """End every process of the box, then its cgroup."""
        self.cgroup.kill()
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        # Once init has been reaped, the kernel has ended everything in its pid namespace.
        os.waitpid(self.pid, 0)
        self.channel.close()
        os.close(self.ended)
        self.cgroup.remove()


def swapped_ids(human: Owner, worker: Owner) -> int:
    """Return a user namespace that swaps human and worker and leaves everybody else as they are.

    With a map of one id, files of other owners could be neither moved nor removed (EOVERFLOW).
    """
    ready, told = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            sc.unshare(sc.CLONE_NEWUSER)
            sc.set_death_signal(signal.SIGKILL)
            os.write(told, b".")
            select.select([], [], [], 60)
        finally:
            os._exit(1)
    os.close(told)
    try:
        if os.read(ready, 1) != b".":
            raise Refusal("this kernel has no user namespaces, which idmapped mounts need", code=4)
        for name, one, other in (("uid", human.uid, worker.uid), ("gid", human.gid, worker.gid)):
            with open(f"/proc/{pid}/{name}_map", "w", encoding="ascii") as file:
                file.write(id_map(one, other))
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def id_map(one: int, other: int) -> str:
    """Return the lines of a uid_map (user_namespaces(7)): identity, but these two swapped."""
    low, high = sorted((one, other))
    extents = [
        (0, 0, low),
        (low, high, 1),
        (low + 1, low + 1, high - low - 1),
        (high, low, 1),
        (high + 1, high + 1, _MAX_ID - high - 1),
    ]
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in extents if count)
