"""The pieces of `clsecure demo`: a sample repository, a scripted agent, and its report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

REPORT_MARK = "clsecure-demo-report: "
DAEMON_NAME = "clsecure-demo-daemon"  # its argv[0]: what to look for after the session
SECRET_MARK = "clsecure-demo-secret="  # noqa: S105 - none itself: begins the argv of a process of the human's
HOOK_NAME = "post-checkout"  # written below the agent's own .git/hooks
# What stands in the way of each attempt, by its name in the report.
STOPPED_BY = {
    "ssh-key": "the box has a home of its own",
    "homes": "no other home is in the box",
    "secrets": ".env is hidden: untracked, named like a secret",
    "hook": "the session has a git directory of its own",
    "network": "the proxy lets the API and the allow-list through alone",
    "loopback": "the box has a loopback of its own",
    "names": "the box has a resolver of its own, which asks nobody",
    "sockets": "/run, /tmp and the network are the box's own",
    "processes": "only the session's processes are in the box",
    "root": "no_new_privs: no program gives rights",
    "system": "the system is read-only",
    "passwd": "the system is read-only",
    "daemon": "what a session starts ends with it",
}
_AGENT = Path(__file__).with_name("agent.py")


class Outcome(Enum):
    """How an attempt of the agent ended, as the agent itself saw it."""

    STOPPED = "stopped"
    CONTAINED = "contained"  # it worked, on something that is the session's own
    GOT_THROUGH = "got through"


@dataclass(frozen=True)
class Attempt:
    """One thing that the agent tried; `detail` is the agent's text, to be escaped."""

    name: str
    what: str
    outcome: Outcome
    detail: str


def install_agent(directory: Path) -> Path:
    """Put the scripted agent into `directory` as the program `claude`; its path."""
    program = directory / "claude"
    program.write_bytes(_AGENT.read_bytes())
    os.chmod(program, 0o755)  # noqa: S103 - the worker, another user, runs it
    return program


def parse_report(text: str) -> tuple[Attempt, ...]:
    """Read the agent's report from its output, or from the file it wrote.

    Raises ValueError when there is none or it is malformed.
    """
    import json

    line = next((line for line in reversed(text.splitlines()) if REPORT_MARK in line), text)
    try:
        return tuple(
            Attempt(
                str(entry["name"]),
                str(entry["what"]),
                Outcome(entry["outcome"]),
                str(entry["detail"]),
            )
            for entry in json.loads(line.rpartition(REPORT_MARK)[2])["attempts"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no report of the demo agent: {error!r}") from error
