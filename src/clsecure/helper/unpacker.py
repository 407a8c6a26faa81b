"""The process that unpacks layers: alone in its namespaces, the new image its root directory.

It keeps the capabilities to give files away and to write where a mode forbids it; what it reads is
whatever somebody has published.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import tarfile

from . import syscalls as sc
from .imagerecords import Unpacked
from .layers import Layer
from .lean import signal, socket
from .protocol import Failed, Refusal, no_room
from .state import ROOT
from .unpack import Room, Unpacking, measure
from .wire import receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Record

_NAMESPACES = sc.CLONE_NEWNS | sc.CLONE_NEWPID | sc.CLONE_NEWIPC | sc.CLONE_NEWUTS | sc.CLONE_NEWNET
_MEMORY = 1 << 30  # bytes of address space
_ATTRIBUTES = sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV | sc.MOUNT_ATTR_NOEXEC
# linux/capability.h: CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER
_CAPABILITIES = (0, 1, 3)
_HIGHEST = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_ANSWERS: dict[str, type[Record]] = {"Unpacked": Unpacked, "Failed": Failed}

Packed = tuple[int, str, str]  # a layer: descriptor, digest as packed, digest of its content


def unpack(root: int, layers: tuple[Packed, ...], control: socket.socket) -> Unpacked:
    """Unpack into the directory `root`; raises Refusal, also when the caller has hung up."""
    # A mount is cloned where it is known, which is not in the new process's namespace.
    tree = sc.clone_tree(root)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sc.set_mount(tree, set_=_ATTRIBUTES)
        pid = sc.clone(_NAMESPACES, None)
        if pid == 0:
            _main(tree, layers, theirs)
    finally:
        os.close(tree)
        theirs.close()
    try:
        ready, _, _ = select.select([ours, control], [], [])
        received = receive(ours, _ANSWERS) if ours in ready else None
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        ours.close()
    answer = received[0] if received else None
    if isinstance(answer, Failed):
        raise Refusal(answer.message, hint=answer.hint, code=answer.code)
    if not isinstance(answer, Unpacked):
        raise Refusal("the image was not unpacked to its end", code=1)
    return answer


def _main(tree: int, layers: tuple[Packed, ...], channel: socket.socket) -> None:
    try:
        send(channel, _answer(tree, layers, channel))
    finally:
        os._exit(0)


def _answer(tree: int, layers: tuple[Packed, ...], channel: socket.socket) -> Record:
    try:
        _confine(tree, keep=(channel.fileno(), *(descriptor for descriptor, _, _ in layers)))
        work = Unpacking(Room())
        for descriptor, packed, content in layers:
            layer = Layer(descriptor)
            work.apply(layer)
            layer.finish(packed, content)
        size, entries = measure()
        return Unpacked(size=size, entries=entries, left_out=work.left_out)
    except Refusal as refusal:
        return refusal.answer
    except OSError as error:
        if error.errno in _NO_ROOM:
            return no_room(error)
        return Failed(message=f"a layer cannot be unpacked: {error.strerror}", hint="", code=1)
    except (tarfile.TarError, ValueError, OverflowError, MemoryError, RecursionError):
        return Failed(message="a layer is damaged", hint="", code=3)


def _confine(tree: int, *, keep: tuple[int, ...]) -> None:
    sc.set_death_signal(signal.SIGKILL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sc.mount(None, "/", None, sc.MS_REC | sc.MS_PRIVATE)
    sc.attach(tree, os.open(ROOT, os.O_PATH | os.O_DIRECTORY))
    os.fchdir(tree)
    sc.pivot_root(".", ".")  # pivot_root(2): the old root lies on top of the new one then
    sc.detach(".")
    os.chdir("/")
    _close_all_but(keep)
    os.umask(0)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sc.keep_capabilities(_CAPABILITIES)
    sc.set_death_signal(signal.SIGKILL)


def _close_all_but(keep: tuple[int, ...]) -> None:
    wanted = sorted({*keep})
    for low, high in zip((-1, *wanted), (*wanted, _HIGHEST), strict=True):
        os.closerange(low + 1, high)
