"""The box's network as a session has it: the doors that root makes, and who serves them outside."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from clsecure import paths
from clsecure.choices import Docker
from clsecure.errors import ExitCode, UserError
from clsecure.helper.protocol import Listener

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clsecure.egress.routes import Route
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


def listeners(api: Endpoint | None, *, has_routes: bool = False) -> tuple[Listener, ...]:
    """Return the sockets that listen in the box, none where nothing passes; raises UserError.

    With `has_routes` the agent's APIs are reached by a door of theirs.
    """
    if api is None:
        return ()
    doors = tuple(
        Listener(role=role, kind=kind, address=_LOOPBACK, port=port) for role, kind, port in _DOORS
    )
    if not (api.is_on_loopback or has_routes):
        return doors
    address, port = api.door
    if port in {port for _, _, port in _DOORS}:
        raise UserError(
            f"the box needs port {port} of its loopback, where the agent's API is to be",
            hint="let your gateway listen on another port",
            code=ExitCode.USAGE,
        )
    return (*doors, Listener(role="api", kind="tcp", address=address, port=port))


def docker_socket(environ: Mapping[str, str]) -> Path:
    """Return where the host's docker answers you; raises UserError where it does not."""
    named = environ.get("DOCKER_HOST", "")
    if named and not named.startswith("unix://"):
        raise UserError(
            f"DOCKER_HOST is {named}, and only a socket of this host can be lent to a session",
            hint="unset it, or use --docker podman",
            code=ExitCode.USAGE,
        )
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
    )
    return service.start(settings, sockets)
