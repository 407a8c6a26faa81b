"""decide(): from settings and facts to everything that a session is, before anything is done."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clsecure import agent, agents, credentials, endpoint, exposing, surroundings, tools
from clsecure.agents import reach
from clsecure.choices import AGENT, HOST, Docker, Mode, Need, Network, WorkspaceKind
from clsecure.config import Config
from clsecure.errors import ExitCode, UserError
from clsecure.facts import Facts
from clsecure.helper.layout import INSIDE
from clsecure.modes import engine_for, require_podman
from clsecure.output import escape

if TYPE_CHECKING:
    from clsecure.egress.git.githosts import GitHosts
    from clsecure.helper.imagerecords import Image

# Overlays on idmapped layers; fs/overlayfs/super.c, ovl_get_layers().
_OVERLAY_SINCE = (5, 19)
# File systems that cannot be idmapped, or cannot lie below an overlay, however new the kernel.
_NOT_BELOW = {
    "overlay": "an overlay cannot be the lower layer of an idmapped one",
    "nfs": "NFS cannot be idmapped",
    "nfs4": "NFS cannot be idmapped",
    "cifs": "SMB shares cannot be idmapped",
    "9p": "9p cannot be idmapped",
    "ecryptfs": "eCryptfs cannot be below an overlay",
    "vfat": "FAT cannot be below an overlay",
    "virtiofs": "virtiofs cannot be idmapped",
}
_SHOWN = 4  # hosts of the allow-list that are named where there is one line for it
_PROXY = "http://127.0.0.1:3128"
_LOOPBACK = "127.0.0.1,localhost,::1"
# Each tool looks at another one; what looks at none takes the transparent path.
_PROXY_VARIABLES = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _PROXY),
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _PROXY),
    **dict.fromkeys(("NO_PROXY", "no_proxy", "npm_config_noproxy"), _LOOPBACK),
    **dict.fromkeys(("npm_config_proxy", "npm_config_https_proxy"), _PROXY),
    "NODE_USE_ENV_PROXY": "1",
}
_BIN, _DOCKER = f"{INSIDE}/bin", f"unix://{INSIDE}/docker.sock"
_FROM_HUMAN = (
    *("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TZ"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_COLLATE", "LC_NUMERIC"),
    *("LC_TIME", "LC_MONETARY", "LC_PAPER", "LC_MEASUREMENT", "EDITOR", "VISUAL"),
    *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
)


class Plan(NamedTuple):
    """What a session will be."""

    facts: Facts
    config: Config
    session: str  # "" is the project's default session
    engine: str  # none, firejail, bubblewrap, podman
    workspace: WorkspaceKind
    workspace_reason: str  # why it is a clone
    declared: agents.Declaration  # which agent it is
    agent: agent.Agent | None  # None: a command of the human's is run instead
    endpoint: endpoint.Endpoint | None  # None: nothing passes
    agent_environment: Mapping[str, str]
    held: credentials.Held
    tools: tools.Tools
    path: tuple[str, ...]  # the directories of programs, but for the system's
    may_fetch: bool = True  # whether an image that is missing may be pulled
    around: surroundings.Surroundings = surroundings.NOTHING
    git: GitHosts | None = None  # the remotes that the agent pushes to, if it does
    image: Image | None = None  # known once the helper was asked; None: the host's programs

    @property
    def project(self) -> Path:
        """The top of the working tree."""
        return self.facts.repository.top

    @property
    def workers(self) -> tuple[str, str]:
        """Names for a fresh session's worker: the second if the first is somebody else's."""
        from clsecure.naming import worker_names  # a resume needs none

        return worker_names(str(self.project), self.session, os.getuid())

    @property
    def worker(self) -> str:
        """The name that a fresh session's worker gets, unless it is taken."""
        return self.workers[0]

    @property
    def network_words(self) -> str:
        """What the network lets through."""
        return network_words(self.config, self.endpoint)


def decide(config: Config, facts: Facts, environ: Mapping[str, str], *, need: Need) -> Plan:
    """Make the plan; raises UserError when it cannot be carried out on this host."""
    engine = engine_for(config.mode, config.engine, facts)
    if config.docker is Docker.PODMAN:
        require_podman("docker = podman")
    workspace, reason = _workspace(config, facts)
    declared = agents.chosen(config.agent, config.agent_command)
    reach.refuse_provider(config.provider, declared)
    if declared.is_settled:
        environ = endpoint.with_settings(environ, facts.home)
    if need is not Need.NONE:
        environ = endpoint.with_provider(environ, config.provider, config.kimi_api_key)
    api = None
    if config.network is not Network.NONE:
        api = reach.place(environ, reach.own(environ, declared))
    held = _held(config, facts, environ, need, declared)
    if api is None:
        held = held._replace(routes=())
    else:
        further = reach.further(environ, declared, held.hosts)
        config = config._replace(allow=_allowed(config.allow, further))
    found = _agent(config, facts, held.environ, need, declared)
    variables = reach.variables(held.environ, config.network, declared) if found else {}
    session = config.session or ""
    shown = surroundings.look(config, facts, environ, declared, found, need=need)
    return Plan(
        facts=facts,
        config=config,
        session=session,
        engine=engine,
        workspace=workspace,
        workspace_reason=reason,
        declared=declared,
        agent=found,
        endpoint=api,
        agent_environment=variables,
        held=held,
        may_fetch=need is not Need.NONE,
        tools=shown.tools,
        path=_path(facts, environ, found, shown.tools),
        around=shown,
    )


def environment(
    plan: Plan,
    environ: Mapping[str, str],
    worker: str,
    uid: int,
    git: tuple[tuple[str, str], ...] = (),
) -> dict[str, str]:
    """Return the variables of every command in the box; `git` are further settings of git's."""
    from_human = {name: environ[name] for name in _FROM_HUMAN if environ.get(name)}
    has_gh = plan.git is not None and plan.git.github
    own = (_BIN,) if plan.config.docker is Docker.PODMAN or has_gh else ()
    images = _image_variables(plan.image)
    inherited = images.get("PATH", "").split(":") if images.get("PATH") else ()
    system = map(str, agent.system_path())
    path = dict.fromkeys((*own, *plan.path, *inherited, *system))
    return {
        **images,
        **_tool_variables(plan),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        **from_human,
        "HOME": str(plan.facts.home),
        "USER": worker,
        "LOGNAME": worker,
        "SHELL": "/bin/bash",
        "PATH": ":".join(path),
        "XDG_RUNTIME_DIR": f"/run/user/{uid}",
        "CLSECURE_SESSION": plan.session or "default",
        **(_PROXY_VARIABLES if plan.endpoint else {}),
        **_docker_variables(plan.config.docker),
        # The copied index lists inodes and change times of the human's tree: not to be compared.
        **_git_variables((("core.checkStat", "minimal"), *git)),
    }


def _git_variables(settings: tuple[tuple[str, str], ...]) -> dict[str, str]:
    made = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings):
        made |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return made


def _image_variables(image: Image | None) -> dict[str, str]:
    words = image.environment if image else ()
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _tool_variables(plan: Plan) -> dict[str, str]:
    if plan.image is None:
        return dict(plan.tools.variables)
    # An image has system directories of its own.
    return {
        name: value
        for name, value in plan.tools.variables.items()
        if not (value.startswith("/") and exposing.is_system(value))
    }


def _docker_variables(docker: Docker) -> dict[str, str]:
    names = {Docker.NONE: (), Docker.HOST: ("DOCKER_HOST",)}
    return dict.fromkeys(names.get(docker, ("DOCKER_HOST", "CONTAINER_HOST")), _DOCKER)


def _allowed(asked: tuple[str, ...], further: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*asked, *further)))


def _held(
    config: Config,
    facts: Facts,
    environ: Mapping[str, str],
    need: Need,
    declared: agents.Declaration,
) -> credentials.Held:
    if need is Need.NONE:  # the way home needs no agent
        return credentials.Held(environ)
    door = reach.place(environ, reach.own(environ, declared)).door
    return credentials.hold(environ, config, declared, facts.home, door)


def _agent(
    config: Config,
    facts: Facts,
    environ: Mapping[str, str],
    need: Need,
    declared: agents.Declaration,
) -> agent.Agent | None:
    if need is Need.NONE:
        return None
    told = reach.arguments(environ, declared)
    if not config.web_tools:
        told += declared.no_web_tools
    declared = declared.replace(no_prompts=(*declared.no_prompts, *told))
    if config.mode is Mode.CONTAINER and config.image == AGENT:
        return agent.of_image(declared)
    try:
        top = facts.repository.top
        has_image = config.mode is Mode.CONTAINER and config.image != HOST
        return agent.find(environ, facts.home, top, declared, has_image=has_image)
    except UserError:
        if need is Need.REQUIRED:
            raise
        return None


def network_words(config: Config, api: endpoint.Endpoint | None) -> str:
    """Say what passes."""
    if api is None:
        return "none: nothing passes"
    listed = f", and {', '.join(_shortened(config.allow))}" if config.allow else ""
    if config.network is Network.OPEN:
        return f"open: any public host{listed}"
    return f"the agent's API{'' if listed else ' only'} ({api.host}:{api.port}){listed}"


def _shortened(texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(texts) <= _SHOWN:
        return texts
    return (*texts[:_SHOWN], f"{len(texts) - _SHOWN} more")


def _workspace(config: Config, facts: Facts) -> tuple[WorkspaceKind, str]:
    reason = why_no_overlay(facts)
    if config.workspace is WorkspaceKind.CLONE:
        return WorkspaceKind.CLONE, "asked for"
    if not reason:
        return WorkspaceKind.OVERLAY, ""
    if config.workspace is WorkspaceKind.OVERLAY:
        raise UserError(
            f"a copy-on-write workspace is not possible here: {reason}",
            hint="leave `workspace` at auto: the project is then cloned",
            code=ExitCode.MISSING,
        )
    return WorkspaceKind.CLONE, reason


def why_no_overlay(facts: Facts) -> str:
    """Return why the tree cannot be shown copy-on-write; empty if it can."""
    if facts.kernel < _OVERLAY_SINCE:
        return "the kernel is older than 5.19"
    if facts.filesystem.startswith("fuse"):
        return "a FUSE file system cannot be idmapped"
    if facts.submounts:
        return f"other file systems are mounted in it: {escape(', '.join(facts.submounts))}"
    return _NOT_BELOW.get(facts.filesystem, "")


def _path(
    facts: Facts, environ: Mapping[str, str], found: agent.Agent | None, shown: tools.Tools
) -> tuple[str, ...]:
    named = tools.directories(environ, str(facts.home))
    usual = tuple(map(str, found.directories)) if found else ()
    first = usual[:1] if usual[:1] != named[:1] and not set(usual[:1]) & set(named) else ()
    return shown.path((*first, *named, *usual), str(facts.repository.top))


def refuse_contradictions(config: Config) -> None:
    """Refuse settings that do not go together, before anything is changed."""
    if config.writable and config.mode is not Mode.CONTAINER:
        raise UserError(
            f"in {config.mode} mode the system is the host's, and cannot be writable",
            hint="--mode container has one of its own; else leave `writable` out",
            code=ExitCode.USAGE,
        )
    if config.docker is Docker.HOST and config.network is Network.NONE:
        raise UserError(
            "the host's docker is a way around a network of none: its containers reach every host",
            hint="--docker podman gives the agent containers with the session's own network",
            code=ExitCode.USAGE,
        )
