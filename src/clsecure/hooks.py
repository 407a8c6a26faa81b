"""What a project runs in its session: set-up and cleanup. All of it in the box, as the worker.

Only where a container's system is writable, `setup_script` is root there, to install packages.

Set-up has the terminal, as the agent has: it may ask, or draw. What it says where there is none,
and what a cleanup hook says, is a worker's text between lines of ours: it goes to stderr, escaped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from clsecure import terminal
from clsecure.choices import Mode
from clsecure.config import Config
from clsecure.errors import UserError
from clsecure.output import Output
from clsecure.paths import CLEANUP_HOOK
from clsecure.process import run
from clsecure.session import OpenSession

_SCRIPT = "setup script"
_INSTALLERS = (
    ("package.json", ("npm", "install")),
    ("requirements.txt", ("sh", "-c", ". .venv/bin/activate && pip install -r requirements.txt")),
    ("pyproject.toml", ("sh", "-c", ". .venv/bin/activate && pip install -e .")),
)
# The session may have removed the hook, or its executable bit.
_HOOK = '[ -e "$0" ] || exit 0; if [ -x "$0" ]; then exec "$0"; else exec sh "$0"; fi'
_PYTHON = ("requirements.txt", "pyproject.toml")


def set_up(session: OpenSession, environ: Mapping[str, str], output: Output) -> None:
    """Run `setup_script` and install dependencies in a fresh session; failures are warnings."""
    config = session.plan.config
    if config.skip_setup:
        return
    is_container = config.mode is Mode.CONTAINER
    for name, argv in _commands(config, session.plan.project):
        is_script, cwd, variables = name == _SCRIPT, str(session.plan.project), {}
        rooted = is_script and is_container and config.writable
        output.note(f"{name}, in the box" + (", as root of the container" if rooted else ""))
        if is_script:
            variables = _github_token(environ) | (_root_variables(session) if rooted else {})
        if terminal.has_terminal():
            code = session.box.run(argv, cwd=cwd, variables=variables, rooted=rooted)
        else:
            code = session.box.run_shown(
                argv, cwd=cwd, variables=variables, show=output.details, rooted=rooted
            ).code
        if code:
            output.warn(f"{name} ended with code {code}; the session goes on without it")
            if is_script and is_container and not rooted:
                output.warn(
                    "a container's system is read-only: --writable lets the script change it"
                )


def clean_up(session: OpenSession, level: str, output: Output) -> None:
    """Run the project's cleanup hook; `level` is `stop` or `purge`. A failure is a warning."""
    project = session.plan.project
    hook = project / CLEANUP_HOOK
    if not os.path.lexists(hook):
        return
    variables = {
        "CLSECURE_CLEANUP_LEVEL": level,
        "CLSECURE_PROJECT_DIR": str(project),
        "CLSECURE_WORKER_USER": session.record.worker,
        "CLSECURE_WORKER_HOME": session.record.home,
    }
    seconds = session.plan.config.cleanup_hook_timeout
    output.note(f"cleanup hook ({level}), in the box")
    try:
        ended = session.box.run_shown(
            ("sh", "-c", _HOOK, str(hook)),
            cwd=str(project),
            variables=variables,
            timeout=seconds,
            show=output.details,
        )
    except UserError as error:
        output.warn(f"the cleanup hook could not run: {error.message}")
        return
    if ended.timed_out:
        output.warn(f"the cleanup hook was ended after {seconds} s (cleanup_hook_timeout)")
    elif ended.code:
        output.warn(f"the cleanup hook ended with code {ended.code}")


def _root_variables(session: OpenSession) -> dict[str, str]:
    # The worker's home is not root's: what it keeps there would be the worker's settings.
    worker = session.record.worker
    return {"HOME": "/root", "USER": "root", "LOGNAME": "root", "CLSECURE_WORKER_USER": worker}


def _github_token(environ: Mapping[str, str]) -> dict[str, str]:
    token = environ.get("GH_TOKEN", "")
    if not token:
        try:
            token = run("gh", "auth", "token", check=False).text.strip()
        except OSError:  # no such program
            return {}
    return {"GH_TOKEN": token} if token else {}


def _commands(config: Config, project: Path) -> list[tuple[str, tuple[str, ...]]]:
    commands: list[tuple[str, tuple[str, ...]]] = []
    if config.setup_script:
        commands.append((_SCRIPT, ("sh", "-c", config.setup_script)))
    if config.install_dependencies:
        present = [(name, argv) for name, argv in _INSTALLERS if (project / name).is_file()]
        if any(name in _PYTHON for name, _ in present) and not (project / ".venv").is_dir():
            commands.append(("making .venv", ("python3", "-m", "venv", ".venv")))
        commands += [(f"installing from {name}", argv) for name, argv in present]
    return commands
