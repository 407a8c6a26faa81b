"""From words to a command, with the one place where errors become a line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module

from clsecure import __version__
from clsecure.ahead import Ahead
from clsecure.errors import ExitCode, UserError
from clsecure.output import Output

_BROKEN_PIPE = 128 + 13  # what a shell shows for a program ended by SIGPIPE


def run(words: tuple[str, ...], begun: Ahead | None = None) -> int:
    """Do what the words of a command line ask for; `begun` is what was started for it already."""
    return guarded(lambda: _dispatch(words, begun))


def guarded(action: Callable[[], int]) -> int:
    """Call `action` and return its code, or report what it raised and return that error's code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that is not UTF-8 must not stop us
            stream.reconfigure(errors="backslashreplace")
    try:
        code = action()
        sys.stdout.flush()
    except UserError as error:
        _trace()
        Output().error(error.message, error.hint)
        return error.code
    except KeyboardInterrupt:
        Output().error("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the one boundary
        _trace()
        Output().error(*_internal(error))
        return ExitCode.FAILURE
    return code


def _dispatch(words: tuple[str, ...], begun: Ahead | None) -> int:
    from clsecure.request import plain

    request = plain(words)
    if request is None:
        from clsecure import commandline  # argparse and all options: 10 ms

        request = commandline.parse(words)
    if request.wants_help:
        from clsecure.helppages import help_text

        sys.stdout.write(help_text(request))
        return ExitCode.OK
    if request.wants_version:
        sys.stdout.write(f"clsecure {__version__}\n")
        return ExitCode.OK

    from pathlib import Path

    from clsecure.invocation import Invocation  # dataclasses and pathlib, not needed for help

    switched_on = {name for name, entry in request.options.items() if entry.value is True}
    output = Output(no_input="no_input" in switched_on, yes="yes" in switched_on)
    invocation = Invocation(
        command=request.command,
        options=request.options,
        arguments=request.arguments,
        output=output,
        environ=os.environ,
        cwd=Path(_current_directory()),
        begun=begun,
    )
    code: int = import_module(_module(request.command)).run(invocation)
    return code


def _module(command: str) -> str:
    """Return the module with a command's `run(invocation: Invocation) -> int`."""
    return f"clsecure.commands.{command}{'_' if command == 'import' else ''}"


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise UserError("the current directory is gone", hint="cd to one that exists") from error


def _internal(error: Exception) -> tuple[str, str]:
    import time  # only after a defect
    import traceback

    from clsecure.paths import state_directory
    from clsecure.store import Store

    said = " ".join(str(error).split())
    message = f"internal error: {type(error).__name__}{': ' if said else ''}{said[:300]}"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    entry = f"{stamp} clsecure {__version__}\n{traceback.format_exc()}\n"
    try:
        log = Store(state_directory(os.environ)).append_log(entry)
    except (OSError, KeyError):
        return message, "CLSECURE_DEBUG=1 prints the details"
    return message, f"details are in {log}; please report them"


def _trace() -> None:
    if os.environ.get("CLSECURE_DEBUG") == "1":
        import traceback  # only when asked for

        Output().details(traceback.format_exc())
