"""Reading configuration: the human's file, the project's file and the environment."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from clsecure import paths
from clsecure.config import Config, Parsed, lowered_mode, merge, parse, wanted_hosts
from clsecure.errors import ExitCode, UserError
from clsecure.options import OPTIONS
from clsecure.store import Store
from clsecure.values import Entry, Layer, Origin, convert

_PROJECT_LIMIT = 64 << 10  # bytes; a repository is not trusted
_USER_LIMIT = 1 << 20


class ProjectFile(NamedTuple):
    """The project's configuration file as it was read once: bytes and what they say."""

    content: bytes
    parsed: Parsed


def load(top: Path | None, environ: Mapping[str, str], given: Iterable[Entry] = ()) -> Config:
    """Read every layer and merge it. `top` is the project's; `given` the command line's entries.

    Raises UserError where a file cannot be read or says what cannot be understood.
    """
    given = tuple(given)
    project = read_project(top) if top else None
    project_parsed = project.parsed if project else Parsed()
    user = _read_user(environ)
    names = {entry.name for entry in given}
    entries = (*project_parsed.entries, *user.entries, *_environment(environ, names), *given)
    entries = tuple(_with_absolute_paths(entry, environ) for entry in entries)
    trusted, may_reach = _consents(top, project, environ)
    config = merge(entries, trusted=trusted, may_reach=may_reach)
    former = _former(top) if top else ()
    warnings = (*former, *user.warnings, *project_parsed.warnings, *config.warnings)
    return config._replace(warnings=warnings)


def _consents(
    top: Path | None, project: ProjectFile | None, environ: Mapping[str, str]
) -> tuple[bool, bool]:
    """Return whether the human trusts the project's file, and its list of hosts."""
    if top is None or project is None:
        return False, False
    asks = bool(wanted_hosts(project.parsed.entries))
    if not asks and lowered_mode(project.parsed.entries) is None:
        return False, False
    store = Store(paths.state_directory(environ))
    trusted = store.is_trusted(top, project.content)
    return trusted, trusted or (asks and store.may_reach(top, project.content))


def read_project(top: Path) -> ProjectFile | None:
    """Read `.clsecure/config` of the project, or return None where there is none.

    Raises UserError (REFUSED) for what is not a regular file in the tree, or is over 64 KiB.
    """
    path = top / paths.PROJECT_CONFIG
    if not os.path.lexists(path):
        return None
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(top)):
        raise UserError(
            f"{paths.PROJECT_CONFIG} is a link that leaves the project",
            hint="replace it by a file",
            code=ExitCode.REFUSED,
        )
    content = _read(real, paths.PROJECT_CONFIG, _PROJECT_LIMIT)
    return ProjectFile(content, _parse(content, Origin(Layer.PROJECT, paths.PROJECT_CONFIG)))


def _former(top: Path) -> tuple[str, ...]:
    if not os.path.lexists(top / paths.FORMER_PROJECT_CONFIG):
        return ()
    return (f"{paths.FORMER_PROJECT_CONFIG} is not read; use {paths.PROJECT_CONFIG}",)


def _read_user(environ: Mapping[str, str]) -> Parsed:
    for path in paths.user_config_files(environ):
        if path.exists():
            origin = Origin(Layer.USER, os.fspath(path))
            parsed = _parse(
                _read(Path(os.path.realpath(path)), os.fspath(path), _USER_LIMIT), origin
            )
            return parsed._replace(warnings=(*parsed.warnings, *_open_secret(path, parsed)))
    return Parsed()


def _open_secret(path: Path, parsed: Parsed) -> tuple[str, ...]:
    holds_secret = any(entry.name == "kimi_api_key" for entry in parsed.entries)
    if holds_secret and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return (f"{path} holds a key and is open to other users; chmod 600 {path}",)
    return ()


def _environment(environ: Mapping[str, str], given: set[str]) -> tuple[Entry, ...]:
    # A variable that the command line overrules is not looked at: PROVIDER is a common name.
    return tuple(
        convert(option, environ[option.variable], Origin(Layer.ENVIRONMENT, option.variable))
        for option in OPTIONS
        if option.variable and environ.get(option.variable) and option.name not in given
    )


def _with_absolute_paths(entry: Entry, environ: Mapping[str, str]) -> Entry:
    if entry.name != "expose" or not isinstance(entry.value, tuple):
        return entry
    return entry._replace(
        value=tuple(_absolute(path, entry.origin, environ) for path in entry.value)
    )


def _absolute(path: str, origin: Origin, environ: Mapping[str, str]) -> str:
    if path == "~" or path.startswith("~/"):
        return os.path.normpath(f"{paths.home(environ)}/{path[1:]}")
    if os.path.isabs(path):
        return os.path.normpath(path)
    if origin.layer is Layer.COMMAND_LINE:
        return os.path.abspath(path)
    raise UserError(
        f"{origin}: expose {path} is not an absolute path",
        hint="begin it with / or ~/",
        code=ExitCode.USAGE,
    )


def _read(path: Path, name: str, limit: int) -> bytes:
    # O_NONBLOCK: opening a planted fifo must not wait for its writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(limit + 1) if is_regular else b""
    except IsADirectoryError:
        is_regular, content = False, b""
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}", code=ExitCode.USAGE) from error
    if not is_regular:
        raise UserError(f"{name} is not a regular file", code=ExitCode.REFUSED)
    if len(content) > limit:
        raise UserError(f"{name} is larger than {limit >> 10} KiB", code=ExitCode.REFUSED)
    return content


def _parse(content: bytes, origin: Origin) -> Parsed:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{origin.where}:{line}: this line is not UTF-8 text",
            hint="save the file as UTF-8",
            code=ExitCode.USAGE,
        ) from error
    return parse(text, origin)
