"""Which commits of the repositories inside a session's history records: its gitlinks.

A commit in the middle may record one that no branch of the repository inside leads to any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from clsecure.git import Git
from clsecure.homecoming.objects import look_up
from clsecure.homecoming.work import Work

_GITLINK = "160000"
_HUMANS = ("--exclude=refs/clsecure/*", "--all")


def recorded(git: Git, work: Work) -> dict[str, list[str]]:
    """Return, by the paths of repositories inside, what the new commits of `work` record."""
    asked = "".join(f"{tip}\n" for tip in _tips(work))
    known = ("--not", *_HUMANS, *([work.base] if git.has(work.base) else []))
    commits = git.run("rev-list", "--stdin", *known, stdin=asked.encode()).stdout
    raw = ("--raw", "--no-abbrev", "-z", "--no-renames", "--diff-filter=AMT")
    trees = ("diff-tree", "--stdin", "--no-commit-id", "-r", "-m", "--root")
    listed = git.run(*trees, *raw, stdin=commits, check=False)
    found: dict[str, dict[str, None]] = {}
    fields = iter(listed.text.split("\0"))
    for head, path in zip(fields, fields, strict=False):
        _, mode, _, oid, _ = head.split(" ")
        if mode == _GITLINK:
            found.setdefault(path, {})[oid] = None
    return {path: list(oids) for path, oids in found.items()}


def missing(git: Git, oids: Collection[str], work: Work | None) -> list[str]:
    """Return those commits that neither the human's refs nor those of `work` lead to."""
    there = present(git, oids)
    asked = "".join(f"{oid}\n" for oid in there)
    tips = _tips(work) if work else ()
    new = set(git.lines("rev-list", "--stdin", "--not", *_HUMANS, *tips, stdin=asked.encode()))
    return [oid for oid in oids if oid not in there or oid in new]


def present(git: Git, oids: Iterable[str]) -> set[str]:
    """Return those that are commits of the repository."""
    return {each.oid for each in look_up(git, oids) if each.kind == "commit"}


def _tips(work: Work) -> list[str]:
    tips = [work.head, work.tip, *(stash.commit for stash in work.stashes)]
    tips += [ref.oid for ref in (*work.branches, *work.tags) if ref.commits]
    return [tip for tip in dict.fromkeys(tips) if tip]
