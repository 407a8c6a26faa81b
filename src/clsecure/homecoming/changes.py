"""What differs between the session's start and its end: files, text, and contents for review."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clsecure.errors import ExitCode, UserError
from clsecure.git import Git
from clsecure.homecoming.objects import MISSING, look_up
from clsecure.homecoming.refs import reason
from clsecure.homecoming.review import Entry, needs_content
from clsecure.output import escape

_READ_AT_MOST = 1 << 20  # bytes of one file for the review; what is larger is shown by name


@dataclass(frozen=True)
class Change:
    """A changed file: git's letter (A, M, D, R, T), modes and blobs before and after.

    `old_path` is the former name of a renamed file, else the same as `path`. Modes are octal
    digits as git writes them; "000000" means that there is none.
    """

    status: str
    path: str
    old_path: str
    old_mode: str
    mode: str
    old_oid: str
    oid: str


def changed(git: Git, base: str, tip: str) -> Iterator[Change]:
    """Yield what changed from `base` (a commit; the empty tree when it is gone) to `tip`."""
    start = base if git.has(base) else _empty_tree(git)
    listing = ("diff-tree", "-r", "-z", "--raw", "--no-abbrev")
    raw = git.run(*listing, "-M", start, tip, "--", check=False)
    if raw.returncode:  # a partial clone may lack what a renamed file looked like
        raw = git.run(*listing, "-M100%", start, tip, "--")
    fields = iter(raw.text.split("\0"))
    for head in fields:
        if not head:
            break
        old_mode, mode, old_oid, oid, status = head.removeprefix(":").split(" ")
        old_path = next(fields)
        path = next(fields) if status[0] in "RC" else old_path
        yield Change(status[0], path, old_path, old_mode, mode, old_oid, oid)


def _empty_tree(git: Git) -> str:
    return git.run("hash-object", "-t", "tree", "/dev/null").text.strip()


def diff(git: Git, base: str, tip: str, *options: str, paths: Sequence[str] = ()) -> str:
    """Return the diff as text that is safe to print; `options` such as `--stat` are git's.

    No program that the repository names is run: no external diff, no text conversion. Raises
    UserError with ExitCode.IMPORT where git lacks a part and cannot fetch it.
    """
    start = base if git.has(base) else _empty_tree(git)
    safe = ("--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "-M")
    where = ("--literal-pathspecs", "diff", *safe, *options, start, tip, "--", *paths)
    ended = git.run(*where, check=False, may_fetch=True)
    if ended.returncode:
        raise UserError(
            f"git cannot show the whole diff: {reason(ended.stderr)}",
            hint="a partial clone fetches what it lacks: is its remote in reach?",
            code=ExitCode.IMPORT,
        )
    return escape(ended.stdout, multiline=True)


def log(git: Git, base: str, tip: str) -> str:
    """Return one line for each commit from `base` to `tip`, the newest first, safe to print."""
    span = (tip, f"^{base}") if git.has(base) else (tip,)
    shown = git.run("log", "--no-color", "--no-decorate", "--format=%h %s", *span, "--")
    return escape(shown.stdout, multiline=True)


def entries(git: Git, changes: Sequence[Change]) -> list[Entry]:
    """Return the changes for the review, with the contents that it looks into."""
    looked = [change for change in changes if needs_content(change.path, change.mode)]
    oids = {oid for change in looked for oid in (change.old_oid, change.oid) if oid.strip("0")}
    contents = _contents(git, sorted(oids))
    return [
        Entry(
            change.path,
            change.old_mode,
            change.mode,
            contents.get(change.old_oid),
            contents.get(change.oid),
        )
        for change in changes
    ]


def _contents(git: Git, oids: Sequence[str]) -> dict[str, bytes]:
    """Read blobs that are not too large, in two calls however many there are."""
    there = (each for each in look_up(git, oids) if each.kind != MISSING)
    small = [each.oid for each in there if each.size <= _READ_AT_MOST]
    data = git.run(
        "cat-file", "--batch", stdin=os.fsencode("".join(f"{oid}\n" for oid in small))
    ).stdout
    found, at = {}, 0
    for oid in small:
        end = data.index(b"\n", at)
        size = int(data[at:end].split()[-1])
        found[oid] = data[end + 1 : end + 1 + size]
        at = end + size + 2
    return found
