"""Runs git outside for the door: for the box with nothing of the human's, or in their place."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from clsecure.gitcall import SAFE, clean_environment

_REMOTE = "clsecure"  # what the human's remote is called in a call of ours
_MEMORY = 4 << 20  # KiB of its own that a git which reads from the box may have
_LIMITED = ("/bin/sh", "-c", f'ulimit -d {_MEMORY} && exec "$@"', "sh", "git")
_SECONDS = 900.0
_MOST = 1 << 20
# Nobody sits at a terminal there: what would ask fails.
_SILENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "SSH_ASKPASS_REQUIRE": "never",
}


class Ended(NamedTuple):
    """A call of git that has ended."""

    code: int
    stdout: str
    said: str


def bare_environment(
    extra: Mapping[str, str] | None = None, *, may_fetch: bool = False
) -> dict[str, str]:
    """Return an environment in which git has none of the human's settings, and reaches no host."""
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return clean_environment({**own, **_SILENT, **(extra or {})}, may_fetch=may_fetch)


def human_environment(
    address: str, settings: Sequence[tuple[str, str]], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return one in which git reaches the remote called `clsecure` as the human does."""
    told = (*settings, (f"remote.{_REMOTE}.url", address))
    variables = {"GIT_CONFIG_COUNT": str(len(told))}
    for number, (key, value) in enumerate(told):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    made = bare_environment({**variables, **(extra or {})}, may_fetch=True)
    if command := _ssh(made, dict(settings)):
        made["GIT_SSH_COMMAND"] = command
    return made


def _ssh(environment: Mapping[str, str], settings: Mapping[str, str]) -> str:
    """Return the human's command for ssh, told not to ask; "" leaves it as it is."""
    command = environment.get("GIT_SSH_COMMAND") or settings.get("core.sshcommand")
    if not command and environment.get("GIT_SSH"):
        return ""
    command = command or "ssh"
    try:
        program = shlex.split(command)[0]
    except (ValueError, IndexError):
        return ""
    return f"{command} -oBatchMode=yes" if os.path.basename(program) == "ssh" else ""


async def run(
    *words: str, directory: str, env: Mapping[str, str], stdin: bytes = b"", cwd: str | None = None
) -> Ended:
    """Run git on the repository in `directory` to its end; it is killed when this is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *("git", f"--git-dir={directory}", *SAFE, *words),
        env=env,
        cwd=cwd or directory,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            out, said = await process.communicate(stdin)
    except TimeoutError:
        return Ended(1, "", f"nothing within {_SECONDS:.0f} seconds\n")
    finally:
        kill(process)
    words_out, words_said = (os.fsdecode(each[:_MOST]) for each in (out, said))
    return Ended(process.returncode or 0, words_out, words_said)


async def serve(
    words: Sequence[str], descriptor: int, env: Mapping[str, str], kept: int
) -> asyncio.subprocess.Process:
    """Start a git that speaks with the box at `descriptor`, and whose hooks have `kept`."""
    return await asyncio.create_subprocess_exec(
        *_LIMITED,
        *SAFE,
        *words,
        env=env,
        cwd="/",
        stdin=descriptor,
        stdout=descriptor,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=(kept,),
        start_new_session=True,
    )


def kill(process: asyncio.subprocess.Process) -> None:
    """End a git and what it has started, unless it has ended."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
