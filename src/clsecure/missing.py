"""What the agent's MCP servers and hooks will not find in the session, said before it starts.

By string comparison and stat alone: nothing is run, and nothing is asked of the box.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from clsecure import agent, tools
from clsecure.choices import Docker
from clsecure.claudeprograms import Program
from clsecure.exposing import is_system
from clsecure.helper.layout import within
from clsecure.plan import Plan
from clsecure.surroundings import is_agents

_SHOWN = 10  # lines
_CONTAINERS = ("docker", "docker-compose", "podman")


def lines(plan: Plan, environ: Mapping[str, str]) -> list[str]:
    """Return a line for each thing that is missing: whose it is, what, and what to do."""
    if plan.image is not None:  # its programs are not those of this host
        return []
    found = [line for one in plan.around.programs for line in _of(plan, environ, one)]
    return _some(list(dict.fromkeys(found)))


def _some(found: list[str]) -> list[str]:
    if len(found) <= _SHOWN:
        return found
    return [*found[:_SHOWN], f"{len(found) - _SHOWN} more of your servers and hooks lack something"]


def _of(plan: Plan, environ: Mapping[str, str], one: Program) -> Iterator[str]:
    name = one.command.rpartition("/")[2]
    if name in _CONTAINERS and plan.config.docker is Docker.NONE:
        yield f"{one.whose} starts {name}: `docker = podman` gives the session containers"
        return
    if "/" not in one.command and not _is_found(plan, one.command):
        yield f"{one.whose} starts {one.command}, {_elsewhere(plan, environ, one.command)}"
    for path in one.paths():
        if not _is_there(plan, path):
            yield f"{one.whose} starts {path}, {_what_to_do(plan, path)}"
    for path in one.others():
        if not _is_there(plan, path):
            yield f"{one.whose} is given {path}, {_what_to_do(plan, path)}"


def _is_found(plan: Plan, name: str) -> bool:
    directories = (*plan.path, *map(str, agent.system_path()))
    return any(os.access(f"{directory}/{name}", os.X_OK) for directory in directories)


def _elsewhere(plan: Plan, environ: Mapping[str, str], name: str) -> str:
    for directory in tools.directories(environ, str(plan.facts.home)):
        if os.access(path := f"{directory}/{name}", os.X_OK):
            return _what_to_do(plan, path)
    return "which is not on your PATH: install it"


def _is_there(plan: Plan, path: str) -> bool:
    path, shown = os.path.normpath(path), plan.tools
    if any(within(path, each) for each in shown.covered):
        return False
    if within(path, str(plan.project)):
        return True  # the agent may make it yet
    if not os.path.exists(path):
        return False
    places = (*shown.exposed, *shown.caches, *plan.around.state)
    return (
        is_system(path)
        or is_agents(path, str(plan.facts.home))
        or any(within(path, one.path) for one in places)
    )


def _what_to_do(plan: Plan, path: str) -> str:
    if not os.path.lexists(path):
        return "which is not there"
    for one in plan.tools.left_out:
        if within(path, one.path):
            return f"which the session does not have: {one.why}"
    if path in plan.tools.covered:
        return "which is hidden, since it looks like a credential: `show` lifts that"
    return f"which the session does not have: `expose = {path}` shows it"
