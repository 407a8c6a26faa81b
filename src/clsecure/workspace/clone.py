"""The clone workspace: the project copied in by the human, where an overlay cannot be.

The human's tar reads, the worker's tar writes; a pipe is all that joins them. A list of what was
written tells afterwards what the session changed: the human's own uncommitted work stays theirs.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from clsecure.boxed import Box
from clsecure.errors import ExitCode, UserError
from clsecure.git import Repository
from clsecure.workspace.gitseed import GitSeed, git_seed, place_of

_STORES = "clsecure/objects"  # in the session's git directory
_LISTING = "clsecure/tree"
# Each file with its change time, which no program can set back. (Directories change with files.)
_LIST = "find . -path ./.git -prune -o ! -type d -printf '%C@ %p\\0'"


def seed(repository: Repository, borrowing: GitSeed) -> GitSeed:
    """Return the seed of a session that has copies of the object stores, instead of borrowing."""
    places = [
        place_of(_STORES, number, has_lfs=lfs is not None)
        for number, lfs in enumerate(borrowing.lfs)
    ]
    copies = {
        store: str(repository.git_dir / place)
        for store, place in zip(borrowing.objects, places, strict=True)
    }
    made = git_seed(repository, copies)
    beside = [
        str(Path(place).parent / "lfs/objects")
        for place, lfs in zip(places, borrowing.lfs, strict=True)
        if lfs
    ]
    return made._replace(directories=(*made.directories, *places, *beside))


def fill(box: Box, repository: Repository, copied: GitSeed, hidden: tuple[str, ...]) -> None:
    """Copy objects and working tree, but for the hidden paths, into a session that has neither.

    Raises UserError when a copy is not whole (a full disk).
    """
    for number, (store, lfs) in enumerate(zip(copied.objects, copied.lfs, strict=True)):
        place = repository.git_dir / place_of(_STORES, number, has_lfs=lfs is not None)
        _copy(box, store, place, ("./info/alternates",))
        if lfs:
            _copy(box, lfs, place.parent / "lfs/objects", ())
    is_directory = (repository.top / ".git").is_dir()
    excluded = (*(("./.git",) if is_directory else ()), *(f"./{path}" for path in hidden))
    _copy(box, repository.top, repository.top, excluded)
    with open("/dev/null", "wb") as null:
        code, said = _shell(box, f'{_LIST} > "$1"', null.fileno())
    if code:
        raise _incomplete(said)


def changed_paths(box: Box) -> list[str] | None:
    """Return the files that were changed, made or removed since `fill`; None: nobody can tell."""
    with tempfile.TemporaryFile() as file:
        code, _ = _shell(box, f"""cat "$1" && printf '\\0' && {_LIST}""", file.fileno())
        file.seek(0)
        before, mark, after = file.read().partition(b"\0\0")
    if code or not mark:
        return None
    return sorted({_path(entry) for entry in set(before.split(b"\0")) ^ set(after.split(b"\0"))})


def _path(entry: bytes) -> str:
    return os.fsdecode(entry.partition(b" ")[2].removeprefix(b"./"))


def _shell(box: Box, script: str, stdout: int) -> tuple[int, bytes]:
    listing = f"{box.session.git_dir}/{_LISTING}"
    return box.run_inside(("sh", "-c", script, "sh", listing), stdin=b"", stdout=stdout, env={})


def _copy(box: Box, source: Path, target: Path, excluded: tuple[str, ...]) -> None:
    excludes = [f"--exclude={path}" for path in excluded]
    plain = ("--anchored", "--no-wildcards", "--no-wildcards-match-slash")
    reader = subprocess.Popen(
        ("/usr/bin/tar", "-C", source, *plain, *excludes, "--sparse", "-cf", "-", "."),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # files that the human cannot read stay where they are
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    if reader.stdout is None:
        raise ValueError("no pipe")
    with reader.stdout as pipe:
        argv = ("/usr/bin/tar", "-C", str(target), "--no-same-owner", "-xpf", "-")
        with open("/dev/null", "wb") as null:
            code, said = box.run_inside(argv, stdin=pipe.fileno(), stdout=null.fileno(), env={})
    reader.wait()
    if code:
        raise _incomplete(said)


def _incomplete(said: bytes) -> UserError:
    last = os.fsdecode(said.strip().rpartition(b"\n")[2])[-200:]
    return UserError(
        f"the project could not be copied into the session: {last}",
        hint="make room in /var/lib/clsecure",
        code=ExitCode.MISSING,
    )
