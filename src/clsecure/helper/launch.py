"""Starts one command in the box: from root's init, through engine and gate, as the worker."""

from __future__ import annotations

import fcntl
import marshal
import os
import struct

from . import container, descent, engines
from . import syscalls as sc
from .inside import gate
from .layout import INSIDE, Mount, writable_places
from .lean import accept, socket
from .protocol import Exec, Limits, Open
from .records import Record
from .rootfs import interpreter
from .seccomp import inner_program

_TIOCSPTLCK, _TIOCGPTN, _TIOCSWINSZ = 0x4004_5431, 0x8004_5430, 0x5414
_TTY_GROUP = 5
_TYPES = {"overlay": "overlay", "proc": "proc", "tmpfs": "tmpfs", "root": "tmpfs"}


class Box(Record):
    """What init knows of its box."""

    request: Open
    mounts: tuple[Mount, ...]
    uid: int
    gid: int
    host_pid_namespace: str
    host_net_namespace: str
    subordinate: tuple[container.Range, ...] = ()  # user ids, group ids: in container mode
    rest: Limits = Limits()  # what is to be limited for each process
    oom_score: int = 0  # the commands'


class Terminal:
    """A pseudo-terminal of the box's own devpts, for the worker."""

    def __init__(self, rows: int, columns: int, uid: int) -> None:
        self.master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        fcntl.ioctl(self.master, _TIOCSPTLCK, struct.pack("i", 0))
        (number,) = struct.unpack("i", fcntl.ioctl(self.master, _TIOCGPTN, b"\0" * 4))
        self.path = f"/dev/pts/{number}"
        os.chown(self.path, uid, _TTY_GROUP)
        fcntl.ioctl(self.master, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Launch:
    """One command: its process, and the socket on which its gate reports."""

    def __init__(self, box: Box, command: Exec, standard: tuple[int, ...]) -> None:
        self._box = box
        self.terminal = Terminal(command.rows, command.columns, box.uid) if command.rows else None
        self._file, address = f"{INSIDE}/launch", f"{INSIDE}/gate"
        for path in (self._file, address):
            _remove(path)
        self.gate: socket.socket | None = None
        self._listener: socket.socket | None = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
        )
        self._listener.bind(address)
        os.chmod(address, 0o666)  # noqa: S103 - the worker connects to it, and nobody else is here
        self._listener.listen(1)
        engine = box.request.engine if command.confined else "none"
        tty = self.terminal.path if self.terminal and engine == "podman" else ""
        document = _document(box, command, engine, address, tty)
        environment = _environment(box, engine)
        self._is_rooted = command.rooted
        if engine != "none":
            self._write(document)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._become(engine, standard, document, environment)
            except OSError as error:
                os.write(2, f"clsecure: the command cannot be started: {error}\n".encode())
            finally:
                os._exit(125)

    def connect(self) -> None:
        """Let the gate report; raises OSError."""
        if self._listener is not None:
            self.gate = accept(self._listener)
            self.gate.settimeout(5)

    def read(self) -> list[str]:
        """Read what the gate says: lines, the first of which is a number; none at its end.

        First it counts the faults that follow, later it is the command's exit code. Raises OSError.
        """
        said = self.gate.recv(65536) if self.gate else b""
        return said.decode("utf-8", "replace").split("\n") if said else []

    def acknowledge(self) -> None:
        """Let the gate go on; the launch file is gone by then."""
        self.forget()
        if self.gate:
            self.gate.send(b".")

    def signal(self, number: int) -> None:
        """Have the gate send a signal to the command."""
        if self.gate:
            self.gate.send(str(number).encode())

    def close(self) -> None:
        """Forget the gate."""
        self.forget()
        if self.gate:
            self.gate.close()

    @property
    def waiting(self) -> int:
        """The descriptor which is readable when the gate has something to say."""
        source = self.gate or self._listener
        return source.fileno() if source else -1

    def forget(self) -> None:
        """Take the launch file and the gate's address away."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            _remove(f"{INSIDE}/gate")
            _remove(self._file)

    def _write(self, document: dict[str, object]) -> None:
        # It holds the command's environment, so nobody but the worker may read it, and init removes
        # it.
        file = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
        with os.fdopen(file, "wb") as stream:
            marshal.dump(document, stream)
            os.fchown(file, self._box.uid, self._box.gid)

    def _become(
        self,
        engine: str,
        standard: tuple[int, ...],
        document: dict[str, object],
        environment: dict[str, str],
    ) -> None:
        os.setsid()
        if self.terminal and engine == "podman":  # whose gate opens it
            null = os.open("/dev/null", os.O_RDWR)
            standard = (null, null, null)
        elif self.terminal:
            slave = os.open(self.terminal.path, os.O_RDWR)  # becomes the controlling terminal
            standard = (slave, slave, slave)
        descent.prepare(self._box, standard)
        box = self._box
        python = interpreter(box.mounts, engines.PYTHON)
        program = (*python, "-IS", f"{INSIDE}/gate.py", self._file)
        start = engines.start(
            engine,
            program,
            uid=box.uid,
            gid=box.gid,
            mounts=box.mounts,
            rooted=self._is_rooted,
        )
        if not start.as_root:
            if engine == "none":
                sc.drop_bounding_set()  # a set-uid engine needs it; it drops the set itself
            descent.become_worker(box)
        if engine == "none":
            # No new interpreter: 10 ms. Having changed its user id, this process cannot be traced
            # by the worker (prctl(2), PR_SET_DUMPABLE), and none of init's descriptors is left.
            os._exit(gate.serve(document))
        os.execve(start.argv[0], list(start.argv), environment)


def _environment(box: Box, engine: str) -> dict[str, str]:
    # For engine and gate alone: the command's own comes with the launch file.
    if engine == "podman":
        return container.prepare(box.uid, box.gid)
    return {"PATH": "/usr/bin:/bin", "HOME": box.request.home, "LC_ALL": "C"}


def _document(box: Box, command: Exec, engine: str, address: str, tty: str) -> dict[str, object]:
    plan = {
        "uid": 0 if command.rooted else box.uid,
        "gid": 0 if command.rooted else box.gid,
        "groups": (0, box.gid) if command.rooted else (box.gid,),
        "capabilities": sum(1 << n for n in engines.CAPABILITIES.values()) * command.rooted,
        "filters": 3 if engine in ("firejail", "podman") else 2,
        "writable": writable_places(box.mounts, contained=engine == "podman"),
        "own": ("/dev", *_ENGINE_OWN.get(box.request.engine, ())),
        "mounts": [
            {"at": mount.at, "type": _type_of(mount, box.request, engine)}
            for mount in box.mounts
            if mount.kind in ("overlay", "clone", "home", "git", "objects", "exposed", "cache")
            or mount.at in ("/", "/proc", "/tmp", *(() if engine == "podman" else ("/run",)))
        ],
        "host_pid_namespace": box.host_pid_namespace,
        "host_net_namespace": box.host_net_namespace,
        "outer_user_namespace": os.readlink("/proc/self/ns/user") if engine == "podman" else "",
    }
    return {
        "plan": plan,
        "filter": inner_program(),
        "report": address,
        "argv": command.argv,
        "environment": command.environment,
        "cwd": command.cwd,
        "terminal": command.rows > 0,
        "tty": tty,
        "handed_over": _handed_over(box.request) if command.rooted else (),
        "worker": (box.uid, box.gid),
    }


def _handed_over(request: Open) -> tuple[str, ...]:
    return (request.home, request.project, request.git_dir)


def _type_of(mount: Mount, request: Open, engine: str) -> str:
    is_overlay = (request.image or request.writable) and engine == "podman" and mount.at == "/"
    return "overlay" if is_overlay else _TYPES.get(mount.kind, "")


# Where an engine may leave writable mounts: its own scratch directories, on tmpfs of this box.
_ENGINE_OWN = {"firejail": ("/run/firejail",), "podman": ("/proc", container.PLACE)}


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
