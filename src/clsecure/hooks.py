"""What a project runs in its session: set-up and cleanup. All of it in the box, as the worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from clsecure.config import Config
from clsecure.errors import UserError
from clsecure.output import Output
from clsecure.paths import CLEANUP_HOOK
from clsecure.session import OpenSession

_INSTALLERS = (
    ("package.json", ("npm", "install")),
    ("requirements.txt", ("sh", "-c", ". .venv/bin/activate && pip install -r requirements.txt")),
    ("pyproject.toml", ("sh", "-c", ". .venv/bin/activate && pip install -e .")),
)
_PYTHON = ("requirements.txt", "pyproject.toml")


def set_up(session: OpenSession, environ: Mapping[str, str], output: Output) -> None:
    """Run `setup_script` and install dependencies in a fresh session; failures are warnings."""
    config = session.plan.config
    if config.skip_setup:
        return
    token = {"GH_TOKEN": environ["GH_TOKEN"]} if environ.get("GH_TOKEN") else {}
    for name, argv in _commands(config, session.plan.project):
        output.note(f"{name}, in the box")
        variables = token if name == "setup script" else {}
        code = session.box.run(argv, cwd=str(session.plan.project), variables=variables)
        if code:
            output.warn(f"{name} ended with code {code}; the session goes on without it")


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
    try:
        code = session.box.run(
            ("sh", "-c", 'if [ -x "$0" ]; then exec "$0"; else exec sh "$0"; fi', str(hook)),
            cwd=str(project),
            variables=variables,
            timeout=seconds,
            interactive=False,
        )
    except UserError as error:
        output.warn(f"the cleanup hook could not run: {error.message}")
        return
    if session.box.timed_out:
        output.warn(f"the cleanup hook was ended after {seconds} s (cleanup_hook_timeout)")
    elif code:
        output.warn(f"the cleanup hook ended with code {code}")


def _commands(config: Config, project: Path) -> list[tuple[str, tuple[str, ...]]]:
    commands: list[tuple[str, tuple[str, ...]]] = []
    if config.setup_script:
        commands.append(("setup script", ("sh", "-c", config.setup_script)))
    if config.install_dependencies:
        present = [(name, argv) for name, argv in _INSTALLERS if (project / name).is_file()]
        if any(name in _PYTHON for name, _ in present) and not (project / ".venv").is_dir():
            commands.append(("making .venv", ("python3", "-m", "venv", ".venv")))
        commands += [(f"installing from {name}", argv) for name, argv in present]
    return commands
