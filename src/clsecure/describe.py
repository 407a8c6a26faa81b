"""Plans in words: --dry-run, info."""

from __future__ import annotations

import shlex

from clsecure import agent, limits
from clsecure.choices import WorkspaceKind
from clsecure.errors import ExitCode
from clsecure.exposing import Shown
from clsecure.helper import engines
from clsecure.helper.layout import INSIDE, layout
from clsecure.helper.protocol import Open
from clsecure.invocation import Invocation
from clsecure.plan import Plan
from clsecure.session import Stores, open_request, stores_of
from clsecure.sessionwords import workspace_words
from clsecure.workspace import gitseed, masks

_NAMESPACES = ("mount", "pid", "ipc", "uts", "net", "cgroup")
_UID = "UID"  # handed out when the worker is made


def info(plan: Plan) -> dict[str, object]:
    """Return what a session would be, for a table or as JSON."""
    repository = plan.facts.repository
    return {
        "project": str(plan.project),
        "session": plan.session or "default",
        "worker": plan.worker,
        "agent": _agent(plan),
        "mode": plan.config.mode.value,
        "engine": plan.engine,
        "workspace": workspace_words(plan),
        "network": plan.network_words,
        "credentials": list(plan.held.lines),
        "limits": limits.words(plan.config),
        "home": str(plan.facts.home),
        "base": repository.head.commit,
        "branch": repository.head.branch,
        "hidden": list(_hidden(plan)),
        "exposed": [_shown(one) for one in (*plan.tools.exposed, *plan.tools.caches)],
        "state": [_shown(one) for one in plan.around.state if one.source],
        "covered": list(plan.tools.covered),
        "not exposed": [_shown(one) for one in plan.tools.left_out],
        "path": list(plan.path),
    }


def _agent(plan: Plan) -> str:
    found = plan.agent.program if plan.agent else "not installed"
    return f"{plan.declared.name} ({found})"


def _shown(one: Shown) -> str:
    leads = f" from {one.source}" if one.source not in {"", one.path} else ""
    return f"{one.path}{leads} ({one.why})"


def words(value: object) -> str:
    """Return one of info's values for a table."""
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return "-" if value is None else str(value)


def dry_run(plan: Plan, invocation: Invocation, command: tuple[str, ...] = ()) -> int:
    """Print every mount, namespace, user and command; nothing is changed."""
    output = invocation.output
    for name, value in info(plan).items():
        output.say(f"{name}: {words(value)}")
    output.say(f"namespaces: {' '.join(_NAMESPACES)}")
    output.say(f"user: {plan.worker}, without capabilities, no_new_privs, two seccomp filters")
    output.say("mounts:")
    mounts = layout(_request(plan), plan.facts.host, worker=plan.worker, uid=_UID)
    for mount in mounts:
        access = "read-write" if mount.writable else "read-only"
        source = f" from {mount.source}" if mount.source else ""
        masks = f", without {', '.join(mount.masks)}" if mount.masks else ""
        output.say(f"  {mount.at}: {mount.kind}{source}, {access}{masks}")
    gate = (engines.PYTHON, "-IS", f"{INSIDE}/gate.py", f"{INSIDE}/launch")
    start = engines.start(plan.engine, gate, uid=_UID, gid=_UID, mounts=mounts)
    output.say(f"started as {'root' if start.as_root else plan.worker}: {shlex.join(start.argv)}")
    if plan.agent and not command:
        command = agent.argv(plan.agent, invocation.arguments, resumes=False)
    output.say(f"command: {shlex.join(command)}")
    output.note("a dry run: nothing was changed")
    return ExitCode.OK


def _hidden(plan: Plan) -> tuple[str, ...]:
    scan = masks.start_scan(plan.facts.repository, plan.config.hide, plan.config.show)
    return scan.result()


def _request(plan: Plan) -> Open:
    is_clone = plan.workspace is WorkspaceKind.CLONE
    stores = Stores() if is_clone else stores_of(gitseed.git_seed(plan.facts.repository))
    return open_request(plan, action="create", stores=stores, hidden=())
