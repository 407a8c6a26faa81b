"""A session in a line or two: what stands around the agent, what it reached, what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clsecure import limits
from clsecure.choices import AgentName, Docker, Mode, WorkspaceKind
from clsecure.values import UNLIMITED

if TYPE_CHECKING:
    from clsecure.helper.protocol import Session
    from clsecure.plan import Plan
    from clsecure.session import OpenSession

_SHOWN = 6
_DOCKER_WORDS = {
    Docker.PODMAN: "docker: a podman of its own",
    Docker.HOST: "docker: THE HOST'S, as good as root",
}


def start_line(opened: OpenSession) -> str:
    """Return what stands around the agent, in one line."""
    plan = opened.plan
    parts = [
        f"{plan.config.mode} mode{engine_words(plan)}",
        f"{_shown_agent(plan)}as {opened.record.worker}",
        workspace_words(plan),
        f"network: {plan.network_words}",
    ]
    if opened.record.writable and plan.config.mode is Mode.CONTAINER:
        parts.append("its system: writable, kept with the session")
    if plan.git:
        parts.append("the agent pushes by itself")
    if plan.config.docker is not Docker.NONE:
        parts.append(_DOCKER_WORDS[plan.config.docker])
    if (limited := limits.words(plan.config)) != UNLIMITED:
        parts.append(f"limits: {limited}")
    if opened.hidden:
        count = len(opened.hidden)
        shown = ", ".join(opened.hidden[:_SHOWN])
        parts.append(f"hidden: {shown}" + (f" and {count - _SHOWN} more" if count > _SHOWN else ""))
    if opened.resumed:
        parts.append("resumed")
    return " · ".join(parts)


def _shown_agent(plan: Plan) -> str:
    return "" if plan.declared.name == AgentName.CLAUDE else f"{plan.declared.name} "


def engine_words(plan: Plan) -> str:
    """Return the engine in brackets, where there is one."""
    image = f", {plan.config.image}" if plan.engine == "podman" and plan.image else ""
    return f" ({plan.engine}{image})" if plan.engine != "none" else ""


def workspace_words(plan: Plan) -> str:
    """Say how the project is shown, and why it is a clone."""
    if plan.workspace is WorkspaceKind.OVERLAY:
        return "copy-on-write view"
    return f"cloned project ({plan.workspace_reason})"


def kept(opened: OpenSession) -> str:
    """Say what can be done with a session that is kept."""
    name = f" -s {opened.plan.session}" if opened.plan.session else ""
    return f"kept: `clsecure{name}` resumes, `clsecure import{name}` brings it home"


def holds(session: Session) -> str:
    """Return what a kept session holds, as far as it is known."""
    if session.commits < 0:
        return "work not counted yet"
    commits, changes = session.commits, session.changes
    return f"{commits} commit{'s' * (commits != 1)}, {changes} changed file{'s' * (changes != 1)}"


def traffic(summary: Mapping[str, Any]) -> list[str]:
    """Say what a session reached and what was blocked, in lines; most bytes first."""
    passed, blocked = summary["passed"], summary["blocked"]
    parts = [
        f"{host} ({_bytes(one['sent'])} out, {_bytes(one['received'])} in)"
        for host, one in passed.items()
    ]
    lines = [f"network: {_some(parts, summary['hosts_passed'])}"] if parts else []
    if pushed := summary["pushed"]:
        lines.append(f"pushed by the agent: {_some(pushed, len(pushed))}")
    parts = [f"{host} ({one['reason']}{_times(one['attempts'])})" for host, one in blocked.items()]
    if parts:
        lines.append(f"blocked: {_some(parts, summary['hosts_blocked'])}")
    if any(one["reason"].endswith("-list") for one in blocked.values()):
        lines.append("`clsecure net allow HOST --always` lets a host through from now on")
    return lines


def trouble(summary: Mapping[str, Any]) -> list[str]:
    """Say what was amiss with a session's network, in lines."""
    number = summary["unlogged"]
    lines = [f"{number} of the network's records could not be written to its log"] if number else []
    return lines + [f"the network's proxy says: {each}" for each in summary["faults"]]


def _times(number: int) -> str:
    return f", {number} times" if number > 1 else ""


def _some(parts: list[str], total: int) -> str:
    more = f" and {total - _SHOWN} more" if total > _SHOWN else ""
    return ", ".join(parts[:_SHOWN]) + more


def _bytes(number: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:  # noqa: PLR2004 - the binary units
            return f"{number} {unit}"
        number //= 1024
    return f"{number} GiB"
