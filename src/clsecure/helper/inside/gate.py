"""The command's parent: reads from inside whether the box is as planned, then runs the command.

Runs as the worker, within the engine, as a program of its own (argv: the launch file); where there
is no engine, in a fork of init that has become the worker. Any difference between plan and what it
finds is reported and the command is not run. The command's end is reported too: firejail would
wait for the last process that it left behind. Stands alone: standard library only.
"""

from __future__ import annotations

# The interpreter's own modules below `ctypes`, `socket` and `signal`, and marshal for a file that
# root wrote: the packages around them would add half as much again to each command's start.
import _ctypes
import _signal as signal  # type: ignore[import-not-found]
import _socket as socket
import marshal
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_INTERP = 3  # PT_INTERP among the program headers of elf(5)
_KEYCTL = 250 if os.uname().machine == "x86_64" else 219
_AF_VSOCK = 40
_REFUSED = 125
_LEFT_TO_THE_COMMAND = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def _simple(code: str) -> type:
    # A C type, by its letter in the module `struct`; z is a string.
    return type(f"c_{code}", (_ctypes._SimpleCData,), {"_type_": code})  # noqa: SLF001


_Word = _simple("L")


class _Filters(_ctypes.Structure):
    _fields_ = (("length", _simple("H")), ("instructions", _simple("z")))


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _simple("i")

    @classmethod
    def of(cls, name: str) -> Any:
        """Return the C library's function of that name."""
        return cls(_ctypes.dlsym(_ctypes.dlopen(None, 0), name))  # type: ignore[arg-type]


def main() -> int:
    """Serve the launch file."""
    with open(sys.argv[1], "rb") as file:
        return serve(marshal.load(file))  # noqa: S302 - root's init wrote it; the worker cannot


def serve(launch: dict[str, Any]) -> int:
    """Check, report, run, report; returns an exit code of its own."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python would show a traceback
    if os.getpid() == 1:
        _reap_for_a_child()
    if launch["tty"]:
        _take_terminal(launch["tty"])
    plan = launch["plan"]
    _lock_down(launch["filter"])
    faults = [
        *_rights(plan),
        *_system_calls(),
        *_mounts(plan),
        *_network(plan),
        *_processes(plan),
    ]
    report = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    report.connect(launch["report"])
    report.send("\n".join([f"{len(faults)}", *faults]).encode("utf-8", "replace")[:60000])
    report.recv(1)  # init has taken note, and has unlinked the launch file
    if faults:
        return _REFUSED
    code = _run(launch, report)
    _hand_over(launch["handed_over"], *launch["worker"])
    report.send(str(code).encode())
    report.recv(1)  # init ends every process from here
    return 0


def _reap_for_a_child() -> None:
    # The first process of a pid namespace inherits what others leave behind.
    child = os.fork()
    if child == 0:
        return
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _take_terminal(path: str) -> None:
    os.setsid()
    terminal = os.open(path, os.O_RDWR)  # becomes the controlling terminal
    for number in range(3):
        os.dup2(terminal, number)
    os.close(terminal)


def _run(launch: dict[str, Any], report: socket.socket) -> int:
    # A signal in these moments must reach the command: from before the fork it waits here.
    signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT_TO_THE_COMMAND)
    child = os.fork()
    if child == 0:
        _become(launch)
    for number in signal.sigpending():
        if number in _LEFT_TO_THE_COMMAND:
            os.kill(child, number)
    for number in _LEFT_TO_THE_COMMAND:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(report, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if ended in ready:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return code if code >= 0 else 128 - code
        wanted = report.recv(16)
        if not wanted:
            os._exit(_REFUSED)  # init is gone, and with it the box
        _pass_on(child, int(wanted), alone=launch["terminal"])


def _hand_over(places: tuple[str, ...], uid: int, gid: int) -> None:
    """Make the worker's what root of the container has made in the worker's own directories.

    This is that root, with no more rights than what it ran: no link leads anywhere new.
    """
    devices = {os.stat(place).st_dev for place in places}
    try:
        for place in places:
            for _, names, files, directory in os.fwalk(place):
                for name in (".", *files, *list(names)):
                    if not _take_over(directory, name, devices, uid, gid) and name in names:
                        names.remove(name)
    except (OSError, RecursionError) as error:
        sys.stderr.write(f"clsecure: some files stay root's of the container: {error}\n")


def _take_over(directory: int, name: str, devices: set[int], uid: int, gid: int) -> bool:
    # False: it is nothing to go into.
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if status.st_dev in devices and status.st_uid == 0:
            os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False  # gone meanwhile, or on a mount that is read-only
    return status.st_dev in devices


def _pass_on(child: int, number: int, *, alone: bool) -> None:
    try:
        if alone:
            os.kill(child, number)
        else:
            os.killpg(child, number)
    except ProcessLookupError:
        pass


def _become(launch: dict[str, Any]) -> None:
    argv, code = launch["argv"], 126
    environment = dict(word.split("=", 1) for word in launch["environment"])
    try:
        for number in _LEFT_TO_THE_COMMAND:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if not launch["terminal"]:
            os.setpgid(0, 0)
        os.chdir(launch["cwd"])
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        needed = (
            _lacking(argv[0], environment.get("PATH", ""))
            if isinstance(error, FileNotFoundError)
            else ""
        )
        reason = f"it needs {ascii(needed)[1:-1]}, which is not there" if needed else error.strerror
        sys.stderr.write(f"clsecure: {ascii(argv[0])[1:-1]} cannot be run in the box: {reason}\n")
        sys.stderr.flush()
        code = 127 if isinstance(error, FileNotFoundError) else 126
    finally:
        os._exit(code)


def _lacking(name: str, path: str) -> str:
    """Return what is to load or to read a program that is there, if that is missing."""
    places = [""] if "/" in name else [f"{each}/" for each in path.split(":")]
    for place in places:
        try:
            with open(f"{place}{name}", "rb") as file:
                head = file.read(1 << 16)
        except OSError:
            continue
        found = head[2:].split(b"\n")[0].split()[:1] if head[:2] == b"#!" else _loaders(head)
        return os.fsdecode(found[0]) if found and not os.path.exists(found[0]) else ""
    return ""


def _loaders(head: bytes) -> list[bytes]:
    def number(at: int, size: int) -> int:
        return int.from_bytes(head[at : at + size], sys.byteorder)

    if head[:5] != b"\x7fELF\x02":
        return []
    starts = [number(32, 8) + n * number(54, 2) for n in range(number(56, 2))]
    spans = [(number(at + 8, 8), number(at + 32, 8)) for at in starts if number(at, 4) == _INTERP]
    return [head[at : at + size].rstrip(b"\0") for at, size in spans]


def _lock_down(program: bytes) -> None:
    # From here on no set-uid program gives rights, in whatever mode.
    prctl = _Function.of("prctl")
    filters = _Filters(len(program) // 8, program)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _FILTER, _ctypes.byref(filters), 0, 0),
    ):
        words = [_Word(a) if isinstance(a, int) else a for a in arguments]
        if prctl(*words) < 0:
            raise OSError(_ctypes.get_errno(), "prctl")


def _status() -> dict[str, str]:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def _rights(plan: dict[str, Any]) -> list[str]:
    status = _status()
    faults = [
        f"{name} is {status[name]}"
        for name in _CAPABILITIES
        if int(status[name], 16) & ~plan["capabilities"]
    ]
    if status.get("NoNewPrivs") != "1":
        faults.append("NoNewPrivs is not set")
    if status.get("Seccomp") != "2":
        faults.append("Seccomp is not on")
    elif int(status.get("Seccomp_filters", plan["filters"])) < plan["filters"]:
        faults.append(f"only {status['Seccomp_filters']} seccomp filters of {plan['filters']}")
    for name, wanted in (("Uid", plan["uid"]), ("Gid", plan["gid"])):
        if status[name].split() != [str(wanted)] * 4:
            faults.append(f"{name} is {status[name]}")
    if set(status["Groups"].split()) - set(map(str, plan["groups"])):
        faults.append(f"supplementary groups {status['Groups']}")
    return faults


def _system_calls() -> list[str]:
    faults = []
    try:
        socket.socket(_AF_VSOCK, socket.SOCK_STREAM).close()
        faults.append("a socket to the hypervisor can be opened")
    except OSError:
        pass
    if _Function.of("syscall")(_KEYCTL, 0, -3, 0) >= 0:
        faults.append("the kernel's keyrings can be reached")
    if _Function.of("unshare")(0x1000_0000) == 0:
        faults.append("a user namespace can be made")
    return faults


def _mounts(plan: dict[str, Any]) -> list[str]:
    faults, found = [], {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            words = before.split(" ")
            at = _unescape(words[4])
            options = set(words[5].split(","))
            if "rw" in options:  # a mount is read-only by itself or by its file system
                options.update({"ro"} if "ro" in after.split(" ")[2].split(",") else ())
            found[at] = (after.split(" ")[0], options)
            planned = at in plan["writable"] or any(_within(at, own) for own in plan["own"])
            if "ro" not in options and not planned:
                faults.append(f"{at} is writable")
            if not options & {"nosuid", "ro"}:
                faults.append(f"{at} honours set-uid")
    for mount in plan["mounts"]:
        if mount["at"] not in found:
            faults.append(f"{mount['at']} is not mounted")
        elif mount["type"] and found[mount["at"]][0] != mount["type"]:
            faults.append(f"{mount['at']} is {found[mount['at']][0]}, not {mount['type']}")
    return faults


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith(place + "/")


def _unescape(word: str) -> str:
    # Space, tab, newline and backslash are \\ooo in mountinfo (proc(5)).
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, character)
    return word


def _network(plan: dict[str, Any]) -> list[str]:
    faults = []
    if os.readlink("/proc/self/ns/net") == plan["host_net_namespace"]:
        faults.append("the host's network is in sight")
    # This file is the main table: the local one, by which all addresses are the box's, is no way
    # out (proc(5), fib_route_seq_show() in net/ipv4/fib_trie.c).
    with open("/proc/self/net/route", encoding="ascii") as file:
        if file.read().splitlines()[1:]:
            faults.append("there is a route out of the box")
    with open("/proc/self/net/dev", encoding="ascii") as file:
        interfaces = [line.split(":")[0].strip() for line in file.read().splitlines()[2:]]
    if interfaces != ["lo"]:
        faults.append(f"network interfaces: {' '.join(interfaces)}")
    return faults


def _processes(plan: dict[str, Any]) -> list[str]:
    # Inside, nothing is older than init and engine: a host's process would have another namespace.
    if os.readlink("/proc/self/ns/pid") == plan["host_pid_namespace"]:
        return ["the host's processes are in sight"]
    if os.readlink("/proc/self/ns/user") == plan["outer_user_namespace"]:
        return ["this is no container: it has the user namespace of the box"]
    return []


if __name__ == "__main__":
    sys.exit(main())
