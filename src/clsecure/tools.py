"""What of the human's own tools a session is shown, and which variables and PATH go with that."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from clsecure.exposing import Shown, World, is_system, matches
from clsecure.helper.layout import within
from clsecure.installations import CACHES, CHOICES, PLACES
from clsecure.toolsearch import Search

_LONGEST_CACHE = 200  # bytes, of which the session's layer has its name


class Tools(NamedTuple):
    """Everything beside the project that a session is shown."""

    exposed: tuple[Shown, ...] = ()
    caches: tuple[Shown, ...] = ()
    covered: tuple[str, ...] = ()  # what of both is not to be seen
    left_out: tuple[Shown, ...] = ()
    variables: Mapping[str, str] = {}
    packages: tuple[str, ...] = ()  # of what is shown: directories that nobody has searched yet

    def path(self, directories: Iterable[str], project: str) -> tuple[str, ...]:
        """Return those of the directories that the box has, by the names they have there."""
        places = tuple(one.path for one in self.exposed)

        def is_there(path: str) -> bool:
            return is_system(path) or any(within(path, one) for one in (*places, project))

        found: dict[str, None] = {}
        for directory in directories:
            if is_there(directory) or is_there(directory := os.path.realpath(directory)):
                found[directory] = None
        return tuple(found)


def look(world: World, others: Iterable[Shown] = (), programs: Iterable[Shown] = ()) -> Tools:
    """Find what the human's PATH, and the project's environments, need; `others` are shown too.

    So are `programs`, with the package that each belongs to.
    """
    search = Search(world)
    for one in others:
        search.add(one.path, one.why)
    for directory in directories(world.environ, world.home):
        search.on_path(directory)
    search.environments()
    for place in terminal_descriptions(world):
        search.add(place, "it describes your terminal")
    for one in programs:
        search.program(one.path, one.why)
    return _result(world, search)


def terminal_descriptions(world: World) -> Iterator[str]:
    """Yield the directories of the human's own which describe TERM: terminfo(5)."""
    kind = world.environ.get("TERM", "")
    if not kind or "/" in kind or kind.startswith("."):
        return
    named = (world.environ.get("TERMINFO", ""), f"{world.home}/.terminfo")
    for place in map(os.path.normpath, named):
        if within(place, world.home) and os.path.exists(f"{place}/{kind[0]}/{kind}"):
            yield place


def directories(environ: Mapping[str, str], home: str) -> tuple[str, ...]:
    """Return the directories of PATH, with the home's own name where it was reached by a link."""
    named = environ.get("HOME", "").rstrip("/")
    found: dict[str, None] = {}
    for word in environ.get("PATH", "").split(":"):
        if not word.startswith("/"):
            continue  # relative: another one wherever somebody is
        path = os.path.normpath(word)
        if named and named != home and within(path, named):
            path = home + path[len(named) :]
        found[path] = None
    return tuple(found)


def _result(world: World, search: Search) -> Tools:
    exposed = tuple(_outermost(search))
    caches = tuple(_caches(world, search, tuple(each.path for each in exposed)))
    places = tuple(one.path for one in (*exposed, *caches))
    prefixes = tuple(f"{place}/" for place in places)
    secret = dict.fromkeys(
        (
            *search.covered,
            *(place[:-1] for place in search.rules.credentials),
            *_hidden(world, places),
        )
    )
    return Tools(
        exposed=exposed,
        caches=caches,
        covered=tuple(
            path
            for path in secret
            if path.startswith(prefixes) and os.path.lexists(path) and not matches(path, world.show)
        ),
        left_out=tuple(search.left_out.values()),
        variables=_variables(world, places, caches),
        packages=tuple(one for one in search.packages if one in search.shown),
    )


def _outermost(search: Search) -> Iterator[Shown]:
    """Yield what is shown, without what lies in something else that is."""
    paths = tuple(search.shown)
    for one in search.shown.values():
        if not any(path != one.path and within(one.path, path) for path in paths):
            yield one
        elif one.source and not search.is_shown(one.source):
            yield Shown(one.source, one.why)  # a link there leads to it


def _caches(world: World, search: Search, exposed: tuple[str, ...]) -> Iterator[Shown]:
    found: list[str] = []
    for one in CACHES:
        named = world.environ.get(one.variable, "") if one.variable else ""
        path = f"{named}/{one.below}".rstrip("/") if named else f"{world.home}/{one.place}"
        if not os.path.isabs(path) or not os.path.isdir(path):
            continue
        path = os.path.normpath(path)
        if any(within(path, each) for each in found) or path in exposed:
            continue
        if os.path.realpath(path) != path or len(path) > _LONGEST_CACHE:
            continue
        if search.rules.why_not(path) or any(within(each, path) for each in exposed):
            continue
        found.append(path)
        yield Shown(path, f"cache of {one.name}")


def _hidden(world: World, places: tuple[str, ...]) -> Iterator[str]:
    for pattern in world.hide:
        if any(pattern.startswith(f"{place}/") for place in places):
            from glob import iglob  # only for somebody's own patterns

            yield from iglob(pattern)


def _variables(world: World, places: tuple[str, ...], caches: tuple[Shown, ...]) -> dict[str, str]:
    found = {name: world.environ[name] for name in CHOICES if world.environ.get(name)}
    for name in PLACES:
        value = world.environ.get(name, "")
        if not value.startswith("/"):
            continue
        path = os.path.normpath(value)
        if is_system(path) or any(
            within(path, each) for each in (world.home, world.project, *places)
        ):
            found[name] = value
    if any(one.why == "cache of uv" for one in caches):
        # Links from the cache into an environment would cross file systems.
        found["UV_LINK_MODE"] = world.environ.get("UV_LINK_MODE") or "copy"
    return found
