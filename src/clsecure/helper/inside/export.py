"""Runs in the box as the worker: writes what is new in the session's repository as a git bundle.

Standard input: one JSON object {git_dir, work_tree, base, exclude, stashed, paths, gitlinks,
recorded, partial}. `paths` are the changed paths (null: look at the whole tree), `exclude` the
objects that the other side has, `stashed` what is in its own stash, `gitlinks` what submodules are
to be recorded at; `recorded` are commits that are asked for alone, each to come as a branch.
`partial`: a remote has promised the other side what is missing. `base` is null for a repository
that the other side does not have. Standard output: one line of JSON, the manifest, then the bundle
(gitformat-bundle(5)) if it says so. What cannot come home is named in the manifest's warnings.
Nothing of the session is changed, except that files and directories which the worker closed to
itself are opened.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clsecure.helper.inside.sessiongit import Failed, SessionGit, real_git_dir, text
from clsecure.helper.inside.snapshot import Ignored, Snapshot, Taken

FORMAT = 1
MOMENT = 20  # seconds for reading a few small files
TOLD = 199  # warnings; more are counted
REPOSITORIES = 10_000
PROMISED = "--missing=allow-promisor"  # what a remote has promised may be missing, nothing else
DAMAGED = ".damaged"
SCRATCH = "clsecure-export-"
# Refs that mirror another repository, or belong to an operation under way.
NOT_OURS = tuple(
    f"refs/{name}/" for name in ["clsecure", "remotes", "bisect", "worktree", "rewritten"]
)
UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisect",
}


def main() -> int:
    """Export once; 1 and a line on standard error when nothing could be exported."""
    try:
        request = json.load(sys.stdin)
        git_dir = real_git_dir(request["git_dir"])
        scratch = _scratch(git_dir)
        try:
            git = SessionGit(git_dir, request["work_tree"], scratch)
            _put_pipes_aside(git)
            _mend_config(git)
            _export(git, request)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except RecursionError:
        sys.stderr.write("export: its directories are nested too deep\n")
        return 1
    except (Failed, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"export: {error}\n".encode("ascii", "backslashreplace").decode())
        return 1
    return 0


class Found(NamedTuple):
    """What there is to bring home: refs made or moved, deleted branches, stash entries."""

    head: str | None
    taken: Taken
    refs: dict[str, str]
    deleted: list[str]
    stash: list[dict[str, str]]


def _export(git: SessionGit, request: Mapping[str, object]) -> None:
    head, taken, refs, deleted, stash = _found(git, request)
    tips = {**refs, "HEAD": head, "snapshot": taken.commit}
    tips |= {f"stash/{number}": entry["commit"] for number, entry in enumerate(stash)}
    wanted = {name: oid for name, oid in tips.items() if oid}
    excluded = _known(git, request["exclude"])  # type: ignore[arg-type]
    packing = Packing(git, excluded, is_partial=bool(request["partial"]))
    lost = packing.choose(wanted)
    for name in lost:
        git.warnings.append(f"objects are missing, so this cannot come home: {name}")
    for path, what in UNDER_WAY.items():
        if os.path.lexists(f"{git.git_dir}/{path}"):
            git.warnings.append(f"{what} is under way in the session")
    manifest = {
        "format": FORMAT,
        "head": None if "HEAD" in lost else head,
        "branch": _branch(git),
        "refs": {name: oid for name, oid in refs.items() if name not in lost},
        "deleted": deleted,
        "snapshot": _snapshot_entry(taken, lost),
        "stash": [entry for number, entry in enumerate(stash) if f"stash/{number}" not in lost],
        "ignored": {"count": taken.ignored.count, "names": list(taken.ignored.names)},
        "warnings": _capped(git.warnings),
        "bundle": packing.objects > 0,
        "repositories": git.repositories[:REPOSITORIES],
        "lfs": os.path.isdir(f"{git.git_dir}/lfs/objects"),
    }
    if len(git.repositories) > REPOSITORIES:
        raise Failed(f"there are more than {REPOSITORIES} repositories in the tree")
    out = sys.stdout.fileno()
    _write(out, json.dumps(manifest).encode("ascii") + b"\n")
    if packing.objects:
        packing.write(out)


def _found(git: SessionGit, request: Mapping[str, object]) -> Found:
    recorded: list[str] = request["recorded"]  # type: ignore[assignment]
    if recorded:
        there = (oid for oid in recorded if git.object(f"{oid}^{{commit}}"))
        refs = {f"refs/heads/recorded-{oid[:12]}": oid for oid in there}
        return Found(None, Taken(None, 0, Ignored(0, ())), refs, [], [])
    head = git.object("HEAD^{commit}")
    base, paths, pinned = request["base"], request["paths"], request["gitlinks"]
    taken = Snapshot(git).take(head, base, paths, pinned)  # type: ignore[arg-type]
    refs, deleted = _refs(git)
    stash = _stash(git, request["stashed"])  # type: ignore[arg-type]
    return Found(head, taken, refs, deleted, stash)


def _write(out: int, data: bytes) -> None:
    # Without a buffer, which would be tried again at the very end where there is no room.
    while data:
        data = data[os.write(out, data) :]


def _snapshot_entry(taken: Taken, lost: Iterable[str]) -> dict[str, object] | None:
    if taken.commit is None or "snapshot" in lost:
        return None
    return {"commit": taken.commit, "files": taken.files}


def _capped(warnings: Sequence[str]) -> list[str]:
    more = len(warnings) - TOLD
    return [*warnings[:TOLD], f"{more} more warnings"] if more > 0 else list(warnings)


class Packing:
    """Chooses what the bundle holds, and writes it."""

    def __init__(self, git: SessionGit, excluded: Sequence[str], *, is_partial: bool) -> None:
        self._git = git
        self._is_partial = is_partial
        self._excluded = excluded
        self._tips: dict[str, str] = {}
        self._boundary: list[str] = []
        self.objects = 0

    def choose(self, tips: Mapping[str, str]) -> set[str]:
        """Take all tips whose objects are there; return the names of the others."""
        self._tips = dict(tips)
        if self._walk(self._tips.values()):
            return set()
        sound = {name: oid for name, oid in tips.items() if self._walk([oid])}
        self._tips = sound
        if not self._walk(sound.values()):
            raise Failed("the session's repository is damaged")
        return set(tips) - set(sound)

    def _revisions(self, tips: Iterable[str]) -> bytes:
        lines = [*tips, *(f"^{oid}" for oid in self._excluded)]
        return "".join(f"{line}\n" for line in lines).encode()

    def _walk(self, tips: Iterable[str]) -> bool:
        """Visit every object that `tips` add; False when one is missing."""
        arguments = (
            "rev-list",
            "--objects",
            "--no-object-names",
            "--boundary",
            "--stdin",
            PROMISED,
        )
        ended = self._git.call(*arguments, stdin=self._revisions(tips))
        lines = text(ended.stdout).split()
        self._boundary = [line[1:] for line in lines if line.startswith("-")]
        self.objects = len(lines) - len(self._boundary)
        return not ended.returncode

    def write(self, out: int) -> None:
        """Write the bundle to the descriptor `out`. Raises Failed."""
        any_tip = next(iter(self._tips.values()))
        header = ["# v2 git bundle"]
        if len(any_tip) > 40:  # noqa: PLR2004 - the hexadecimal length of SHA-1
            header = ["# v3 git bundle", "@object-format=sha256"]
        header += [f"-{oid}" for oid in self._boundary]
        header += [f"{oid} {_in_bundle(name)}" for name, oid in self._tips.items()]
        _write(out, os.fsencode("\n".join(header) + "\n\n"))
        # The other side of a partial clone may lack the objects that a thin pack builds on.
        shape = () if self._is_partial else ("--thin",)
        packing = ("pack-objects", "--revs", "--delta-base-offset", "--stdout", "-q")
        arguments = (*packing, PROMISED, *shape)
        revisions = self._revisions(self._tips.values())
        ended = self._git.call(*arguments, stdin=revisions, stdout=out)
        if ended.returncode:
            raise Failed(f"git pack-objects: {text(ended.stderr).strip()}")


def _in_bundle(name: str) -> str:
    return name if name == "HEAD" or name.startswith("refs/") else f"refs/clsecure/{name}"


def _known(git: SessionGit, oids: Iterable[str]) -> list[str]:
    """Return those of `oids` that the session has too."""
    asked = "".join(f"{oid}\n" for oid in dict.fromkeys(oids))
    answer = text(
        git.git("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked.encode())
    )
    pairs = (line.partition(" ") for line in answer.splitlines())
    return [oid for oid, _, kind in pairs if kind in {"commit", "tag"}]


def _branch(git: SessionGit) -> str | None:
    """Return the branch that is checked out, born or not; None: detached."""
    name = text(git.call("symbolic-ref", "-q", "HEAD").stdout).strip()
    return name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None


def _refs(git: SessionGit) -> tuple[dict[str, str], list[str]]:
    """Return the refs made or moved in the session, and the names of deleted branches."""
    listed = text(git.git("for-each-ref", "--format=%(objectname) %(refname)"))
    now = {name: oid for oid, _, name in (line.partition(" ") for line in listed.splitlines())}
    lines = (line.partition(" ") for line in _seeded(git, "refs") if line[:1] not in "#^")
    seed = {name: oid for oid, _, name in lines}
    changed = {
        name: oid
        for name, oid in now.items()
        if seed.get(name) != oid and not name.startswith(NOT_OURS) and name != "refs/stash"
    }
    gone = [name for name in seed if name.startswith("refs/heads/") and name not in now]
    return changed, [name.removeprefix("refs/heads/") for name in gone]


def _stash(git: SessionGit, theirs: Iterable[str]) -> list[dict[str, str]]:
    """Return the stash entries made in the session, the newest first."""
    known = {line.split(" ")[1] for line in _seeded(git, "stash") if line.count(" ") > 1}
    known.update(theirs)
    listed = git.call("log", "-g", "-z", "--format=%H %gs", "refs/stash", "--")
    entries = [entry.partition(" ") for entry in text(listed.stdout).split("\0") if entry]
    return [{"commit": oid, "message": said} for oid, _, said in entries if oid not in known]


def _seeded(git: SessionGit, name: str) -> list[str]:
    """Return what the session started with, as the lines of `clsecure/<name>`."""
    try:
        content = Path(git.git_dir, "clsecure", name).read_bytes()
    except OSError:
        return []
    return [line for line in text(content).splitlines() if line]


def _put_pipes_aside(git: SessionGit) -> None:
    """Put named pipes aside, which would keep git waiting for ever."""
    for parent, _, names in os.walk(git.git_dir):
        for name in names:
            path = Path(parent, name)
            if path.suffix != DAMAGED and not path.is_symlink() and path.is_fifo():
                path.replace(f"{path}{DAMAGED}")
                git.warnings.append(f"a pipe in the session's git directory is left out: {name}")


def _mend_config(git: SessionGit) -> None:
    """Put a configuration that git cannot read aside: it would stop every call."""
    # Not for ever: what it includes may be a pipe.
    looked = git.call("rev-parse", "--git-dir", seconds=MOMENT)
    if "bad config" not in text(looked.stderr):
        return
    config = Path(git.git_dir, "config")
    config.replace(f"{config}{DAMAGED}")
    git.warnings.append("the session's git configuration was damaged and is left out")


def _scratch(git_dir: str) -> str:
    """Make a directory for our own index, and sweep those that a killed export left."""
    for left in Path(git_dir).glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=SCRATCH, dir=git_dir)
