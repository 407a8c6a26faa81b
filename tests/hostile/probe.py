"""Many attempts in one script, run in the box by the worker and outside of it by the human.

A probe is Python source that uses `attempt`, `GIVEN` and the modules imported below. What an
attempt returns is what it got; an error, or None, means that it got nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from world import Human

BOXES = ("user", "firejail", "bubblewrap", "podman")
_MODES = {"user": "user", "podman": "container"}
_MARK = "=== got "
_HEAD = """
import array, ctypes, errno, fcntl, glob, json, os, signal, socket, stat, struct, subprocess
import sys, time
GIVEN, GOT = json.loads(%r), {}
libc = ctypes.CDLL(None, use_errno=True)

def attempt(function):
    try:
        GOT[function.__name__] = function()
    except Exception as error:
        GOT[function.__name__] = None
        print(function.__name__, repr(error), file=sys.stderr)

def syscall(number, *words):
    result = libc.syscall(number, *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
"""
_TAIL = f"\nprint({_MARK!r} + json.dumps(GOT))\n"


def script(source: str, given: Mapping[str, Any]) -> str:
    """The whole script; values that are no JSON are handed over as text."""
    return _HEAD % json.dumps(dict(given), default=str) + source + _TAIL


def mode_options(box: str) -> tuple[str, ...]:
    """The options that ask for that box."""
    if box in _MODES:
        return ("--mode", _MODES[box])
    return ("--mode", "namespace", "--engine", box)


def inside(
    human: Human, project: Path, box: str, source: str, given: Mapping[str, Any], *options: str
) -> dict[str, Any]:
    """What a probe gets in a box of that project."""
    words = ("exec", *mode_options(box), *options, "--", "/usr/bin/python3", "-")
    return got(human.clsecure(*words, cwd=project, stdin=script(source, given)).stdout)


def outside(
    human: Human, source: str, given: Mapping[str, Any], cwd: Path | None = None
) -> dict[str, Any]:
    """What the same probe gets as the human, outside of any box."""
    return got(human.run("/usr/bin/python3", "-", stdin=script(source, given), cwd=cwd).stdout)


def got(output: str) -> dict[str, Any]:
    """Read what a script printed."""
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    assert lines, output
    found: dict[str, Any] = json.loads(lines[-1][len(_MARK) :])
    return found
