"""A bare repository between the box and one remote: what git in the box really speaks with.

It is the human's, private and of one session. Objects are borrowed from the human's repository,
whose refs, settings and hooks have no part in it. What the box pushes is checked here, in git's
own quarantine, and pushed on from there; only then does this repository have it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from clsecure.egress.git import githook, gitprogram
from clsecure.egress.git.githosts import GitHosts
from clsecure.egress.git.gitrefs import Update
from clsecure.giturls import place_of, without_credentials
from clsecure.output import escape

_LARGEST_PUSH = 1 << 30  # bytes
_MOST_KEPT = 4 << 30  # bytes of pushes that one mirror keeps
_LINES, _WIDTH = 40, 400  # of what is said to the box
_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_FETCH = (
    *("fetch", "--quiet", "--prune", "--force", "--no-tags", "--update-head-ok"),
    *("--no-write-fetch-head", "--no-recurse-submodules", "clsecure", *_REFSPECS),
)
_PUSH = ("push", "--quiet", "--no-verify", "--no-signed", "--no-follow-tags")
# The refs of the human's repository are nobody's business in the box.
_NO_FURTHER_REFS = ("-c", "core.alternateRefsCommand=true")
_SERVICES = {
    "git-upload-pack": (
        *_NO_FURTHER_REFS,
        *("-c", "uploadpack.allowReachableSHA1InWant=true"),
        *("upload-pack", "--strict"),
    ),
    "git-receive-pack": (
        *_NO_FURTHER_REFS,
        *("-c", "receive.fsckObjects=true"),
        *("-c", "receive.unpackLimit=1"),
        *("-c", f"receive.maxInputSize={_LARGEST_PUSH}"),
        *("-c", "receive.denyDeletes=true"),
        *("-c", "receive.autogc=false"),
        *("-c", "receive.advertisePushOptions=false"),
        "receive-pack",
    ),
}
_HOOK = '#!/bin/sh\nexec "$CLSECURE_PYTHON" -IS "$CLSECURE_HOOK"\n'


class Refused(Exception):
    """The remote did not do it, or it cannot be asked; the text is what the box is told."""


class Mirror:
    """The mirror of one remote."""

    def __init__(self, hosts: GitHosts, name: str, address: str, project: str) -> None:
        number = [each for each, _ in hosts.remotes].index(name)
        self.name = name
        self.directory = str(hosts.directory / str(number))
        self.host, self.port = place_of(address)
        self.hosts, self._address, self._project = hosts, address, project
        self._lock = asyncio.Lock()
        self._is_made = False

    async def refresh(self, *, may_grow: bool) -> None:
        """Have what the remote has; `may_grow`: a push is to come. Raises Refused."""
        async with self._lock:
            if not self._is_made:
                await self._make()
            ended = await self._outside(*_FETCH)
        if ended.code:
            raise Refused(self.shown(ended.said) or "the remote gave no reason")
        if may_grow and not self._has_room():
            raise Refused("this session has pushed too much")

    async def _make(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        os.mkdir(self.directory, 0o700)
        words = ("init", "--quiet", "--bare", "--template=")
        form = f"--object-format={self.hosts.object_format}"
        ended = await gitprogram.run(
            *words, form, directory=self.directory, env=gitprogram.bare_environment()
        )
        if ended.code:
            raise Refused(f"no place to keep it: {self.shown(ended.said)}")
        top = Path(self.directory)
        (top / "objects/info").mkdir(exist_ok=True)
        (top / "objects/info/alternates").write_bytes(os.fsencode(self.hosts.alternates))
        if self.hosts.shallow:
            (top / "shallow").write_bytes(self.hosts.shallow)
        (top / "hooks").mkdir(exist_ok=True)
        (top / "hooks/pre-receive").write_text(_HOOK)
        (top / "hooks/pre-receive").chmod(0o700)
        self._is_made = True

    def command(self, service: str, channel: int) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return git's words and environment for the box; `channel` is what the hook inherits."""
        hooks = ("-c", f"core.hooksPath={self.directory}/hooks")
        variables = {
            "CLSECURE_PYTHON": sys.executable,
            "CLSECURE_HOOK": str(githook.__file__),
            "CLSECURE_CHANNEL": str(channel),
        }
        words = (*hooks, *_SERVICES[service], self.directory)
        return words, gitprogram.bare_environment(variables)

    def _has_room(self) -> bool:
        """Whether another push may come."""
        kept = 0
        with suppress(OSError):
            for entry in os.scandir(f"{self.directory}/objects/pack"):
                kept += entry.stat(follow_symlinks=False).st_size
        return kept < _MOST_KEPT

    async def force_pushes(
        self, updates: Sequence[Update], objects: Mapping[str, str]
    ) -> list[Update]:
        """Return the updates that would take commits away. Raises Refused for what is no commit."""
        found = []
        env = gitprogram.bare_environment(objects)
        for update in updates:
            kind = await gitprogram.run(
                "cat-file", "-t", update.new, directory=self.directory, env=env
            )
            if kind.stdout.strip() != "commit":
                raise Refused(f"{self.shown(update.ref)}: a branch is made of commits")
            if not update.is_new:
                asked = ("merge-base", "--is-ancestor", update.old, update.new)
                if (await gitprogram.run(*asked, directory=self.directory, env=env)).code:
                    found.append(update)
        return found

    async def push(
        self, updates: Sequence[Update], forced: Sequence[Update], objects: Mapping[str, str]
    ) -> str:
        """Push on what is in quarantine; returns what the remote said. Raises Refused with it."""
        leases = [f"--force-with-lease={each.ref}:{each.old}" for each in forced]
        atomic = ("--atomic",) if len(updates) > 1 else ()
        specs = [f"{each.new}:{each.ref}" for each in updates]
        ended = await self._outside(
            *_PUSH, "--recurse-submodules=no", *atomic, *leases, "clsecure", *specs, extra=objects
        )
        if ended.code:
            raise Refused(self.shown(ended.said) or "the remote gave no reason")
        return self.shown(ended.said)

    async def _outside(
        self, *words: str, extra: Mapping[str, str] | None = None
    ) -> gitprogram.Ended:
        env = gitprogram.human_environment(self._address, self.hosts.settings, extra)
        return await gitprogram.run(*words, directory=self.directory, env=env, cwd=self._project)

    def shown(self, said: str) -> str:
        """Make what git said fit for the box: no credentials, no controls, not too much of it."""
        for secret in self._secrets():
            said = said.replace(secret, "…")
        lines = [line for line in without_credentials(said).splitlines() if line.strip()]
        return "\n".join(escape(line.rstrip())[:_WIDTH] for line in lines[:_LINES])

    def _secrets(self) -> list[str]:
        scheme, found, rest = self._address.partition("://")
        userinfo = rest.partition("/")[0].rpartition("@")[0] if found else ""
        user, _, password = userinfo.partition(":")
        secrets = [password] if "ssh" in scheme else [password, user]
        for key, value in self.hosts.settings:
            if key.endswith(".extraheader"):
                secrets.append(value.rpartition(" ")[2])
        return [each for each in secrets if len(each) > 3]  # noqa: PLR2004 - shorter is no secret
