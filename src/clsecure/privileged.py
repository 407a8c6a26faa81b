"""The connection to root's helper: one sudo, typed messages and descriptors on a socketpair."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from clsecure.errors import ExitCode, UserError
from clsecure.helper.protocol import ANSWERS, Failed, receive, send
from clsecure.helper.records import BadField, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeVar

    AnyRecord = TypeVar("AnyRecord", bound=Record)

PYTHON = "/usr/bin/python3"  # the distribution's: no user can write to it
INSTALLED = Path("/usr/lib/clsecure")
SUDO_HINT = (
    "clsecure needs root once a session: ask an administrator for `clsecure setup --for YOU`"
)
PACKAGE = Path(__file__).resolve().parent / "helper"
_SCRIPT = str(PACKAGE / "__main__.py")  # as a script: as a package it would take 5 ms longer


class Helper:
    """A running helper. Closing the connection ends it, and with it everything that it made."""

    def __init__(self, argv: tuple[str, ...], environ: Mapping[str, str]) -> None:
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
        self._argv = argv
        self._has_answered = False

    def ask(
        self, request: Record, expected: type[AnyRecord], descriptors: tuple[int, ...] = ()
    ) -> tuple[AnyRecord, list[int]]:
        """Send a request and wait for its answer; raises UserError."""
        self.send(request, descriptors)
        answer, received = self.receive()
        if not isinstance(answer, expected):
            raise UserError(f"the root helper answered {type(answer).__name__} out of turn")
        return answer, received

    def send(self, request: Record, descriptors: tuple[int, ...] = ()) -> None:
        """Send a request whose answer comes later; raises UserError."""
        try:
            send(self.channel, request, descriptors)
        except OSError:
            raise self._gone() from None

    def receive(self) -> tuple[Record, list[int]]:
        """Wait for the next message; raises UserError for a refusal, or when the helper is gone."""
        try:
            received = receive(self.channel, ANSWERS)
        except BadField as error:
            raise UserError(f"the root helper cannot be understood: {error}") from None
        except OSError:
            received = None
        if received is None:
            raise self._gone()
        self._has_answered = True
        answer, descriptors = received
        if isinstance(answer, Failed):
            raise UserError(answer.message, hint=answer.hint, code=ExitCode(answer.code))
        return answer, descriptors

    def close(self) -> None:
        """End the helper and wait until nothing of the box is left."""
        self.channel.close()
        if self._pid:
            pid, self._pid = self._pid, 0
            os.waitpid(pid, 0)

    def _gone(self) -> UserError:
        self.channel.close()
        pid, self._pid = self._pid, 0
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 1
        if code == 1 and "sudo" in self._argv[0] and not self._has_answered:
            return UserError("sudo did not allow it", hint=SUDO_HINT, code=ExitCode.MISSING)
        return UserError("the root helper has ended", hint="`clsecure list` shows what was kept")


def start(environ: Mapping[str, str], *, may_ask: bool) -> Helper:
    """Start the helper as root; `may_ask`: sudo may ask for a password. Raises UserError."""
    if os.getuid() == 0:
        # Without sudo's variables: root acts for itself.
        return Helper((PYTHON, "-BIS", _SCRIPT), {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    sudo = sudo_path()
    quietly = () if may_ask else ("-n",)
    if is_installed():
        return Helper((sudo, *quietly, "--", str(INSTALLED / "clsecure-helper")), environ)
    return Helper((sudo, *quietly, "--", PYTHON, "-BIS", _SCRIPT), environ)


def start_early(environ: Mapping[str, str]) -> Helper | None:
    """Start the helper beside the planning, where sudo will not ask for anything; else None."""
    if os.getuid() == 0 or (has_rule() and is_installed()):
        return start(environ, may_ask=False)
    return None


def is_installed() -> bool:
    """Say whether root's own copy of the helper is there, and is this version's."""
    if not os.access(INSTALLED / "clsecure-helper", os.X_OK):
        return False
    return all(_is_same(path, INSTALLED / "helper" / name) for name, path in helper_files())


def has_rule() -> bool:
    """Say whether `clsecure setup` gave this user a sudo rule; not all may read the rules."""
    return (INSTALLED / "users" / str(os.getuid())).exists()


def helper_files() -> list[tuple[str, Path]]:
    """Return the files of the helper in this package: relative name and path."""
    return sorted((str(path.relative_to(PACKAGE)), path) for path in PACKAGE.rglob("*.py"))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def sudo_path() -> str:
    """Return where sudo is; raises UserError (MISSING)."""
    for path in ("/usr/bin/sudo", "/bin/sudo", "/usr/local/bin/sudo"):
        if os.access(path, os.X_OK):
            return path
    raise UserError(
        "sudo is not installed",
        hint="install it (apt install sudo), or run clsecure as root",
        code=ExitCode.MISSING,
    )
