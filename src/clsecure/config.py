"""Layers of settings to one frozen Config, each value with the place where it was set.

Pure: what files say is read in `configfiles`. The format is `key = value` lines, as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from clsecure.choices import (
    AgentName,
    Credentials,
    Docker,
    Engine,
    Mode,
    Network,
    OnExit,
    Provider,
    Push,
    Secret,
    Sign,
    Start,
    Value,
    WorkspaceKind,
)
from clsecure.declaration import Group, Kind, Option
from clsecure.errors import ExitCode, UserError
from clsecure.options import BY_KEY, BY_NAME, OPTIONS
from clsecure.values import Entry, Layer, Origin, convert

_WARNINGS_SHOWN = 5  # of one file; a repository must not fill the screen


class Config(NamedTuple):
    """Every setting, typed; `origins` says for each name where it was set.

    `memory` and `disk` are in bytes, `cpus` in processors, `time` in seconds; None: no limit.
    `cleanup_hook_timeout` is in seconds; `expose` holds absolute paths; `hide` and `show` are
    complete, the default patterns included. `warnings` are for the person, one line each.
    """

    mode: Mode
    engine: Engine
    image: str
    workspace: WorkspaceKind
    writable: bool
    full_clone: bool
    network: Network
    allow: tuple[str, ...]
    publish: tuple[str, ...]
    docker: Docker
    skip_docker_autodetect: bool
    hide: tuple[str, ...]
    show: tuple[str, ...]
    expose: tuple[str, ...]
    agent: AgentName
    agent_command: str | None
    credentials: Credentials
    api_key_command: str | None
    web_tools: bool
    provider: Provider
    kimi_api_key: Secret | None
    memory: int | None
    cpus: float | None
    pids: int | None
    disk: int | None
    time: int | None
    session: str | None
    start: Start
    dry_run: bool
    install_dependencies: bool
    setup_script: str | None
    skip_setup: bool
    on_exit: OnExit
    branch: str | None
    take_settings: tuple[str, ...]
    push: Push
    push_branches: tuple[str, ...]
    push_force: bool
    push_now: bool
    sign: Sign
    cleanup_hook_timeout: int
    all_workers: bool
    follow: bool
    blocked: bool
    always: bool
    remove: bool
    base: str | None
    for_user: str | None
    no_input: bool
    yes: bool
    json: bool
    origins: Mapping[str, tuple[Origin, ...]]
    asked: tuple[str, ...] = ()  # hosts that the project's file asks for, without consent yet
    warnings: tuple[str, ...] = ()

    def origin(self, name: str) -> Origin:
        """Return where `name` was set; for a list, the strongest of its places."""
        return self.origins[name][-1]


class Parsed(NamedTuple):
    """What one configuration file says."""

    entries: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()


def parse(text: str, origin: Origin) -> Parsed:
    """Read the text of a configuration file; `origin.where` is the file's name.

    In the project's layer only what a project may set counts; the rest is warned about. Raises
    UserError (USAGE) that names file and line for a line or value that cannot be understood.
    """
    entries: list[Entry] = []
    warnings: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        place = Origin(origin.layer, f"{origin.where}:{number}")
        pair = _pair(line.strip(), place)
        if pair is None:
            continue
        key, value = pair
        option = BY_KEY.get(key.lower().replace("-", "_"))
        if option is None:
            warnings.append(f"{place}: there is no setting {key[:60]}{_nearest(key)}; ignored")
        elif origin.layer is Layer.PROJECT and not option.project:
            warnings.append(f"{place}: a project cannot set {option.key}; ignored")
        else:
            entry = convert(option, value, place)
            if origin.layer is Layer.PROJECT and entry.value is Push.ORIGIN:
                warnings.append(f"{place}: a project cannot set {option.key} = origin; ignored")
            else:
                entries.append(entry)
    return Parsed(tuple(entries), _capped(warnings, origin))


def merge(entries: Iterable[Entry], *, trusted: bool = False, may_reach: bool = False) -> Config:
    """Put the layers together: the higher layer wins, and within one the later entry.

    Lists add up over all layers. A project's limit counts where it is lower than the person's, and
    so does who may push. Its mode that is weaker than the default is left out with a warning,
    unless `trusted`; hosts that it asks for are `asked`, unless `may_reach`.
    """
    by_name: dict[str, list[Entry]] = {option.name: [_default(option)] for option in OPTIONS}
    for entry in sorted(entries, key=lambda entry: entry.origin.layer):
        by_name[entry.name].append(entry)
    warnings = () if trusted else _drop_lowered_mode(by_name["mode"])
    for option in OPTIONS:
        if option.group is Group.LIMITS or option.name == "push":
            _only_lower(by_name[option.name])
    asked = () if trusted or may_reach else _take_asked(by_name["allow"])
    values: dict[str, Any] = {}  # the names are Config's fields, which a test compares
    origins: dict[str, tuple[Origin, ...]] = {}
    for name, found in by_name.items():
        if BY_NAME[name].kind is Kind.LIST:
            values[name] = tuple(dict.fromkeys(chain.from_iterable(_items(each) for each in found)))
            origins[name] = tuple(each.origin for each in found)
        else:
            values[name] = found[-1].value
            origins[name] = (found[-1].origin,)
    return Config(**values, origins=origins, asked=asked, warnings=warnings)


def lowered_mode(entries: Iterable[Entry]) -> Entry | None:
    """Return the project's entry that asks for a weaker mode than the default, if there is one."""
    for entry in entries:
        is_mode = entry.name == "mode" and _is_projects(entry)
        if is_mode and isinstance(entry.value, Mode) and entry.value.weaker_than(_default_mode()):
            return entry
    return None


def wanted_hosts(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return the hosts that the project's file asks for."""
    wanted = (each for each in entries if each.name == "allow" and _is_projects(each))
    return tuple(dict.fromkeys(chain.from_iterable(_items(each) for each in wanted)))


def _is_projects(entry: Entry) -> bool:
    return entry.origin.layer is Layer.PROJECT


def _take_asked(found: list[Entry]) -> tuple[str, ...]:
    asked = wanted_hosts(found)
    found[:] = [entry for entry in found if not _is_projects(entry)]
    known = set(chain.from_iterable(_items(each) for each in found))
    return tuple(each for each in asked if each not in known)


def _only_lower(found: list[Entry]) -> None:
    """Let what the project asks for win where it is less than the person's settings.

    What was said on the command line is about this very session, so it stands.
    """
    asked = [entry for entry in found if _is_projects(entry)]
    found[:] = [entry for entry in found if not _is_projects(entry)]
    last = found[-1]
    is_said = last.origin.layer is Layer.COMMAND_LINE
    if asked and not is_said and _is_lower(asked[-1].value, last.value):
        found.append(asked[-1])


def _is_lower(value: Value, other: Value) -> bool:
    """Compare limits, of which None is the highest, or who may push."""
    if isinstance(value, Push) and isinstance(other, Push):
        return value.stricter_than(other)
    if not isinstance(value, (int, float)):
        return False
    return value < other if isinstance(other, (int, float)) else True


def _drop_lowered_mode(found: list[Entry]) -> tuple[str, ...]:
    lowered = lowered_mode(found)
    if lowered is None:
        return ()
    found[:] = [entry for entry in found if lowered_mode([entry]) is None]
    if found[-1].origin.layer > Layer.PROJECT:  # the human decided anyway
        return ()
    what = f"mode {lowered.value} is weaker than {found[-1].value} and is not used"
    return (f"{lowered.origin}: {what}; `clsecure config trust` allows it",)


def _default(option: Option) -> Entry:
    return Entry(option.name, option.default, Origin(Layer.DEFAULT))


def _default_mode() -> Mode:
    return Mode(str(BY_NAME["mode"].default))


def _items(entry: Entry) -> tuple[str, ...]:
    return entry.value if isinstance(entry.value, tuple) else ()


def _pair(line: str, place: Origin) -> tuple[str, str] | None:
    if not line or line.startswith("#"):
        return None
    key, equals, value = line.partition("=")
    key = key.strip()
    if not equals or not key:
        # The line itself is not repeated: it may hold a key that was pasted there.
        raise UserError(
            f"{place}: this line is not `key = value`",
            hint="comments begin with #; there are no sections",
            code=ExitCode.USAGE,
        )
    return key, _unquote(value.strip())


def _unquote(value: str) -> str:
    quote = value[:1]
    if quote in {'"', "'"}:
        inner, closing, rest = value[1:].partition(quote)
        if closing and (not rest.strip() or rest.lstrip().startswith("#")):
            return inner
    if value.startswith("#"):
        return ""
    cuts = [at for sign in (" #", "\t#") if (at := value.find(sign)) >= 0]
    return value[: min(cuts)].rstrip() if cuts else value


def _nearest(key: str) -> str:
    import difflib  # only where a key is not known

    close = difflib.get_close_matches(key.lower()[:60], BY_KEY, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _capped(warnings: list[str], origin: Origin) -> tuple[str, ...]:
    if len(warnings) <= _WARNINGS_SHOWN:
        return tuple(warnings)
    more = len(warnings) - _WARNINGS_SHOWN
    return (*warnings[:_WARNINGS_SHOWN], f"{origin.where}: {more} more lines were ignored")
