"""The program's first lines: what takes long begins here, before the rest is even loaded."""

from __future__ import annotations

import gc
import os
import sys

from clsecure import __version__, ahead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_ALLOCATIONS = 50_000  # before garbage is looked for: none comes of loading, and each look is 1 ms
_INTERRUPTED = 130  # errors.ExitCode, which takes 3 ms to import


def main(argv: Sequence[str] | None = None) -> int:
    """Run clsecure with the words of `argv` (default: this process's own); return its exit code."""
    gc.set_threshold(_ALLOCATIONS)
    _open_standard_streams()
    words = tuple(sys.argv[1:] if argv is None else argv)
    if words == ("--version",):
        sys.stdout.write(f"clsecure {__version__}\n")
        return 0
    begun = None
    try:
        if not words or words[0] == "--":  # the daily forms: a session will be started
            begun = ahead.begin(os.environ, _directory())
        from clsecure.dispatch import run

        return run(words, begun)
    except KeyboardInterrupt:  # from here on `dispatch` hears it
        sys.stderr.write("clsecure: interrupted\n")
        return _INTERRUPTED
    finally:
        if begun is not None:
            begun.close()


def _open_standard_streams() -> None:
    # A closed one (`<&-`) would be the number of the next file opened, and be relayed as a stream.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            stream = os.fdopen(number, "r" if number == 0 else "w", closefd=False)
            setattr(sys, name, stream)


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"  # it is gone, which `dispatch` says
