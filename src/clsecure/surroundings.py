"""What of the human's home a session has: tools, what was asked for, and the agent's own state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clsecure import agent, claudehistory, claudeprograms, exposing, tools
from clsecure.agents import Declaration
from clsecure.choices import Need
from clsecure.config import Config
from clsecure.errors import ExitCode, UserError
from clsecure.exposing import Shown, World
from clsecure.facts import Facts
from clsecure.helper.layout import is_reserved, within

if TYPE_CHECKING:
    from clsecure.listing import Listing

PLUGINS, _PROJECTS = ".claude/plugins", ".claude/projects"
_LONGEST = 200  # bytes of a path, of which the session's layer has its name


class Surroundings(NamedTuple):
    """The result. `state` are directories of the agent's, shown under a layer of the session's."""

    tools: tools.Tools
    state: tuple[Shown, ...] = ()
    programs: tuple[claudeprograms.Program, ...] = ()
    lacking: tuple[str, ...] = ()  # what of it stays outside, in lines


NOTHING = Surroundings(tools.Tools())


def look(
    config: Config,
    facts: Facts,
    environ: Mapping[str, str],
    declared: Declaration,
    found: agent.Agent | None,
    *,
    need: Need,
) -> Surroundings:
    """Look for it; raises UserError (REFUSED) where what was asked for cannot be shown."""
    home, project = str(facts.home), str(facts.repository.top)
    hide, show = (_absolute(patterns, home) for patterns in (config.hide, config.show))
    world = World(environ, home, project, hide, show)
    state = _state(world, declared, facts.cwd)
    if need is Need.NONE:  # the way home needs no more
        plugins = f"{home}/{PLUGINS}"
        state = tuple(one for one in state if one.path != plugins)
        return Surroundings(tools.Tools(covered=_strange(world, state, facts.cwd)), state)
    listing = _listing(state, f"{home}/{PLUGINS}", environ)  # while the rest is looked for
    try:
        return _look(
            config,
            facts,
            world=world,
            state=state,
            declared=declared,
            found=found,
            listing=listing,
        )
    finally:
        if listing is not None:
            listing.close()


def _look(
    config: Config,
    facts: Facts,
    *,
    world: World,
    state: tuple[Shown, ...],
    declared: Declaration,
    found: agent.Agent | None,
    listing: Listing | None,
) -> Surroundings:
    home, project, environ = world.home, world.project, world.environ
    asked = tuple(os.path.realpath(path) for path in config.expose if os.path.exists(path))
    others = [Shown(path, "asked for") for path in asked]
    others += [Shown(str(path), "the agent") for path in (found.exposed if found else ())]
    programs: tuple[claudeprograms.Program, ...] = ()
    wanted: list[Shown] = []
    if declared.is_settled:
        programs = claudeprograms.find(home, project, str(facts.cwd))
        wanted = _wanted(programs, home)
    looked = tools.look(world, others, wanted)
    _refuse_left_out(looked, asked)
    searched = (*(top for top in asked if os.path.isdir(top)), *looked.packages)
    secret = [path for top in searched for path in _secret(top, config, environ)]
    packages = [path for path in secret if any(within(path, top) for top in looked.packages)]
    places = [one.path for one in (*looked.exposed, *looked.caches)]
    state = tuple(
        one
        for one in state
        if not any(within(one.path, each) or within(each, one.path) for each in places)
    )
    inside = dict.fromkeys(packages, "by its name")
    inside |= _secret_plugins(state, f"{home}/{PLUGINS}", config, environ, listing)
    strange = _strange(world, state, facts.cwd)
    covered = tuple(dict.fromkeys((*looked.covered, *secret, *inside, *strange)))
    lacking = tuple(f"{path}: {why} it is a credential" for path, why in inside.items())
    return Surroundings(looked._replace(covered=covered), state, programs, lacking)


def _refuse_left_out(looked: tools.Tools, asked: tuple[str, ...]) -> None:
    for one in looked.left_out:
        if one.path in asked:
            raise UserError(
                f"{one.path} cannot be exposed: {one.why}",
                hint="`show` lifts what is only kept back by its name",
                code=ExitCode.REFUSED,
            )


def _state(world: World, declared: Declaration, cwd: Path) -> tuple[Shown, ...]:
    """Return the agent's state: this project's own conversations, and plugins."""
    if not declared.is_settled:
        return ()
    places = (cwd, Path(world.project))
    names = dict.fromkeys(agent.history_directory(declared, place) for place in places)
    paths = dict.fromkeys((f"{world.home}/{name}" for name in names), "this project's history")
    if os.path.isdir(plugins := f"{world.home}/{PLUGINS}"):
        paths[plugins] = "your Claude plugins"
    return tuple(
        _layered(world, path, why)
        for path, why in paths.items()
        if len(os.fsencode(path)) <= _LONGEST
        and not within(path, world.project)
        and not within(world.project, path)
    )


def _strange(world: World, state: tuple[Shown, ...], cwd: Path) -> tuple[str, ...]:
    """Return what of the histories is another project's, whose directory has the same name."""
    found: list[str] = []
    for place in dict.fromkeys((cwd, Path(world.project))):
        at = f"{world.home}/{_PROJECTS}/{claudehistory.encoded(place)}"
        source = next((one.source for one in state if one.path == at), "")
        if source:
            found += [f"{at}/{name}" for name in claudehistory.strange(source, place)]
    return tuple(found)


def _listing(state: tuple[Shown, ...], at: str, environ: Mapping[str, str]) -> Listing | None:
    source = next((one.source for one in state if one.path == at), "")
    if not source:
        return None
    from clsecure.workspace import exposed  # only for those who have plugins

    return exposed.begin(source, environ)


def _secret_plugins(
    state: tuple[Shown, ...],
    at: str,
    config: Config,
    environ: Mapping[str, str],
    listing: Listing | None,
) -> dict[str, str]:
    source = next((one.source for one in state if one.path == at), "")
    if not source:
        return {}
    from clsecure import claudeplugins  # only for those who have any

    found = claudeplugins.secrets(source, config.hide, config.show, environ, listing)
    return {at + path[len(source) :]: why for path, why in found.items()}


def _layered(world: World, path: str, why: str) -> Shown:
    """Return what is shown of the agent's state; without a source it begins empty."""
    source = os.path.realpath(path)
    may_be = (
        os.path.isdir(source)
        and os.access(source, os.R_OK | os.X_OK)
        and not is_reserved(source)
        and not within(world.home, source)
        and not within(source, world.project)
        and not within(world.project, source)
        and not any(exposing.matches(each, world.hide) for each in (path, source))
    )
    return Shown(path, why, source if may_be else "")


def is_agents(path: str, home: str) -> bool:
    """Say whether a session has that path of the agent's own directory, or a copy of it."""
    own = f"{home}/.claude/"
    if not path.startswith(own):
        return False
    from clsecure.claudestate import is_brought  # for those whose hooks are there

    return within(path, f"{home}/{PLUGINS}") or is_brought(path[len(own) :])


def _wanted(programs: tuple[claudeprograms.Program, ...], home: str) -> list[Shown]:
    # What a project's own file names would be the choice of whoever wrote that.
    wanted = [
        Shown(path, one.whose)
        for one in programs
        if one.is_mine
        for path in map(os.path.normpath, one.paths())
        if within(path, home) and not is_agents(path, home)
    ]
    if not os.path.isdir(plugins := f"{home}/{PLUGINS}"):
        return wanted
    from clsecure import claudeplugins  # only for those who have any

    markets = claudeplugins.marketplaces(plugins)
    return [*wanted, *(Shown(place, f"the marketplace {name}") for name, place in markets)]


def _secret(top: str, config: Config, environ: Mapping[str, str]) -> tuple[str, ...]:
    from clsecure.workspace.exposed import secrets_below  # only for those who expose something

    return secrets_below(top, config.hide, config.show, environ)


def _absolute(patterns: tuple[str, ...], home: str) -> tuple[str, ...]:
    """Return those of the patterns that are about places beside the project."""
    named = [home + each[1:] if each.startswith("~/") else each for each in patterns]
    return tuple(each.rstrip("/") for each in named if each.startswith("/"))
