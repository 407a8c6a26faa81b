"""Brings a session's work into the human's repository: bundle, check, quarantine refs.

A bundle arrives on a descriptor and lies in a file without a name. Its objects go into an object
store of their own until git has checked each of them and that none is missing; only then do they
join the repository's, and refs below refs/clsecure/<key>/ name them. `git fetch` is not used: up
to git 2.45 it takes objects from a bundle unchecked, `fetch.fsckObjects` or not (found with
2.39.5; the test holds a tree with an entry called ".git").
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, NamedTuple

from clsecure.errors import ExitCode, UserError
from clsecure.git import Git, Repository
from clsecure.homecoming.inside import Runner, inside_command
from clsecure.homecoming.manifest import MAX_LINE, BadManifest, Manifest, parse
from clsecure.homecoming.objects import MISSING, PROMISED, is_partial, look_up
from clsecure.homecoming.refs import BASE, conflicting, namespace, reason, update_refs
from clsecure.homecoming.signing import SIGNED
from clsecure.homecoming.work import Work, work_from
from clsecure.output import escape

PLACES = "places"  # the ref for the list of other repositories that hold work of the session
_MODULES = ("sessiongit", "snapshot")
_NOTHING = "0" * 40  # no commit has this id
_BUNDLE_LINE = re.compile(rb"-?([0-9a-f]{40}|[0-9a-f]{64})( [^\n\0]*)?\n")
_BUNDLE_START = (b"# v2 git bundle\n", b"# v3 git bundle\n")
_LOOK = "it is all still in the session: look at it with clsecure shell"
_ROOM = "make room in your repository's file system; it is all still in the session"
_LITTLE_ROOM = 1 << 20  # bytes


class Place(NamedTuple):
    """A repository in the box: its git directory (or the file that names it) and its tree."""

    git_dir: Path
    work_tree: Path


def receive(
    repository: Repository,
    runner: Runner,
    *,
    key: str,
    base: str | None,
    paths: Sequence[str] | None,
    place: Place | None = None,
    gitlinks: Mapping[str, str] | None = None,
    recorded: Sequence[str] = (),
) -> tuple[Work, tuple[str, ...]]:
    """Bring what is new in the session into refs/clsecure/<key>/ and say what it is.

    `base` is the commit that the session started from (None: it had no such repository), `paths`
    what changed in its tree (None: the export looks at all of it). `place` is where the repository
    is in the box, if not where it is here, and `gitlinks` what submodules are recorded at. With
    `recorded`, these commits alone are brought, each as a branch. Also returns which paths of the
    tree have repositories of their own.

    Refs of an earlier fetch that are gone are removed; working tree, index, HEAD, configuration
    and all other refs stay as they are. Raises UserError with
    ExitCode.IMPORT when the work cannot be had or is not sound; then nothing has changed.
    """
    from tempfile import TemporaryFile

    git = Git(repository)
    known = git.lines("for-each-ref", "--format=%(objectname)")
    known += [base] if base and git.has(base) else []
    stashed = _stashed(repository)
    known += stashed
    place = place or Place(repository.git_dir, repository.top)
    partial = is_partial(git)
    request = _request(
        place,
        base=base,
        exclude=known,
        stashed=stashed,
        paths=paths,
        gitlinks=gitlinks or {},
        recorded=recorded,
        partial=partial,
    )
    try:
        with TemporaryFile(dir=repository.common_dir) as file, _looking_for_room(file):
            code, said = runner.run_inside(
                inside_command(*_MODULES, "export"), stdin=request, stdout=file.fileno(), env={}
            )
            if code:
                last = escape(said.strip().rpartition(b"\n")[2].removeprefix(b"export: "))
                raise _refused(
                    f"the session's work could not be exported: {last or f'code {code}'}"
                )
            file.seek(0)
            manifest = _manifest(file)
            refs = quarantine_refs(manifest)
            _receive(git, file, refs, is_bundle=manifest.bundle, partial=partial)
            if manifest.lfs:
                from clsecure.homecoming import largefiles

                warnings = largefiles.bring(git, runner, place.git_dir, refs.values())
                manifest = replace(manifest, warnings=(*manifest.warnings, *warnings))
            _write_refs(git, namespace(key), refs)
    except OSError as error:
        raise _refused(f"your repository cannot be written: {error.strerror}", _ROOM) from error
    return work_from(git, key, base or _NOTHING, manifest), manifest.repositories


def _stashed(repository: Repository) -> list[str]:
    """Return the commits of the human's stash; refs/stash itself is the last one alone."""
    try:
        log = (repository.common_dir / "logs/refs/stash").read_bytes()
    except OSError:
        return []
    fields = (line.split(b" ", 2) for line in log.splitlines())
    return [words[1].decode("ascii", "replace") for words in fields if len(words) > 1]


@contextmanager
def _looking_for_room(file: IO[bytes]) -> Iterator[None]:
    """Have a refusal say that room is lacking where `file` is, if it is; git's words may not."""
    try:
        yield
    except UserError as error:
        there = os.fstatvfs(file.fileno())
        needed = os.fstat(file.fileno()).st_size + _LITTLE_ROOM
        if there.f_bavail * there.f_frsize < needed:
            raise UserError(error.message, hint=_ROOM, code=error.code) from None
        raise


def quarantine_refs(manifest: Manifest) -> dict[str, str]:
    """Return the refs of a manifest by their names below refs/clsecure/<key>/."""
    refs = {}
    for name, oid in manifest.refs.items():
        short = name.removeprefix("refs/")
        refs[short if short.startswith(("heads/", "tags/")) else f"other/{short}"] = oid
    if manifest.head:
        refs["HEAD"] = manifest.head
    if manifest.snapshot:
        refs["snapshot"] = manifest.snapshot.commit
    return refs | {f"stash/{n}": entry.commit for n, entry in enumerate(manifest.stash)}


def _refused(message: str, hint: str = _LOOK) -> UserError:
    return UserError(message, hint=hint, code=ExitCode.IMPORT)


def _request(
    place: Place,
    *,
    base: str | None,
    exclude: Sequence[str],
    stashed: Sequence[str],
    paths: Sequence[str] | None,
    gitlinks: Mapping[str, str],
    recorded: Sequence[str],
    partial: bool,
) -> bytes:
    request = {
        "git_dir": os.fspath(place.git_dir),
        "work_tree": os.fspath(place.work_tree),
        "base": base,
        "exclude": list(dict.fromkeys(exclude)),
        "stashed": list(stashed),
        "paths": None if paths is None else list(paths),
        "gitlinks": dict(gitlinks),
        "recorded": list(recorded),
        "partial": partial,
    }
    return json.dumps(request).encode("ascii")


def _manifest(file: IO[bytes]) -> Manifest:
    try:
        return parse(file.readline(MAX_LINE))
    except BadManifest as error:
        raise _refused(f"the session's manifest is refused: {error}") from error


def _receive(
    git: Git, file: IO[bytes], refs: Mapping[str, str], *, is_bundle: bool, partial: bool
) -> None:
    """Check what `file` holds from here on, and that `refs` are whole with it; then keep it."""
    objects = git.repository.common_dir / "objects"
    with _quarantine(objects) as (store, env):
        if is_bundle:
            _need(git, _prerequisites(file))
            os.lseek(file.fileno(), file.tell(), os.SEEK_SET)
            # As fetch does: links of a partial clone's objects may lead to what is promised.
            checking = "--fsck-objects" if partial else "--strict"
            indexing = ("index-pack", "--stdin", "--fix-thin", checking)
            ended = git.run(*indexing, stdin=file, env=env, check=False)
            if ended.returncode:
                raise _refused(f"git refuses what the session made: {reason(ended.stderr)}")
        _check_kinds(git, refs, env)
        # As fetch does: every object that the refs lead to, up to what was here before.
        walk = ("rev-list", "--objects", PROMISED, "--stdin", "--not", "--all", "--quiet")
        tips = "".join(f"{oid}\n" for oid in refs.values()).encode()
        ended = git.run(*walk, stdin=tips, env=env, check=False)
        if ended.returncode:
            raise _refused(f"the session's work is not whole: {reason(ended.stderr)}")
        _keep(store / "pack", objects / "pack")


@contextmanager
def _quarantine(objects: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Make an object store beside `objects` that is removed in the end, and git's variables for it.

    git prunes leftovers of this name after a crash (git-prune(1), `tmp_objdir-`).
    """
    from tempfile import mkdtemp

    store = Path(mkdtemp(prefix="tmp_objdir-clsecure-", dir=objects))
    # A path in this list may hold a colon when it is quoted.
    quoted = os.fspath(objects).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    try:
        yield (
            store,
            {
                "GIT_OBJECT_DIRECTORY": os.fspath(store),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"',
            },
        )
    finally:
        shutil.rmtree(store, ignore_errors=True)


def _prerequisites(file: IO[bytes]) -> list[str]:
    """Read a bundle's header up to its pack; return the commits that it builds on."""
    if file.readline(32) not in _BUNDLE_START:
        raise _refused("the session's bundle is not one")
    needed = []
    while (line := file.readline(8192)) != b"\n":
        if line.startswith(b"@object-format="):
            continue
        if not _BUNDLE_LINE.fullmatch(line):
            raise _refused("the session's bundle has a damaged header")
        if line.startswith(b"-"):
            needed.append(line[1:].split()[0].decode("ascii"))
    return needed


def _need(git: Git, commits: Sequence[str]) -> None:
    """Make sure that what a bundle builds on is still here."""
    if any(each.kind == MISSING for each in look_up(git, commits)):
        message = "commits that the session builds on are gone from your repository"
        raise _refused(message, "fetch them again, for example: git fetch --all")


def _check_kinds(git: Git, refs: Mapping[str, str], env: Mapping[str, str]) -> None:
    kinds = {each.oid: each.kind for each in look_up(git, refs.values(), env)}
    for name, oid in refs.items():
        kind = kinds.get(oid, MISSING)
        if kind == MISSING or (kind != "commit" and not name.startswith(("tags/", "other/"))):
            raise _refused(f"the session's work is not whole: {escape(name)} is {kind}")


def _keep(pack: Path, kept: Path) -> None:
    """Move checked packs in; the index comes last, since git looks for that."""
    if not pack.is_dir():
        return
    kept.mkdir(exist_ok=True)
    for file in sorted(pack.iterdir(), key=lambda path: path.suffix == ".idx"):
        if file.suffix in {".pack", ".rev", ".idx"}:
            file.replace(kept / file.name)


def _write_refs(git: Git, prefix: str, refs: Mapping[str, str]) -> None:
    """Make the refs below `prefix` exactly `refs`, but for the session's base."""
    there = git.lines("for-each-ref", "--format=%(refname)", prefix)
    stay = {*refs, BASE, PLACES, SIGNED}
    gone = [name for name in there if name.removeprefix(prefix) not in stay]
    wanted = {f"{prefix}{name}": oid for name, oid in refs.items()}
    first = conflicting(gone, wanted)  # one transaction cannot put a ref in another one's place
    update_refs(git, [f"delete {name}\0\0" for name in gone if name in first])
    creations = [f"update {name}\0{oid}\0\0" for name, oid in wanted.items()]
    update_refs(git, [f"delete {name}\0\0" for name in gone if name not in first] + creations)
