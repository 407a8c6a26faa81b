"""`clsecure shell`: a shell where the agent would run."""

from __future__ import annotations

from clsecure.commands import exec as command
from clsecure.invocation import Invocation

_SHELL = ("bash", "-i")


def run(invocation: Invocation) -> int:
    """Open a shell in the box; its exit code is returned, and the session kept."""
    return command.run_in_box(invocation, _SHELL)
