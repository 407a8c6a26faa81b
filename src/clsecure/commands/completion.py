"""`clsecure completion`: a script that makes a shell complete commands and options."""

from __future__ import annotations

import shtab

from clsecure.errors import ExitCode
from clsecure.helppages import full_parser
from clsecure.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Print the completion script for the shell that was named."""
    script = shtab.complete(full_parser(), shell=invocation.arguments[0])
    invocation.output.say(script.rstrip("\n"), multiline=True)
    return ExitCode.OK
