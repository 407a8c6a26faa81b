"""The connection to root's helper: one sudo, typed messages and descriptors on a socketpair."""

from __future__ import annotations

from clsecure import ahead
from clsecure.errors import ExitCode, UserError
from clsecure.helper.protocol import ANSWERS, Failed
from clsecure.helper.records import BadField, Record
from clsecure.helper.wire import receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeVar

    AnyRecord = TypeVar("AnyRecord", bound=Record)

SUDO_HINT = (
    "clsecure needs root once a session: ask an administrator for `clsecure setup --for YOU`"
)


class Helper:
    """A running helper. Closing the connection ends it, and with it everything that it made."""

    def __init__(self, process: ahead.Helper) -> None:
        self._process = process
        self.channel = process.channel
        self._has_answered = False

    def ask(
        self, request: Record, expected: type[AnyRecord], descriptors: tuple[int, ...] = ()
    ) -> tuple[AnyRecord, list[int]]:
        """Send a request and wait for its answer; raises UserError."""
        self.send(request, descriptors)
        return self.expect(expected)

    def expect(self, expected: type[AnyRecord]) -> tuple[AnyRecord, list[int]]:
        """Wait for the answer to a request that was sent; raises UserError."""
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
        self._process.close()

    def _gone(self) -> UserError:
        code = self._process.close()
        if code == 1 and "sudo" in self._process.argv[0] and not self._has_answered:
            return UserError("sudo did not allow it", hint=SUDO_HINT, code=ExitCode.MISSING)
        return UserError("the root helper has ended", hint="`clsecure list` shows what was kept")


def start(environ: Mapping[str, str], *, may_ask: bool) -> Helper:
    """Start the helper as root; `may_ask`: sudo may ask for a password. Raises UserError."""
    argv = ahead.helper_command(may_ask=may_ask)
    if argv is None:
        raise no_sudo()
    return Helper(ahead.Helper(argv, ahead.root_environment(environ)))


def no_sudo() -> UserError:
    """Return the error for a host without sudo."""
    return UserError(
        "sudo is not installed",
        hint="install it (apt install sudo), or run clsecure as root",
        code=ExitCode.MISSING,
    )
