"""Brings a session's work home with that in the repositories inside: submodules, and others.

Work in a submodule goes into the human's repository of that submodule, below the same
refs/clsecure/<key>/; the project's uncommitted work records it, so that its branch leads to all
of it. Where the human has no such repository, the work is kept in the project's own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from clsecure.errors import ExitCode, UserError
from clsecure.git import Git, Repository, all_module_dirs, described, module_dirs
from clsecure.homecoming import bundle, gitlinks
from clsecure.homecoming.bundle import PLACES, Place
from clsecure.homecoming.inside import Runner, inside_command
from clsecure.homecoming.refs import BASE, namespace, update_refs
from clsecure.homecoming.work import Nested, Work

_DEEP = 20
_MOST = 100  # new repositories of a session: what it says of them is a worker's word


class Module(NamedTuple):
    """A repository of the human's inside another one: its path in that one's tree."""

    path: str
    repository: Repository
    modules: tuple[Module, ...]


def fetch(
    repository: Repository, runner: Runner, *, key: str, base: str, paths: Sequence[str] | None
) -> Work:
    """Bring what is new in the session, and in the repositories inside, into quarantine refs.

    `base` is the commit that the session started from, `paths` what changed in its tree (None:
    nobody can tell). Raises UserError with ExitCode.IMPORT when the work cannot be had or is not
    sound.
    """
    modules = tuple(_modules(repository, _DEEP))
    collecting = _Collecting(runner, key, _changed(runner, modules) if modules else set())
    work = collecting.collect(repository, modules, base, paths, "")
    nested = collecting.nested
    if collecting.places:
        _remember(repository, key, collecting.places)
    warnings = [f"{each.path}: {warning}" for each in nested for warning in each.work.warnings]
    warnings += [
        f"{each.path} is no repository of yours: its work is kept in this one, at "
        f"{namespace(each.work.key)}"
        for each in nested
        if each.is_new
    ]
    return replace(work, warnings=(*work.warnings, *warnings), nested=tuple(nested))


def places(git: Git, key: str) -> list[Repository]:
    """Return the other repositories that may hold refs of the session."""
    listed = git.run("cat-file", "blob", f"{namespace(key)}{PLACES}", check=False)
    paths = {Path(path) for path in listed.text.split("\0") if path}
    paths.update(all_module_dirs(git.repository.git_dir))
    return [described(path) for path in sorted(paths) if path.is_dir()]


def _remember(repository: Repository, key: str, found: Iterable[Path]) -> None:
    git = Git(repository)
    known = {each.git_dir for each in places(git, key)} | set(found)
    listing = b"".join(os.fsencode(path) + b"\0" for path in sorted(known))
    oid = git.run("hash-object", "-w", "--stdin", stdin=listing).text.strip()
    update_refs(git, [f"update {namespace(key)}{PLACES}\0{oid}\0\0"])


def _modules(repository: Repository, depth: int) -> Iterator[Module]:
    """Yield the human's submodules, those without a working tree of their own included."""
    if not depth:
        return
    asked = [
        (path, Git(described(path)).start("config", "--get", "core.worktree"))
        for _, path in module_dirs(repository.git_dir)
    ]
    for git_dir, running in asked:
        named = running.result(check=False).text.removesuffix("\n")
        top = Path(os.path.normpath(git_dir / named))
        if not named or not top.is_relative_to(repository.top) or top == repository.top:
            continue
        there = top if (top / ".git").is_file() else None
        module = described(git_dir, top)
        path = top.relative_to(repository.top).as_posix()
        inner = tuple(_modules(module, depth - 1))
        yield Module(path, module if there else described(git_dir), inner)


def _changed(runner: Runner, modules: Iterable[Module]) -> set[Path]:
    """Ask in the box which of the submodules' repositories have changed."""
    git_dirs = list(_all_git_dirs(modules))
    with os.fdopen(os.memfd_create("survey", os.MFD_CLOEXEC), "w+b") as answer:
        code, _ = runner.run_inside(
            inside_command("survey"),
            stdin=json.dumps([os.fspath(path) for path in git_dirs]).encode("ascii"),
            stdout=answer.fileno(),
            env={},
        )
        answer.seek(0)
        try:
            found = json.loads(answer.read(1 << 20))
            return {git_dirs[number] for number in found} if not code else set(git_dirs)
        except (ValueError, TypeError, IndexError, RecursionError):
            return set(git_dirs)  # to look at all of them costs time alone


def _all_git_dirs(modules: Iterable[Module]) -> Iterator[Path]:
    for module in modules:
        yield module.repository.git_dir
        yield from _all_git_dirs(module.modules)


class _Collecting:
    """Goes through the repositories, the innermost first."""

    def __init__(self, runner: Runner, key: str, changed: set[Path]) -> None:
        self._runner, self._key, self._changed = runner, key, changed
        self.places: list[Path] = []
        self._works: dict[str, Work] = {}  # by the path in the project, the innermost first
        self._repositories: dict[str, Repository] = {}
        self._kept: set[str] = set()  # of which the human has no repository
        self._new = 0

    @property
    def nested(self) -> list[Nested]:
        """What there is to bring home, by repository."""
        return [
            Nested(path, self._repositories[path], work, is_new=path in self._kept)
            for path, work in self._works.items()
            if not work.is_empty
        ]

    def collect(
        self,
        repository: Repository,
        modules: Sequence[Module],
        base: str,
        paths: Sequence[str] | None,
        prefix: str,
    ) -> Work:
        """Bring home what is in `repository` and below it; `prefix` is its place in the project."""
        known = [*modules, *_embedded(repository, modules, paths)]
        pinned = {}
        for module in known:
            inner = _within(paths, module.path)
            is_submodule = module in modules
            if is_submodule and inner == [] and self._changed.isdisjoint(_all_git_dirs([module])):
                continue
            work = self._module(repository, module, base, inner, prefix)
            if work.snapshot:
                pinned[module.path] = work.snapshot.commit
        work, repositories = bundle.receive(
            repository, self._runner, key=self._key, base=base, paths=paths, gitlinks=pinned
        )
        there = {module.path: module for module in known}
        done = set(there)
        for path in sorted(set(repositories)):
            if path in done or any(parent in done for parent in _parents(path)):
                continue  # brought home already, with the repository that it lies in
            done.add(path)
            if _is_repository(repository.top / path):
                module = Module(path, _at(repository.top / path), ())
                self._module(repository, module, base, None, prefix)
            else:
                self._unknown(repository, path, prefix)
        warnings = self._recorded(repository, work, known, base, prefix)
        return replace(work, warnings=(*work.warnings, *warnings))

    def _recorded(
        self,
        repository: Repository,
        work: Work,
        known: Sequence[Module],
        base: str,
        prefix: str,
    ) -> list[str]:
        """Bring home what the new commits record of repositories inside; return warnings."""
        if not known and not self._works:
            return []  # no repository inside
        there = {module.path: module for module in known}
        warnings = []
        for path, oids in gitlinks.recorded(Git(repository), work).items():
            module, full = there.get(path), prefix + path
            if module is None and full not in self._works:
                continue  # no repository of anybody's here, such as a submodule never fetched
            where = module.repository if module else repository
            inner = self._works.get(full)
            lacking = gitlinks.missing(Git(where), oids, inner)
            if lacking and module and not inner:
                inner = self._module(repository, module, base, [], prefix)
            if lacking and inner:
                self._bring(full, where, inner, lacking, repository.top / path)
            found = gitlinks.present(Git(where), lacking)
            warnings += [
                f"a commit of the session records a commit of {path} that is nowhere: {oid}"
                for oid in lacking
                if oid not in found
            ]
        return warnings

    def _bring(
        self, path: str, where: Repository, inner: Work, oids: Sequence[str], tree: Path
    ) -> None:
        """Bring commits that no branch leads to home, as branches of the repository inside."""
        work, _ = bundle.receive(
            where,
            self._runner,
            key=f"{inner.key}/recorded",
            base=None,
            paths=[],
            place=Place(tree / ".git", tree),
            recorded=oids,
        )
        self._works[path] = replace(inner, branches=(*inner.branches, *work.branches))

    def _module(
        self,
        parent: Repository,
        module: Module,
        base: str,
        paths: Sequence[str] | None,
        prefix: str,
    ) -> Work:
        git = Git(module.repository)
        start = _resolved(git, f"{namespace(self._key)}{BASE}")
        pinned = Git(parent).run("ls-tree", base, "--", module.path, check=False).text.split()
        if not start and len(pinned) > 2 and git.has(pinned[2]):  # noqa: PLR2004 - mode, type, id
            start = pinned[2]
        start = start or _resolved(git, "HEAD")
        path = prefix + module.path
        work = self.collect(
            module.repository, module.modules, start, _without_git(paths), f"{path}/"
        )
        self.places.append(module.repository.git_dir)
        self._works[path], self._repositories[path] = work, module.repository
        return work

    def _unknown(self, repository: Repository, path: str, prefix: str) -> None:
        """Keep a repository that only the session has in the one around it."""
        self._new += 1
        if self._new > _MOST:
            raise UserError(
                f"the session has more than {_MOST} new repositories in its tree",
                hint="remove some with clsecure shell, or have git ignore them",
                code=ExitCode.IMPORT,
            )
        word = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")[-40:]
        tree = repository.top / path
        work, inner = bundle.receive(
            repository,
            self._runner,
            key=f"{self._key}/nested/{self._new}-{word}",
            base=None,
            paths=None,
            place=Place(tree / ".git", tree),
        )
        full = prefix + path
        self._works[full], self._repositories[full] = work, repository
        self._kept.add(full)
        for each in dict.fromkeys(inner):
            self._unknown(repository, f"{path}/{each}", prefix)


def _resolved(git: Git, name: str) -> str:
    """Return the commit that a name stands for; empty when there is none."""
    return git.run("rev-parse", "-q", "--verify", f"{name}^{{commit}}", check=False).text.strip()


def _embedded(
    repository: Repository, modules: Sequence[Module], paths: Sequence[str] | None
) -> Iterator[Module]:
    """Yield the human's other repositories in the tree, with `.git` in it, that have changes."""
    above = {parent for path in paths or () for parent in _parents(path)}
    known = {module.path for module in modules}
    for path in sorted(above):
        inside = any(parent in known for parent in (path, *_parents(path)))
        if not inside and _is_repository(repository.top / path):
            known.add(path)
            yield Module(path, _at(repository.top / path), ())


def _is_repository(top: Path) -> bool:
    # A worker names the path: no link of the human's may lead it to another of their repositories.
    git_dir = top / ".git"
    return os.path.realpath(git_dir) == os.fspath(git_dir) and (git_dir / "HEAD").is_file()


def _at(top: Path) -> Repository:
    return described(top / ".git", top)


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        if not path.endswith("/.git") and path != ".git":
            yield path


def _within(paths: Sequence[str] | None, directory: str) -> list[str] | None:
    """Return the changed paths below `directory`, relative to it; None: all of it may have."""
    if paths is None:
        return None
    if any(path == directory or directory.startswith(f"{path}/") for path in paths):
        return None
    below = f"{directory}/"
    return [path.removeprefix(below) for path in paths if path.startswith(below)]


def _without_git(paths: Sequence[str] | None) -> Sequence[str] | None:
    if paths is None:
        return None
    return [path for path in paths if path != ".git" and not path.startswith(".git/")]
