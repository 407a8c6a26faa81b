"""The helper's side of one box: makes its namespaces, relays to its init, and ends it."""

from __future__ import annotations

import os

from . import container, files, idmap, init
from . import syscalls as sc
from .cgroup import Cgroup
from .idmap import Swap
from .launch import Box as BoxPlan
from .layout import Host, Mount
from .lean import signal, socket
from .mounts import Builder
from .protocol import INIT_ANSWERS, Limits, Open, Reached, Refusal, Session
from .records import Record
from .wire import receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd

    from .controllers import Controllers
    from .images import Tree
    from .rootmounts import RootMounts

_NAMESPACES = (
    sc.CLONE_NEWNS
    | sc.CLONE_NEWPID
    | sc.CLONE_NEWIPC
    | sc.CLONE_NEWUTS
    | sc.CLONE_NEWNET
    | sc.CLONE_NEWCGROUP
)


class Box:
    """A running box; `close` leaves nothing of it."""

    def __init__(
        self,
        request: Open,
        session: Session,
        *,
        swap: Swap,
        account: pwd.struct_passwd,
        mounts: tuple[Mount, ...],
        host: Host,
        areas: str,
        control: socket.socket,
    ) -> None:
        worker, is_container = swap.worker, request.engine == "podman"
        self._request = request
        self.cgroup = Cgroup(session.worker)
        self.controllers = _controllers(session.worker, request.limits, self.cgroup)
        plan = BoxPlan(
            request=request,
            mounts=mounts,
            uid=worker.uid,
            gid=worker.gid,
            host_pid_namespace=os.readlink("/proc/self/ns/pid"),
            host_net_namespace=os.readlink("/proc/self/ns/net"),
            subordinate=container.subordinate(session.worker) if is_container else (),
            rest=self.controllers.rest if self.controllers else Limits(),
        )
        tree = _image(session.human, request.image) if request.image else None
        root = _root(request, plan.subordinate, areas, tree) if is_container else None
        inside = files.programs(), files.etc(request, account)
        builder = Builder(
            human=swap.human,
            worker=worker,
            userns=swap.userns,
            state=areas,
            set_uid=request.docker == "podman" or request.engine in ("firejail", "podman"),
            root=root,
            tun=request.docker == "podman",
        )
        self.warnings = tuple(self.controllers.warnings) if self.controllers else ()
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = sc.clone(_NAMESPACES, self.cgroup.descriptor)
        if self.pid == 0:
            # The human's end must be the helper's alone, or its closing would not be seen.
            control.close()
            os.dup2(os.open("/dev/null", os.O_RDWR), 0)
            self.channel.close()
            enter = self.controllers.enter if self.controllers else None
            init.main(init.Init(plan, theirs, enter), host, builder, *inside)
        theirs.close()
        if root:
            root.close()
        if tree:
            tree.close()  # init has a copy of the lock, for as long as there is the box
        self.ended = sc.pidfd_open(self.pid)

    @property
    def may_be_root(self) -> bool:
        """Whether a command may be root of the container."""
        return may_be_root(self._request)

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

    def reached(self) -> tuple[Reached, ...]:
        """Return the limits that were reached since this was asked last."""
        return self.controllers.reached() if self.controllers else ()

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
        if self.controllers:
            self.controllers.remove()


def may_be_root(request: Open) -> bool:
    """Say whether a command of that box may be root of the container: before the agent's first."""
    return request.engine == "podman" and request.writable and request.action == "create"


def _image(human: int, digest: str) -> Tree:
    from . import images  # what it imports takes longer than the whole of a start

    return images.tree(human, digest)


def _root(
    request: Open, ids: tuple[container.Range, ...], areas: str, tree: Tree | None
) -> RootMounts:
    from .rootmounts import Owner, RootMounts

    users, groups = (f"0 {each.first} {each.count}\n" for each in ids)
    owner = Owner(userns=idmap.make(users, groups), uid=ids[0].first, gid=ids[1].first)
    # By its path, all of which is root's: a mount is cloned in the namespace it is in.
    image = os.readlink(f"/proc/self/fd/{tree.rootfs}") if tree else ""
    has_root = request.docker == "podman" or may_be_root(request)
    return RootMounts(areas, owner, image, has_root=has_root)


def _controllers(worker: str, limits: Limits, own: Cgroup) -> Controllers | None:
    if not (limits.memory or limits.cpus or limits.pids):
        return None
    from .controllers import Controllers

    return Controllers(worker, limits, own)
