"""The box's door for GitHub's program: the human's own gh runs outside, for the project alone.

A connection is one line of JSON, `words` and `branch`, and is answered by one: `out`, `said` and
`code`. What may be run is for `ghcommands` to say. The box has no token, and speaks to no API.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Sequence

from clsecure.egress.gateway import Gateway
from clsecure.egress.git import ghcommands
from clsecure.egress.git.githosts import RULE
from clsecure.egress.git.gitprogram import kill
from clsecure.egress.inspection import HEAD_SECONDS
from clsecure.egress.names import parse_host
from clsecure.egress.refusals import Denied, last_words
from clsecure.output import escape

_PORT = 443
_LONGEST = 512 << 10  # bytes of a question
_MOST = 4 << 20  # bytes of what gh says
_SECONDS = 120.0
_AT_ONCE = 4
_CHUNK = 65536
# Nobody sits there: what would ask fails, and nothing is opened, updated or coloured.
_SILENT = {
    **dict.fromkeys(("BROWSER", "GH_BROWSER", "EDITOR", "GH_EDITOR", "VISUAL"), "/bin/false"),
    **dict.fromkeys(("PAGER", "GH_PAGER"), "cat"),
    **dict.fromkeys(("NO_COLOR", "GH_PROMPT_DISABLED", "GH_NO_UPDATE_NOTIFIER"), "1"),
    "GIT_DIR": os.devnull,
}
_NOT = ("GH_REPO", "GH_HOST", "GH_DEBUG", "DEBUG", "GH_FORCE_TTY", "CLICOLOR_FORCE", "GH_PATH")
_TOKENS = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")


class GhDoor:
    """Answers in one box; `repository` is the project's, as HOST/OWNER/NAME."""

    def __init__(self, gateway: Gateway, repository: str, branches: Sequence[str]) -> None:
        self._gateway, self._repository, self._branches = gateway, repository, branches
        self._host = parse_host(repository.partition("/")[0])
        self._busy = 0

    async def serve(self, inside: socket.socket) -> None:
        """Serve one connection."""
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                words, branch = await _asked(inside)
        except (ValueError, TimeoutError):
            inside.close()
            return
        answer = await self._answer(words, branch)
        try:
            await last_words(inside, json.dumps(answer).encode("ascii") + b"\n")
        finally:
            inside.close()

    async def _answer(self, words: list[str], branch: str) -> dict[str, str | int]:
        shown = escape(" ".join(words[:2]))[:80]
        try:
            made = ghcommands.allowed(words, self._repository, branch, self._branches)
        except ghcommands.Refused as refused:
            self._gateway.refuse("gh", self._host, _PORT, f"{shown}: {escape(str(refused))}")
            return {"out": "", "said": f"clsecure: {refused}\n", "code": 1}
        if self._busy >= _AT_ONCE:
            return {"out": "", "said": "clsecure: other commands of gh are under way\n", "code": 1}
        try:
            entry = self._gateway.admit("gh", self._host, _PORT, RULE, shown)
        except Denied as denied:
            return {"out": "", "said": f"clsecure: {denied}\n", "code": 1}
        self._busy += 1
        ended, answer = "cut short", dict[str, str | int]()
        try:
            answer = await _run(made)
            ended = "" if answer["code"] == 0 else f"code {answer['code']}"
        finally:
            self._busy -= 1
            sizes = sum(map(len, made)), sum(len(str(each)) for each in answer.values())
            self._gateway.journal.close(entry, *sizes, ended)
        return answer


async def _asked(inside: socket.socket) -> tuple[list[str], str]:
    """Read the question; raises ValueError for what is none."""
    loop, line = asyncio.get_running_loop(), b""
    while not line.endswith(b"\n"):
        more = await loop.sock_recv(inside, _CHUNK)
        if not more or len(line) > _LONGEST:
            raise ValueError("cut short, or too long")
        line += more
    document = json.loads(line)
    try:
        return [str(word) for word in document["words"]], str(document["branch"])
    except (KeyError, TypeError):
        raise ValueError("not words and a branch") from None


async def _run(words: Sequence[str]) -> dict[str, str | int]:
    env = {name: value for name, value in os.environ.items() if name not in _NOT}
    try:
        process = await asyncio.create_subprocess_exec(
            "gh",
            *(os.fsencode(word) for word in words),
            env={**env, **_SILENT},
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return {"out": "", "said": f"clsecure: gh: {error.strerror}\n", "code": 1}
    try:
        async with asyncio.timeout(_SECONDS):
            out, said = await process.communicate()
    except TimeoutError:
        return {"out": "", "said": f"clsecure: nothing in {_SECONDS:.0f} seconds\n", "code": 1}
    finally:
        kill(process)
    code = process.returncode
    return {"out": _shown(out), "said": _shown(said), "code": 1 if code is None else code}


def _shown(data: bytes) -> str:
    text = data[:_MOST].decode("utf-8", "replace")
    for name in _TOKENS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "…")
    return text
