"""The agent's program: where it is, what of the host must be there for it, and how it is called."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from clsecure.agents import Declaration, arguments
from clsecure.claudehistory import encoded
from clsecure.errors import ExitCode, UserError
from clsecure.helper.layout import SYSTEM, within

# Where the installers put it, for those whose PATH does not say so (a desktop, a cron job).
_USUAL = (
    ".local/bin",
    ".npm-global/bin",
    ".volta/bin",
    ".bun/bin",
    "bin",
)
_USUAL_ABSOLUTE = ("/usr/local/bin", "/usr/bin", "/home/linuxbrew/.linuxbrew/bin", "/opt/bin")
_HOMEBREW = ("Cellar", "Caskroom")
_MAX_LINKS = 20
_NO_HISTORY = ".no-history"  # is never there


class Agent(NamedTuple):
    """A program found on the host.

    `program` is the path to start inside; `exposed` what must be shown read-only for it;
    `directories` where it, and what it needs, were looked for.
    """

    program: Path
    exposed: tuple[Path, ...]
    directories: tuple[Path, ...]
    declared: Declaration


def find(
    environ: Mapping[str, str],
    home: Path,
    project: Path,
    declared: Declaration,
    *,
    has_image: bool = False,
) -> Agent:
    """Find the agent as the human's shell would; raises UserError (MISSING).

    With `has_image` what interprets it may be in the image alone.
    """
    directories = _directories(environ, home, declared.places)
    named = Path(declared.program)
    if declared.program.startswith("~/"):
        named = home / declared.program[2:]
    if named.is_absolute():
        directories = (named.parent, *directories)
    program = _which(named.name, directories)
    if program is None:
        raise _missing(directories, declared)
    if str(program.parent) not in environ.get("PATH", "").split(":"):
        directories = (program.parent, *directories)  # its interpreter is most likely beside it
    keep_out = (home, project)
    exposed = dict.fromkeys(_needed(program, directories, keep_out))
    interpreter = _interpreter(program, directories)
    if interpreter is not None and not os.access(interpreter, os.X_OK):
        if not has_image:
            what = f"its interpreter {interpreter} is {_what_is(interpreter)}"
            message = f"{program} cannot be run: {what}"
            raise UserError(message, hint=declared.install, code=ExitCode.MISSING)
        interpreter = None
    if interpreter is not None:
        exposed |= dict.fromkeys(_needed(interpreter, directories, keep_out))
    return Agent(
        program=Path(os.path.realpath(program.parent)) / program.name,
        exposed=tuple(exposed),
        directories=directories,
        declared=declared,
    )


def of_image(declared: Declaration) -> Agent:
    """Return the agent of the image that is built with one: nothing of the host is needed."""
    program = Path("/usr/local/bin", declared.program)
    return Agent(program=program, exposed=(), directories=(), declared=declared)


def argv(
    agent: Agent, given: tuple[str, ...], *, resumes: bool, conversation: str = ""
) -> tuple[str, ...]:
    """Return the agent's command line, with every permission prompt off."""
    words = arguments(agent.declared, given, resumes=resumes, conversation=conversation)
    return (str(agent.program), *words)


def system_path() -> tuple[Path, ...]:
    """Return the directories of programs that every box has."""
    names = ("usr/local/bin", "usr/bin", "bin", "usr/local/sbin", "usr/sbin", "sbin")
    return tuple(Path("/") / name for name in names)


def history_directory(declared: Declaration, cwd: Path) -> str:
    """Return what, in the home, holds something once the agent had a conversation there."""
    return declared.history.replace("{cwd}", encoded(cwd)) or _NO_HISTORY


def _directories(
    environ: Mapping[str, str], home: Path, places: tuple[str, ...]
) -> tuple[Path, ...]:
    named = [Path(word) for word in environ.get("PATH", "").split(":") if word.startswith("/")]
    nodes = home / ".nvm/versions/node"
    newest = sorted(nodes.glob("*/bin"), reverse=True) if nodes.is_dir() else []
    usual = [
        *(home / name for name in dict.fromkeys((*places, *_USUAL))),
        *map(Path, _USUAL_ABSOLUTE),
        *newest,
    ]
    return tuple(dict.fromkeys([*named, *usual]))


def _which(name: str, directories: tuple[Path, ...]) -> Path | None:
    for directory in directories:
        path = directory / name
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def _missing(directories: tuple[Path, ...], declared: Declaration) -> UserError:
    name = Path(declared.program).name
    there = [path for each in directories if os.path.lexists(path := each / name)]
    message = f"{name} is not installed: it is neither on your PATH nor where its installers put it"
    if there:
        message = f"{there[0]} cannot be run: it is {_what_is(there[0])}"
    return UserError(message, hint=declared.install, code=ExitCode.MISSING)


def _what_is(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a broken link" if path.is_symlink() else "not there"
    except OSError as error:
        return "a loop of links" if error.errno == errno.ELOOP else "out of your reach"
    return "not executable" if stat.S_ISREG(mode) else "no file"


def _needed(
    program: Path, directories: tuple[Path, ...], keep_out: tuple[Path, ...]
) -> Iterator[Path]:
    """Yield what to show for a program: the place of each link, and the package at their end."""
    shown = {Path(os.path.realpath(directory)) for directory in directories}
    for link in _links(program):
        place = link.parent
        whole = _package(link) or (place if place in shown or place.name == "versions" else link)
        if _is_system(whole) or within(str(link), str(keep_out[1])):  # the box has these anyway
            continue
        if any(within(str(one), str(whole)) for one in keep_out):  # it holds home or project
            whole = link
        yield whole


def _links(program: Path) -> Iterator[Path]:
    """Yield the program and every link on the way to it, their directories without links."""
    current = program
    for _ in range(_MAX_LINKS):
        current = Path(os.path.realpath(current.parent)) / current.name
        yield current
        if not current.is_symlink():
            return
        current = current.parent / current.readlink()
    raise UserError(f"{program} is a loop of links", hint="install it again", code=ExitCode.MISSING)


def _package(path: Path) -> Path | None:
    # npm: the whole of node_modules, since platform packages lie beside the agent's. Homebrew: the
    # whole prefix, since a formula's libraries are those of other formulas. Python: an environment.
    for parent in reversed(path.parents):
        if parent.name == "node_modules":
            return parent
        if parent.name in _HOMEBREW:
            return parent.parent
    environment = path.parent.parent
    return environment if os.path.isfile(environment / "pyvenv.cfg") else None


def _interpreter(program: Path, directories: tuple[Path, ...]) -> Path | None:
    with program.open("rb") as file:
        first = file.readline(256)
    if not first.startswith(b"#!"):
        return None
    words = os.fsdecode(first[2:]).split()
    if not words:
        return None
    if Path(words[0]).name != "env":
        return Path(words[0])
    names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return _which(names[0], directories) if names else None


def _is_system(path: Path) -> bool:
    return any(within(str(path), f"/{name}") for name in SYSTEM)
