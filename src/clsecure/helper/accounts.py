"""Workers: the Linux users that sessions run as. Made, found and removed completely."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import time

from .protocol import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

PREFIX = "claude-worker-"
# Above UID_MAX of login.defs (60000), outside systemd's ranges and below the first subordinate ids
# (100000); see systemd's doc/UIDS-GIDS. Handed out upwards, so that an id comes back only after
# all.
FIRST_ID, LAST_ID = 66000, 99999
SUBORDINATE = 65536  # ids of a container's own: every one that an image may use
_FIRST_SUBORDINATE = 100000  # SUB_UID_MIN of login.defs(5)
_MARK = "/var/lib/clsecure/last-uid"
_LOCK = 3  # descriptor
_PROGRAMS = ("/usr/sbin", "/sbin", "/usr/bin")
_LOCKED = "try again later"  # useradd(8) and userdel(8) say so of each of their files
_SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # what lies there is told by its owner alone
_SPOOLS = ("/var/mail", "/var/spool/cron/crontabs", "/var/spool/at")  # also by its name


class Accounts:
    """Makes and removes users while holding one lock, since the system's own is only tried once."""

    def __init__(self, state: int) -> None:
        self._lock = os.open("users.lock", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=state)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def create(self, name: str, *, is_contained: bool) -> pwd.struct_passwd:
        """Make the worker of that name, for containers with subordinate ids; raises Refusal."""
        subordinate = SUBORDINATE if is_contained else 0
        uid = _next_id()
        _remember(uid)
        self._run(
            "useradd",
            *("--uid", str(uid), "--key", f"UID_MAX={LAST_ID}", "--user-group"),
            *("--key", f"GID_MAX={LAST_ID}"),
            *("--key", f"SUB_UID_COUNT={subordinate}", "--key", f"SUB_GID_COUNT={subordinate}"),
            *("--no-create-home", "--home-dir", f"/home/{name}", "--shell", "/usr/sbin/nologin"),
            *("--no-log-init", "--comment", "clsecure worker", name),
        )
        return pwd.getpwnam(name)

    def grant(self, name: str) -> None:
        """Give a worker subordinate ids, above all that anybody has; raises Refusal."""
        lines = [*_lines("/etc/subuid"), *_lines("/etc/subgid")]
        taken = [line.split(":") for line in lines if line.count(":") == 2]  # noqa: PLR2004 - subuid(5)
        first = max([_FIRST_SUBORDINATE, *(int(start) + int(count) for _, start, count in taken)])
        given = f"{first}-{first + SUBORDINATE - 1}"
        self._run("usermod", "--add-subuids", given, "--add-subgids", given, name)

    def remove(self, name: str, uid: int) -> None:
        """Remove the worker and what it left in shared places; raises Refusal if anything stays."""
        if is_foreign(name):
            raise Refusal(f"{name} is a user that clsecure has not made", code=5)
        kill_all(uid)
        for path in _leftovers(name, uid):
            try:
                os.unlink(path)
            except (IsADirectoryError, PermissionError):
                raise Refusal(f"{path} belongs to {name} and is still there", code=1) from None
        if find(name):
            self._run("userdel", "--force", name)
        for database in ("passwd", "group", "subuid", "subgid"):
            if any(line.startswith(f"{name}:") for line in _lines(f"/etc/{database}")):
                raise Refusal(f"{name} is still in /etc/{database}", code=1)

    def _run(self, program: str, *arguments: str) -> None:
        # It holds the lock as well: one that outlives a killed helper is waited for.
        _system(program, *arguments, lock=self._lock)


def find(name: str) -> pwd.struct_passwd | None:
    """Return the user of that name, if there is one."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def is_foreign(name: str) -> bool:
    """Say whether a user of that name is not one of ours: another tool's, perhaps."""
    account = find(name)
    return account is not None and not FIRST_ID <= account.pw_uid <= LAST_ID


def kill_all(uid: int) -> None:
    """End every process of that user, wherever it runs; raises Refusal if one stays."""
    for _ in range(100):
        alive = list(processes_of(uid))
        if not alive:
            return
        for pid in alive:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    raise Refusal(f"processes of user id {uid} do not end", code=1)


def processes_of(uid: int) -> Iterator[int]:
    """Yield the processes whose real user id this is."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = dict(line.partition(":")[::2] for line in _lines(f"/proc/{entry}/status"))
            ended = fields.get("State", "").split()[:1] == ["Z"]  # its parent's to look at
            if fields.get("Uid", "").split()[:1] == [str(uid)] and not ended:
                yield int(entry)


def _next_id() -> int:
    said = (_lines(_MARK) or [""])[0]
    last = int(said) if said.isascii() and said.isdigit() else FIRST_ID - 1
    size = LAST_ID - FIRST_ID + 1
    for step in range(1, size + 1):
        uid = FIRST_ID + (last - FIRST_ID + step) % size
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return uid
    raise Refusal("all user ids for workers are taken", hint="clsecure cleanup --all", code=4)


def _remember(uid: int) -> None:
    # In one step: on a full disk the old mark must stay, or ids would come back.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(f"{_MARK}.new", flags, 0o600)
    try:
        os.write(descriptor, f"{uid}\n".encode())
        os.rename(f"{_MARK}.new", _MARK)
    except OSError:
        os.unlink(f"{_MARK}.new")
        raise
    finally:
        os.close(descriptor)


def _leftovers(name: str, uid: int) -> Iterator[str]:
    for directory in (*_SHARED, *_SPOOLS):
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        for entry in entries:
            try:
                owner = entry.stat(follow_symlinks=False).st_uid
            except FileNotFoundError:
                continue
            if owner == uid or (entry.name == name and directory in _SPOOLS):
                yield entry.path


def run_program(program: str, *arguments: str, package: str, keep: int = -1) -> tuple[int, str]:
    """Run one of the system's programs for administrators; returns its code and what it says.

    Raises Refusal, naming its `package`, where it is missing. It inherits the descriptor `keep`.
    """
    path = next((f"{d}/{program}" for d in _PROGRAMS if os.path.exists(f"{d}/{program}")), "")
    if not path:
        raise Refusal(f"{program} is not installed", hint=f"install {package}", code=4)
    output = os.memfd_create("output", os.MFD_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    actions = [
        (os.POSIX_SPAWN_DUP2, null, 0),
        *((os.POSIX_SPAWN_DUP2, output, n) for n in (1, 2)),
        *((os.POSIX_SPAWN_DUP2, keep, _LOCK) for _ in range(keep >= 0)),
    ]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    pid = os.posix_spawn(path, [program, *arguments], environment, file_actions=actions)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = os.pread(output, 2000, 0).decode(errors="replace").strip()
    os.close(output)
    os.close(null)
    return code, said


def _system(program: str, *arguments: str, lock: int) -> None:
    package = "the package 'passwd' or 'shadow-utils'"
    for attempt in range(50):
        code, said = run_program(program, *arguments, package=package, keep=lock)
        if code == 0:
            return
        if _LOCKED not in said or attempt == 49:  # noqa: PLR2004 - the last attempt
            raise Refusal(f"{program} failed: {said.splitlines()[-1] if said else code}", code=4)
        time.sleep(0.05)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return []
        raise
