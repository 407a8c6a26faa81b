"""`clsecure config`: every setting, its value, and where it was set."""

from __future__ import annotations

from clsecure import paths
from clsecure.amounts import words
from clsecure.choices import Secret, Value
from clsecure.config import Config, lowered_mode, wanted_hosts
from clsecure.configfiles import read_project
from clsecure.declaration import Group
from clsecure.errors import ExitCode, UserError
from clsecure.invocation import Invocation
from clsecure.options import BY_NAME, OPTIONS
from clsecure.store import Store


def run(invocation: Invocation) -> int:
    """Show the settings, or record the human's trust in the project's file."""
    if invocation.arguments == ("trust",):
        return _trust(invocation)
    top = paths.find_top(invocation.cwd)
    config = invocation.load_config(top)
    if invocation.flag("json"):
        invocation.output.json(_document(config))
    else:
        _table(invocation, config)
    if config.asked:
        asked = ", ".join(config.asked)
        invocation.output.note(f"the project asks to reach {asked}: `config trust` allows it")
    return ExitCode.OK


def _table(invocation: Invocation, config: Config) -> None:
    rows = [
        (name, _shown_in_table(name, getattr(config, name)), ", ".join(_places(config, name)))
        for name in _setting_names()
    ]
    invocation.output.table(("setting", "value", "set by"), rows)


def _shown_in_table(name: str, value: Value) -> str:
    option = BY_NAME[name]
    if option.group is Group.LIMITS:
        return words(option.kind, value)
    default = option.default
    if isinstance(value, tuple) and isinstance(default, tuple) and len(default) > 1:
        count = f"{len(default)} default patterns"  # --json has them all
        return ", ".join((count, *(each for each in value if each not in default)))
    return shown(value)


def _document(config: Config) -> dict[str, dict[str, object]]:
    return {
        name: {
            "value": _plain(getattr(config, name)),
            "layer": config.origin(name).layer.name.lower(),
            "origins": _places(config, name),
        }
        for name in _setting_names()
    }


def shown(value: Value) -> str:
    """Return a value as a configuration file would hold it; a secret only as `set`."""
    if value is None:
        return "-"
    if isinstance(value, Secret):
        return "set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value) or "-"
    return str(value)


def _plain(value: Value) -> object:
    if isinstance(value, Secret):
        return "set"
    return list(value) if isinstance(value, tuple) else value


def _places(config: Config, name: str) -> list[str]:
    return [str(origin) for origin in config.origins[name]]


def _setting_names() -> list[str]:
    return [option.name for option in OPTIONS if option.key]


def _trust(invocation: Invocation) -> int:
    top = paths.find_top(invocation.cwd)
    if top is None:
        raise UserError(f"{invocation.cwd} is not in a git repository", hint="cd into the project")
    project = read_project(top)
    if project is None:
        raise UserError(f"{top} has no {paths.PROJECT_CONFIG}", hint="there is nothing to trust")
    lowered = lowered_mode(project.parsed.entries)
    wanted = wanted_hosts(project.parsed.entries)
    output = invocation.output
    if lowered is None and not wanted:
        output.say(
            f"{paths.PROJECT_CONFIG} lowers nothing and asks for no host: no trust is needed"
        )
        return ExitCode.OK
    Store(paths.state_directory(invocation.environ)).trust(top, project.content)
    if lowered is not None:
        output.say(f"trusted: {lowered.origin}: mode = {lowered.value}, in {top}")
    if wanted:
        output.say(f"trusted: allow = {', '.join(wanted)}, in {top}")
    output.note("when the file changes, the trust ends")
    return ExitCode.OK
