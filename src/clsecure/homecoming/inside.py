"""How clsecure's own programs run in a session's box: as the worker, their source in the argv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

_PACKAGE = "clsecure.helper.inside"


class Runner(Protocol):
    """Runs programs in the session's box, as the worker."""

    def run_inside(
        self, argv: Sequence[str], *, stdin: bytes, stdout: int, env: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Run `argv` with `stdin`, its output to the descriptor `stdout`.

        Return the exit code and what was written to standard error.
        """


def inside_command(*names: str) -> tuple[str, ...]:
    """Return the argv that runs the last of these modules of `helper.inside` in the box.

    The program travels in it, so the box need not hold a copy.
    """
    inside = Path(__file__).parent.parent / "helper/inside"
    lines = ["import sys, types"]
    for name in names:
        source = (inside / f"{name}.py").read_text(encoding="utf-8")
        full = f"{_PACKAGE}.{name}"
        lines += [f"sys.modules[{full!r}] = m = types.ModuleType({full!r})"]
        lines += [f"exec(compile({source!r}, {f'{name}.py'!r}, 'exec'), m.__dict__)"]
    lines.append("sys.exit(m.main())")
    return ("/usr/bin/python3", "-IS", "-c", "\n".join(lines))
