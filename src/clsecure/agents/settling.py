"""The first files of other agents than claude: answers, and settings without secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from clsecure.agents import Declaration
from clsecure.exposing import says_secrets
from clsecure.helper.engines import PYTHON
from clsecure.helper.inside import first

_MOST = 96 << 10  # bytes of all files: a variable takes 128 KiB (execve(2))


def first_files(agent: Declaration, home: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the agent's first files by relative path, and those that stay outside."""
    found: dict[str, str] = {}
    left_out, room = [], _MOST
    for name in agent.state:
        path = home / name
        paths = sorted(path.rglob("*")) if os.path.isdir(path) else [path]
        for each in paths:
            if not os.path.isfile(each):
                continue
            size = os.stat(each).st_size
            relative = os.fspath(each.relative_to(home))
            is_readable = os.access(each, os.R_OK)
            if not is_readable or size > room or says_secrets(os.fspath(each)):
                left_out.append(relative)
                continue
            room -= size
            found[relative] = each.read_text(encoding="utf-8", errors="replace")
    return {**agent.answers, **found}, tuple(left_out)


def settling(
    argv: tuple[str, ...], files: Mapping[str, str], variables: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return command and variables that first write those of the files that are missing."""
    source = Path(first.__file__).read_text(encoding="utf-8")
    text = json.dumps(files)
    return (PYTHON, "-IS", "-c", source, *argv), {**variables, first.FILES: text}
