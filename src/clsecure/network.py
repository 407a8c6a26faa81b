"""The box's network as a session has it: the doors that root makes, and who serves them outside."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from clsecure import paths
from clsecure.choices import Docker, Push
from clsecure.errors import ExitCode, UserError
from clsecure.helper.protocol import Listener

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clsecure.egress.api.routes import Route
    from clsecure.egress.git.githosts import GitHosts
    from clsecure.egress.service import Service
    from clsecure.endpoint import Endpoint
    from clsecure.helper.protocol import Session
    from clsecure.plan import Plan

_DOCKER_SECONDS = 3.0
_LOOPBACK = "127.0.0.1"
_DOORS = (  # role, kind, port
    ("proxy", "tcp", 3128),
    ("transparent", "tcp", 3129),
    ("resolver", "udp", 53),
    ("resolver-tcp", "tcp", 53),
)


def listeners(
    api: Endpoint | None, *, has_routes: bool = False, git: GitHosts | None = None
) -> tuple[Listener, ...]:
    """Return the sockets that listen in the box, none where nothing passes; raises UserError.

    With `has_routes` the agent's APIs are reached by a door of theirs, with `git` the project's
    remotes by one for git's own protocol, and GitHub's program by another.
    """
    if api is None:
        return ()
    doors = tuple(
        Listener(role=role, kind=kind, address=_LOOPBACK, port=port) for role, kind, port in _DOORS
    )
    if git:
        doors += (Listener(role="git", kind="tcp", address=_LOOPBACK, port=9418),)
    if git and git.github:
        doors += (Listener(role="gh", kind="tcp", address=_LOOPBACK, port=9419),)
    if not (api.is_on_loopback or has_routes):
        return doors
    address, port = api.door
    if port in {one.port for one in doors}:
        raise UserError(
            f"the box needs port {port} of its loopback, where the agent's API is to be",
            hint="let your gateway listen on another port",
            code=ExitCode.USAGE,
        )
    return (*doors, Listener(role="api", kind="tcp", address=address, port=port))


def git_hosts(plan: Plan, environ: Mapping[str, str]) -> GitHosts | None:
    """Return what the agent may reach as git does; None where it may not push, or has nowhere."""
    if plan.config.push is not Push.ORIGIN or plan.endpoint is None:
        return None
    from clsecure.egress.git import githosts  # only for those who ask for it
    from clsecure.workspace import gitremotes

    found = gitremotes.look(plan.facts.repository)
    if not found.remotes:
        return None
    return githosts.GitHosts(
        remotes=tuple((one.name, one.address) for one in found.remotes),
        settings=found.settings,
        object_format=found.object_format,
        alternates=found.alternates,
        shallow=found.shallow,
        directory=paths.state_directory(environ) / "git" / str(os.getpid()),
        branches=plan.config.push_branches,
        may_force=plan.config.push_force,
        github=_github([one.address for one in found.remotes], environ),
    )


def _github(addresses: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the project's repository as GitHub's program has it, where there is that program."""
    from shutil import which

    from clsecure.giturls import repository_of

    hosts = {"github.com", environ.get("GH_HOST", "github.com").lower()}
    names = (repository_of(each) for each in addresses)
    found = next((name for name in names if name.partition("/")[0] in hosts), "")
    return found if which("gh", path=environ.get("PATH")) else ""


def git_variables(hosts: GitHosts | None) -> tuple[tuple[str, str], ...]:
    """Return git's settings in the box by which the project's remotes are that door's."""
    if hosts is None:
        return ()
    from clsecure.egress.git import githosts
    from clsecure.giturls import without_credentials

    return tuple(
        (f"url.{githosts.address(name)}.insteadOf", without_credentials(address))
        for name, address in hosts.remotes
    )


def docker_socket(environ: Mapping[str, str]) -> Path:
    """Return where the host's docker answers you; raises UserError where it does not."""
    named = environ.get("DOCKER_HOST", "")
    if named and not named.startswith("unix://"):
        raise UserError(
            f"DOCKER_HOST is {named}, and only a socket of this host can be lent to a session",
            hint="unset it, or use --docker podman",
            code=ExitCode.USAGE,
        )
    import socket

    path = Path(named.removeprefix("unix://") or "/var/run/docker.sock")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_DOCKER_SECONDS)
        try:
            asking.connect(str(path))
        except OSError as error:
            raise UserError(
                f"the host's docker does not answer you at {path}: {error.strerror}",
                hint="start it, join its group, or use --docker podman",
                code=ExitCode.MISSING,
            ) from None
    return path


def publish(plan: Plan, stack: ExitStack) -> list[tuple[str, int]]:
    """Listen at what is to be published, before a box is made; raises UserError."""
    if not plan.config.publish or plan.endpoint is None:
        return []
    from clsecure.egress import publish as publishing  # with asyncio: 50 ms

    wanted = [publishing.parse(text) for text in plan.config.publish]
    sockets = [(one, stack.enter_context(publishing.listen(one))) for one in wanted]
    return [(publishing.role(one), listening.fileno()) for one, listening in sockets]


def serve(
    plan: Plan,
    session: Session,
    sockets: Sequence[tuple[str, int]],
    environ: Mapping[str, str],
    routes: tuple[Route, ...] = (),
) -> Service:
    """Start the egress service for these sockets, role and descriptor; they stay open here.

    `routes` are the plan's, with what commands print for them.
    """
    from clsecure.egress import service

    api = plan.endpoint
    about = {
        "session": plan.session or "default",
        "worker": session.worker,
        "project": str(plan.project),
        "began": f"{time.time():.3f}",  # tells apart what one worker does at several times
    }
    settings = service.Settings(
        level=plan.config.network,
        allow=plan.config.allow,
        api=(api.host, api.port) if api and not routes else None,
        directory=paths.network_directory(environ),
        control=session.worker,
        docker=str(docker_socket(environ)) if plan.config.docker is Docker.HOST else "",
        about=about,
        routes=routes,
        git=plan.git,
    )
    return service.start(settings, sockets)
