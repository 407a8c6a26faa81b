"""What begins before anything is read or planned: root's helper, git's answer, the tree's listing.

A start waits for them, so they run beside the interpreter that still loads the rest of clsecure.
For that reason this module imports next to nothing.
"""

from __future__ import annotations

import os

from clsecure import gitcall, treecache
from clsecure.helper.lean import signal, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clsecure.listing import Listing
    from clsecure.program import Program
    from clsecure.treecache import Known

PYTHON = "/usr/bin/python3"  # the distribution's: no user can write to it
INSTALLED = "/usr/lib/clsecure"
PACKAGE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "helper")
_SCRIPT = f"{PACKAGE}/__main__.py"  # as a script: as a package it would take 5 ms longer
_SUDO = ("/usr/bin/sudo", "/bin/sudo", "/usr/local/bin/sudo")
_SECOND = 1_000_000_000  # in nanoseconds


class Helper:
    """Root's helper as a process, with the human's end of its channel."""

    def __init__(self, argv: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self.argv = argv
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Ctrl-C is for us to hear: the helper ignores it from its first instruction on.
        heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._pid = os.posix_spawn(
                argv[0], argv, environ, file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
            )
        finally:
            signal.signal(signal.SIGINT, heard)
            theirs.close()

    def close(self) -> int:
        """Close the channel, wait until nothing of the box is left, and return the exit code."""
        self.channel.close()
        pid, self._pid = self._pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 1


class Ahead:
    """What has begun, until somebody takes it; `close` ends what nobody took."""

    def __init__(self) -> None:
        self.helper: Helper | None = None
        self.asked: Program | None = None  # git, for the checkout
        self.listing: Listing | Known | None = None

    def close(self) -> None:
        """End what is under way."""
        for one in (self.asked, self.listing, self.helper):
            if one is not None:
                one.close()


def begin(environ: Mapping[str, str], directory: str) -> Ahead:
    """Start what a session of the project at `directory` will need, where nothing is asked for it.

    Nothing is started outside of a repository. What fails here is tried again later, and is then
    reported.
    """
    begun = Ahead()
    top = find_top(directory)
    if not top:
        return begun
    try:
        argv = _quiet_command()
        if argv:
            begun.helper = Helper(argv, root_environment(environ))
        begun.asked = gitcall.ask(directory)
        begun.listing = treecache.start(top, environ)
    except OSError:
        pass
    return begun


def find_top(start: str) -> str:
    """Return the top of the git working tree that holds `start`, or "" outside of one.

    Looks for `.git` upwards, without a process: a file (worktree, submodule) or a directory with
    a HEAD, which is how git tells a repository from a directory that is only named so.
    """
    while True:
        candidate = os.path.join(start, ".git")
        if os.path.isfile(candidate) or os.path.lexists(f"{candidate}/HEAD"):
            return start
        parent = os.path.dirname(start)
        if parent == start:
            return ""
        start = parent


def helper_command(*, may_ask: bool) -> tuple[str, ...] | None:
    """Return what starts the helper as root; None where there is no sudo.

    `may_ask`: sudo may ask for a password.
    """
    if os.getuid() == 0:
        return (PYTHON, "-BIS", _SCRIPT)
    sudo = sudo_path()
    if not sudo:
        return None
    quietly = () if may_ask else ("-n",)
    if is_installed():
        return (sudo, *quietly, "--", f"{INSTALLED}/clsecure-helper")
    return (sudo, *quietly, "--", PYTHON, "-BIS", _SCRIPT)


def root_environment(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the helper's environment: root acts for itself, without the variables of a sudo."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} if os.getuid() == 0 else environ


def sudo_path() -> str:
    """Return where sudo is, or "" where there is none."""
    return next((path for path in _SUDO if os.access(path, os.X_OK)), "")


def has_rule() -> bool:
    """Say whether `clsecure setup` gave this user a sudo rule; not all may read the rules."""
    return os.path.exists(f"{INSTALLED}/users/{os.getuid()}")


def is_installed() -> bool:
    """Say whether root's own copy of the helper is there, and is this version's."""
    if not os.access(f"{INSTALLED}/clsecure-helper", os.X_OK):
        return False
    return all(_is_same(f"{PACKAGE}/{name}", f"{INSTALLED}/helper/{name}") for name in modules())


def modules(below: str = "") -> Iterator[str]:
    """Yield the files of the helper in this package, by their paths in it."""
    for name in os.listdir(f"{PACKAGE}/{below}"):
        if name.endswith(".py"):
            yield below + name
        elif name.isidentifier() and name != "__pycache__":
            yield from modules(f"{below}{name}/")


def _quiet_command() -> tuple[str, ...] | None:
    # A rule for this user alone says that sudo asks for nothing.
    if os.getuid() == 0:
        return helper_command(may_ask=False)
    if not has_rule():
        return None
    argv = helper_command(may_ask=False)
    return argv if argv and argv[-1].startswith(INSTALLED) else None


def _is_same(one: str, other: str) -> bool:
    try:
        ours, theirs = os.stat(one), os.stat(other)
        if ours.st_size != theirs.st_size:
            return False
        # `setup` takes the time over. One of whole seconds is a packager's, the same for all files.
        if ours.st_mtime_ns == theirs.st_mtime_ns and ours.st_mtime_ns % _SECOND:
            return True
        with open(one, "rb") as file, open(other, "rb") as installed:
            return file.read() == installed.read()
    except OSError:
        return False
