"""The clone workspace: the project copied in by the human, where an overlay cannot be.

The human's tar reads, the worker's tar writes; a pipe is all that joins them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from clsecure.boxed import Box
from clsecure.errors import ExitCode, UserError
from clsecure.git import Repository
from clsecure.workspace.gitseed import GitSeed, git_seed

_STORES = "clsecure/objects"  # in the session's git directory


def seed(repository: Repository, stores: tuple[Path, ...]) -> GitSeed:
    """Return the seed of a session that has copies of these object stores, instead of borrowing."""
    copies = {store: str(_copy_of(repository, number)) for number, store in enumerate(stores)}
    made = git_seed(repository, copies)
    directories = tuple(f"{_STORES}/{number}" for number in range(len(stores)))
    return made._replace(directories=(*made.directories, *directories))


def fill(
    box: Box, repository: Repository, stores: tuple[Path, ...], hidden: tuple[str, ...]
) -> None:
    """Copy objects and working tree, but for the hidden paths, into a session that has neither.

    Raises UserError when a copy is not whole (a full disk).
    """
    for number, store in enumerate(stores):
        _copy(box, store, _copy_of(repository, number), ("./info/alternates",))
    is_directory = (repository.top / ".git").is_dir()
    excluded = (*(("./.git",) if is_directory else ()), *(f"./{path}" for path in hidden))
    _copy(box, repository.top, repository.top, excluded)


def _copy_of(repository: Repository, number: int) -> Path:
    return repository.git_dir / _STORES / str(number)


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
        null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        try:
            code, said = box.run_inside(argv, stdin=pipe.fileno(), stdout=null, env={})
        finally:
            os.close(null)
    reader.wait()
    if code:
        last = os.fsdecode(said.strip().rpartition(b"\n")[2])[-200:]
        raise UserError(
            f"the project could not be copied into the session: {last}",
            hint="make room in /var/lib/clsecure",
            code=ExitCode.MISSING,
        )
