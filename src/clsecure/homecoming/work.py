"""What a session made, as it lies in the quarantine refs of the human's repository."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clsecure.git import Git, Repository
from clsecure.homecoming.changes import Change, changed
from clsecure.homecoming.manifest import Ignored, Manifest, Snapshot, StashEntry


@dataclass(frozen=True)
class NewRef:
    """A branch or tag of the session: its name there, its object, its commits new to the human."""

    name: str
    oid: str
    commits: int


@dataclass(frozen=True)
class Nested:
    """The work in a repository inside of the project's, such as a submodule.

    `path` is where it lies in the project. `is_new`: the human has no repository there, and what
    was made lies in the project's own, below refs/clsecure/<work.key>/.
    """

    path: str
    repository: Repository
    work: Work
    is_new: bool


@dataclass(frozen=True)
class Work:
    """The work of one session.

    `head` is the commit that is checked out there (None: none yet), `branch` its branch (None:
    detached) and `commits` how many commits of it are on no branch of the human's. `branches` are
    the other branches with commits that neither `head` nor the human has, `tags` the new tags,
    `others` the full names of other refs that changed (notes, for example), `deleted` branches
    that the session removed. `changes` is what a person would get: from `base` to the uncommitted
    work included. `nested` is the work in repositories inside. Names and texts are a worker's:
    escape them before they are shown.
    """

    key: str
    base: str
    head: str | None
    branch: str | None
    commits: int
    snapshot: Snapshot | None
    branches: tuple[NewRef, ...]
    tags: tuple[NewRef, ...]
    stashes: tuple[StashEntry, ...]
    others: tuple[str, ...]
    deleted: tuple[str, ...]
    changes: tuple[Change, ...]
    ignored: Ignored
    warnings: tuple[str, ...]
    nested: tuple[Nested, ...] = ()

    @property
    def tip(self) -> str | None:
        """The commit that has everything: the uncommitted work, or else `head`."""
        return self.snapshot.commit if self.snapshot else self.head

    @property
    def has_branches(self) -> bool:
        """Whether there is anything that branches and tags are made of."""
        return bool(self.commits or self.snapshot or self.branches or self.tags)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to import."""
        return not (self.has_branches or self.stashes or self.others or self.nested)


def work_from(git: Git, key: str, base: str, manifest: Manifest) -> Work:
    """Compare what a manifest lists, already fetched, with what the human has."""
    here = _human_refs(git)
    tips = {oid for oid in (manifest.head, *manifest.refs.values()) if oid}
    graph = _new_commits(git, base, tips)
    own = reachable(graph, manifest.head)
    branches, tags, others = [], [], []
    for name, oid in sorted(manifest.refs.items()):
        new = reachable(graph, oid)
        if name.startswith("refs/heads/"):
            if new and not new <= own:
                branches.append(NewRef(name.removeprefix("refs/heads/"), oid, len(new)))
        elif here.get(name) != oid:
            if name.startswith("refs/tags/"):
                tags.append(NewRef(name.removeprefix("refs/tags/"), oid, len(new - own)))
            else:
                others.append(name)
    tip = manifest.snapshot.commit if manifest.snapshot else manifest.head
    return Work(
        key=key,
        base=base,
        head=manifest.head,
        branch=manifest.branch,
        commits=len(own),
        snapshot=manifest.snapshot,
        branches=tuple(branches),
        tags=tuple(tags),
        stashes=manifest.stash,
        others=tuple(others),
        deleted=manifest.deleted,
        changes=tuple(changed(git, base, tip)) if tip else (),
        ignored=manifest.ignored,
        warnings=manifest.warnings,
    )


def reachable(graph: Mapping[str, Sequence[str]], tip: str | None) -> set[str]:
    """Return the commits of `graph` (commit to parents) that `tip` leads to."""
    found: set[str] = set()
    waiting = [tip] if tip in graph else []
    while waiting:
        commit = waiting.pop()
        if commit is not None and commit not in found:
            found.add(commit)
            waiting += [parent for parent in graph[commit] if parent in graph]
    return found


def _human_refs(git: Git) -> dict[str, str]:
    lines = git.lines("for-each-ref", "--format=%(objectname) %(refname)")
    pairs = (line.partition(" ") for line in lines)
    return {name: oid for oid, _, name in pairs if not name.startswith("refs/clsecure/")}


def _new_commits(git: Git, base: str, tips: Iterable[str]) -> dict[str, list[str]]:
    """Return the commits, with their parents, that neither `base` nor a ref of the human's has."""
    asked = os.fsencode("".join(f"{tip}\n" for tip in tips))
    known = ("--not", "--exclude=refs/clsecure/*", "--all", *([base] if git.has(base) else []))
    lines = git.lines("rev-list", "--parents", "--stdin", *known, stdin=asked)
    return {commit: parents for commit, *parents in map(str.split, lines)}
