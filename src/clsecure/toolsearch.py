"""From the directories of PATH to what must be shown for the programs in them.

On the path of every start: some tens of calls, and no walk over a tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from clsecure.exposing import Rules, Shown, World, below, is_system, says_secrets
from clsecure.helper.layout import is_reserved, within
from clsecure.installations import Installation

# Directories of programs; what a whole installation has beside one; what marks such a directory
# as a whole: conda, a virtual environment, a JDK, Go.
_PROGRAMS = ("bin", "sbin", "shims", ".bin", "scripts")
_PARTS = ("lib", "lib64", "libexec", "share", "include", "boot")
_MARKS = ("conda-meta", "pyvenv.cfg", "lib/modules", "pkg/tool")
_ENVIRONMENTS = (".venv", "venv", "env", ".direnv/*")  # in a project
_SECRET_NAMES = (".env", ".netrc", ".npmrc", ".pypirc", ".git-credentials")
_SECRET_STARTS = (".env.", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "credentials")
# What marks the top of a package.
_MANIFESTS = (
    *("package.json", "pyproject.toml", "setup.py", "requirements.txt", "pyvenv.cfg"),
    *("deno.json", "Cargo.toml", "go.mod", "Gemfile", ".claude-plugin/marketplace.json"),
)
_MODULES = "/node_modules/"
_MAX_LINKS = 20  # one after the other
_MAX_ENTRIES = 2000  # of one directory of programs


class Search:
    """What has been found so far."""

    def __init__(self, world: World) -> None:
        self.rules = Rules(world)
        self._world = world
        self.shown: dict[str, Shown] = {}
        self.left_out: dict[str, Shown] = {}
        self.covered: dict[str, None] = {}
        self.packages: list[str] = []
        self._installed: set[str] = set()
        self._prefixes: tuple[str, ...] = ()  # of all that is shown

    def on_path(self, directory: str) -> None:
        """Show a directory of PATH, unless the box has it anyway."""
        if is_system(directory) or within(directory, self._world.project):
            return
        if not os.path.isdir(directory):
            return
        real = os.path.realpath(directory)
        if is_system(real):
            return  # by its other name, then
        if is_reserved(directory):
            directory = real
        if not self._belongs(directory):
            if not self.is_shown(directory):
                self._leave(directory, "it is outside of your home: `expose` shows it")
            return
        self._directory(directory, "on your PATH")

    def environments(self) -> None:
        """Show what the project's virtual environments are made on."""
        named = self._world.environ.get("VIRTUAL_ENV", "")
        if named and within(named, self._world.project):
            self._lead(f"{named}/bin/python", "a virtual environment of the project")
        for name in _ENVIRONMENTS:
            for path in below(f"{self._world.project}/{name}", "bin/python"):
                self._lead(path, "a virtual environment of the project")

    def program(self, path: str, why: str) -> None:
        """Show a program, or a script, that the human's settings name, with its package."""
        if is_system(path) or within(path, self._world.project) or self.is_shown(path):
            return
        real = os.path.realpath(path)
        for each in (path, real):
            if known := self.rules.known(each):
                self._install(*known, why)
                return
        for package in self._packages(real):
            if not self.is_shown(package):
                self.add(package, why)
                self.packages.append(package)
        if os.path.isfile(real) and not self.is_shown(path):
            self.add(path, why)
        self._lead(path, why)

    def _packages(self, path: str) -> Iterator[str]:
        """Yield what a program's package consists of: its top, and the modules that it may use."""
        home = f"{self._world.home}/"
        if path.startswith(home) and _MODULES in path:
            yield path[: path.index(_MODULES) + len(_MODULES) - 1]
            return
        place = path if os.path.isdir(path) else os.path.dirname(path)
        is_found = False
        while place.startswith(home):
            if is_found and os.path.isdir(f"{place}{_MODULES}"):
                yield f"{place}{_MODULES}"[:-1]
            marks = [mark for mark in _MANIFESTS if os.path.lexists(f"{place}/{mark}")]
            if not is_found and marks and not self.rules.holds_credentials(place):
                yield place
                is_found = marks != ["pyvenv.cfg"]  # what the environment is for lies around it
            if os.path.lexists(f"{place}/.git"):
                return
            place = os.path.dirname(place)

    def add(self, path: str, why: str) -> None:
        """Show a path, unless something forbids that."""
        if self.is_shown(path):
            return
        source = os.path.realpath(path)
        if is_system(source) and source == path:
            return
        if not os.access(source, os.R_OK):
            self._leave(path, "you cannot read it")
            return
        for each in {path, source}:
            if reason := self.rules.why_not(each):
                self._leave(path, reason)
                return
        if source != path and self.rules.holds_credentials(source):
            self._leave(path, f"it leads to {source}, below which credentials are kept")
            return
        self.shown[path] = Shown(path, why, source if source != path else "")
        self._prefixes += (f"{path}/",)

    def _leave(self, path: str, why: str) -> None:
        self.left_out.setdefault(path, Shown(path, why))

    def is_shown(self, path: str) -> bool:
        """Say whether a path is, or lies in, what is shown."""
        return f"{path}/".startswith(self._prefixes)

    def _belongs(self, path: str) -> bool:
        return within(path, self._world.home) or self.rules.known(path) is not None

    def _directory(self, path: str, why: str, *, links: bool = True) -> None:
        known = self.rules.known(path)
        if self.is_shown(path):
            links = links and not self._installed.intersection(known[:1] if known else ())
        elif known:
            self._install(*known, why)
        elif not self._other(path, why):
            return
        if links and (not known or known[1].shown):
            self._links(path)

    def _other(self, path: str, why: str) -> bool:
        """Show a directory of programs that no known tool has made."""
        above, _, name = path.rpartition("/")
        if self.rules.holds_credentials(path):
            self._leave(path, "credentials are kept below it")
            return False
        if name in _PROGRAMS and not self._is_general(above):
            if any(os.path.lexists(f"{above}/{mark}") for mark in _MARKS):
                self.add(above, why)
                self._lead(f"{path}/python", why)
                return True
            for part in _PARTS:
                if os.path.isdir(f"{above}/{part}"):
                    self.add(f"{above}/{part}", f"beside {path}, {why}")
        elif name not in _PROGRAMS and os.path.lexists(f"{path}/.git"):
            self._leave(path, "it is another repository: `expose` shows it")
            return False
        self.add(path, why)
        return self.is_shown(path)

    def _is_general(self, path: str) -> bool:
        return (
            within(self._world.home, path)
            or self.rules.holds_credentials(path)
            or os.path.lexists(f"{path}/.git")
        )

    def _install(self, root: str, one: Installation, why: str) -> None:
        if root in self._installed:
            return
        self._installed.add(root)
        for part in one.shown or ("",):
            path = f"{root}/{part}".rstrip("/")
            if os.path.exists(path):
                self.add(path, f"{one.name}, {why}")
        for pattern in one.masked:
            self.covered |= dict.fromkeys(below(root, pattern))
        for name in one.beside:
            self._settings(f"{self._world.home}/{name}", one.name)
        for pattern in one.follow:
            for path in below(root, pattern):
                self._lead(path, f"{one.name}, {why}")
        for name in one.needs:
            for place, other in [each for each in self.rules.roots if each[1].name == name]:
                self._install(place, other, f"for {one.name}")

    def _settings(self, path: str, name: str) -> None:
        if not os.path.isfile(path):
            return
        if says_secrets(path):
            self._leave(path, "it may hold a secret: `expose` shows it")
        else:
            self.add(path, f"settings of {name}")

    def _links(self, directory: str) -> None:
        with os.scandir(directory) as entries:
            for number, entry in enumerate(entries):
                if number == _MAX_ENTRIES:
                    self._leave(f"{directory}/*", f"only {_MAX_ENTRIES} names were looked at")
                    break
                name = entry.name
                if name in _SECRET_NAMES or name.startswith(_SECRET_STARTS):
                    self.covered[entry.path] = None
                elif entry.is_symlink():
                    self._lead(entry.path, f"{entry.path} leads there")

    def _lead(self, path: str, why: str) -> None:
        """Show what a link leads to, and what the links do to which it leads."""
        for _ in range(_MAX_LINKS):
            try:
                target = os.readlink(path)
            except OSError:
                break
            path = os.path.normpath(os.path.join(os.path.dirname(path), target))
            if is_system(path) or self.is_shown(path):
                return
            known = self.rules.known(path)
            if known:
                self._install(*known, why)
                return
        if within(path, self._world.project) or not os.path.exists(path):
            return
        real = os.path.realpath(path)
        if is_system(real) or self.is_shown(real):
            return
        parent = os.path.dirname(path)
        if known := self.rules.known(real):
            self._install(*known, why)
        elif os.path.basename(parent) in _PROGRAMS and not self._is_general(
            os.path.dirname(parent)
        ):
            self._directory(parent, why, links=False)
        elif os.path.isfile(path):
            self.add(path, why)
