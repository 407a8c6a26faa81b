"""Who calls, and may they have what they ask for? Nothing that the caller says is believed."""

from __future__ import annotations

import os
import pwd
import stat

from . import caches
from . import syscalls as sc
from .accounts import PREFIX
from .container import CRUN, NEWUIDMAP, PODMAN
from .engines import BUBBLEWRAP, FIREJAIL
from .layout import check_places
from .places import Owner
from .protocol import Exec, Limits, Listener, Open, Refusal, Session

# Sets of characters instead of regular expressions, whose module is slow to import.
_DIGITS, _LOWER = "0123456789", "abcdefghijklmnopqrstuvwxyz"
_ALPHANUMERIC = _DIGITS + _LOWER + _LOWER.upper()
_MAX_SESSION, _MAX_WORKER = 64, 32
_NAME = _DIGITS + _LOWER + "-"
_HASHES = (40, 64)  # hexadecimal digits of git's object ids: SHA-1, SHA-256
_CHOICES = {
    "action": ("create", "resume"),
    "mode": ("user", "namespace", "container"),
    "engine": ("none", "firejail", "bubblewrap", "podman"),
    "network": ("none", "filtered", "open"),
    "workspace": ("overlay", "clone"),
    "docker": ("none", "podman", "host"),
}
_ENGINES = {
    "user": ("none",),
    "namespace": ("firejail", "bubblewrap"),
    "container": ("podman",),
}
# What sockets of the box are for, and of which kind that is.
_ROLES = {
    "proxy": "tcp",
    "transparent": "tcp",
    "resolver": "udp",
    "resolver-tcp": "tcp",
    "api": "tcp",
    "git": "tcp",
    "gh": "tcp",
}
_MAX_PORT = 65535
_MAX_SECONDS = 1_000_000
# Lowest and highest: below the first, the box itself does not come to stand.
_LIMITS = {
    "memory": (64 << 20, 1 << 50),
    "cpus": (50, 8_192_000),
    "pids": (16, 1 << 22),
    "disk": (32 << 20, 1 << 43),
}


def caller() -> Owner:
    """Return the human for whom sudo started this process; root itself when there was no sudo."""
    uid = int(os.environ.get("SUDO_UID", "0"))
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        raise Refusal(f"user id {uid} has no account", code=4) from None
    if account.pw_name.startswith(PREFIX):
        raise Refusal("a worker may not start sessions")
    return Owner(uid, account.pw_gid, tuple(os.getgrouplist(account.pw_name, account.pw_gid)))


def check_open(request: Open, human: Owner) -> None:
    """Refuse what is not of the closed set, and every path that this human could not open."""
    for field, choices in _CHOICES.items():
        if getattr(request, field) not in choices:
            raise Refusal(f"{field} must be one of {', '.join(choices)}", code=2)
    check_session(request.session)
    for worker in request.workers:
        check_worker(worker)
    check_places(request)
    if len(request.base) not in _HASHES or not _consists(request.base, _DIGITS + "abcdef"):
        raise Refusal("the base is not an object id", code=2)
    if not all(part not in ("", ".", "..") for part in request.probe.split("/")):
        raise Refusal("the probe is not a plain relative path", code=2)
    _check_listeners(request)
    _check_engine(request)
    check_limits(request.limits)
    if len(request.lfs) not in (0, len(request.objects)):
        raise Refusal("each object store has one place for git-lfs", code=2)
    human.act(lambda: _check_paths(request, human))


def _check_engine(request: Open) -> None:
    if request.engine not in _ENGINES[request.mode]:
        raise Refusal(f"mode {request.mode} does not go with engine {request.engine}", code=2)
    if request.image and request.engine != "podman":
        raise Refusal("only a container has an image", code=2)
    if request.writable and request.engine != "podman":
        raise Refusal("only a container's root directory can be writable", code=2)
    for program, engine in ((FIREJAIL, "firejail"), (BUBBLEWRAP, "bubblewrap")):
        if request.engine == engine and not os.access(program, os.X_OK):
            raise Refusal(f"{program} is not installed", hint=f"install {engine}", code=4)
    if request.engine == "podman" or request.docker == "podman":
        _check_podman()


def _check_podman() -> None:
    for program in (PODMAN, CRUN, *NEWUIDMAP):
        if not os.access(program, os.X_OK):
            hint = "install podman, crun and uidmap (newuidmap)"
            raise Refusal(f"{program} is not installed", hint=hint, code=4)


def _check_paths(request: Open, human: Owner) -> None:
    stores = (*request.objects, *(path for path in request.lfs if path))
    for path in (request.project, request.home, request.git_dir, *stores):
        _open_directory(path)
    for path in (*request.exposures, *(one.source for one in request.aliases)):
        _check_exposure(path)
    for path in request.caches:
        caches.check(path)
        _open_directory(path)
    for one in request.state:
        caches.check(one.at)
        if one.source:
            _open_directory(one.source)
    home = os.stat(request.home, follow_symlinks=False)
    if home.st_uid != human.uid:
        raise Refusal(f"{request.home} is not your home directory")


def _check_exposure(path: str) -> None:
    # Being shown a socket means to reach who listens on it, and read-only does not change that.
    exposed = _open(path, os.O_PATH)
    kind = stat.S_IFMT(os.fstat(exposed).st_mode)
    os.close(exposed)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise Refusal(f"an exposed path cannot be {path}: it is neither a file nor a directory")
    os.close(_open(path, os.O_RDONLY))  # a place alone takes no right to read it


def _open_directory(path: str) -> None:
    os.close(_open(path, os.O_RDONLY | os.O_DIRECTORY))


def _open(path: str, flags: int) -> int:
    try:
        return sc.openat2(sc.AT_FDCWD, path, flags, resolve=sc.NO_LINKS)
    except OSError as error:
        raise Refusal(f"{path} cannot be opened as you: {error.strerror}") from None


def check_limits(limits: Limits) -> None:
    """Refuse limits below which a box does not come to stand, and absurd ones."""
    for name, (low, high) in _LIMITS.items():
        value = getattr(limits, name)
        if value and not low <= value <= high:
            raise Refusal(f"the limit {name} must be 0, or from {low} to {high}", code=2)


def _check_listeners(request: Open) -> None:
    handed_out = request.listeners or request.broker or request.docker == "host"
    if request.network == "none" and handed_out:
        raise Refusal("without a network nothing is handed out of the box", code=2)
    roles = [listener.role for listener in request.listeners]
    if len(set(roles)) < len(roles):
        raise Refusal("two listeners of one role", code=2)
    for listener in request.listeners:
        _check_listener(listener)


def _check_listener(listener: Listener) -> None:
    if not _is_loopback(listener.address) or not 0 < listener.port <= _MAX_PORT:
        raise Refusal("a listener must be on a loopback address", code=2)
    if _ROLES.get(listener.role) != listener.kind:
        raise Refusal("a listener's role or kind is not one of those there are", code=2)
    if listener.role == "transparent" and ":" in listener.address:
        raise Refusal("the transparent listener is for IPv4", code=2)


def _consists(text: str, characters: str) -> bool:
    return all(character in characters for character in text)


def _is_session(name: str) -> bool:
    fits = len(name) <= _MAX_SESSION and name[0] in _ALPHANUMERIC
    return fits and _consists(name, _ALPHANUMERIC + "._-")


def _is_loopback(address: str) -> bool:
    parts = address.split(".")
    fits = len(parts) == 4 and parts[0] == "127"  # noqa: PLR2004 - bytes of an IPv4 address
    return address == "::1" or (fits and all(_is_byte(part) for part in parts))


def _is_byte(text: str) -> bool:
    return 0 < len(text) <= 3 and _consists(text, _DIGITS) and int(text) < 256  # noqa: PLR2004


def check_session(session: str) -> None:
    """Refuse a session name that is no plain word; the empty one is the default session."""
    if session and not _is_session(session):
        raise Refusal(
            "a session name is made of letters, digits, '.', '_' and '-', 64 at most", code=2
        )


def check_exec(request: Exec, descriptors: list[int], *, may_be_root: bool = False) -> None:
    """Refuse a command that cannot be one."""
    if request.rooted and not (may_be_root and request.confined):
        raise Refusal("only a fresh, writable container's commands can be root there", code=2)
    if not request.argv or not all("=" in word for word in request.environment):
        raise Refusal("not a command", code=2)
    if bool(request.rows) == bool(descriptors) or len(descriptors) not in (0, 3):
        raise Refusal("a command needs a terminal, or three descriptors", code=2)
    if not (0 <= request.rows <= _MAX_PORT and 0 <= request.columns <= _MAX_PORT):
        raise Refusal("not a terminal's size", code=2)
    if not 0 <= request.timeout <= _MAX_SECONDS:
        raise Refusal("not a time limit", code=2)


def check_worker(worker: str) -> None:
    """Refuse a name that is no worker's."""
    rest = worker.removeprefix(PREFIX)
    if rest in ("", worker) or len(worker) > _MAX_WORKER or not _consists(rest, _NAME):
        raise Refusal("not a worker's name", code=2)


def is_of(session: Session, project: str, name: str, human: Owner) -> bool:
    """Say whether this is the session that the human means."""
    return (session.project, session.session, session.human) == (project, name, human.uid)
