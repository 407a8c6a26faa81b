"""Makes a fresh session, worker and first files, and takes one away: undo stands beside do."""

from __future__ import annotations

import os
import time

from . import accounts, cgroup
from . import syscalls as sc
from .places import Owner
from .protocol import Open, Refusal, Session
from .registry import is_free, unfinished
from .seeds import Planting
from .state import SYSTEM, State

_ROOT = Owner(0, 0, ())


def free_name(root: int, names: tuple[str, ...], human: int) -> str:
    """Return the first of the names that a worker of this human may have; raises Refusal."""
    for name in names:
        if is_free(root, name, human) and not accounts.is_foreign(name):
            return name
    raise Refusal("the worker's name is taken by another session", hint="--session NAME", code=5)


def make(root: int, request: Open, state: State, human: Owner, planting: Planting) -> Session:
    """Make the worker, its directories and its first files; raises Refusal and OSError."""
    erase(root, state)  # what a making that was cut short has left
    with accounts.Accounts(root) as users:
        is_contained = "podman" in (request.engine, request.docker)
        account = users.create(state.worker, is_contained=is_contained)
    worker = Owner(account.pw_uid, account.pw_gid, ())
    directory = open_project(request.project, human)
    mode = os.fstat(directory).st_mode & 0o777
    os.close(directory)
    if request.limits.disk:
        state.make_disk(request.limits.disk)
    areas = {
        "home": state.make("home", 0o700, worker.uid, worker.gid),
        "git": state.make("git", 0o755, worker.uid, worker.gid),
    }
    for name, access, owner in (
        ("upper", mode, worker),
        ("work", 0o700, _ROOT),
        ("empty", 0o755, _ROOT),
    ):
        os.close(state.make(name, access, owner.uid, owner.gid))
    if request.writable:
        os.close(state.make(SYSTEM, 0o700))
    planting.plant(worker, areas)
    planting.close()
    for descriptor in areas.values():
        os.close(descriptor)
    return Session(
        worker=state.worker,
        project=request.project,
        session=request.session,
        uid=worker.uid,
        human=human.uid,
        mode=request.mode,
        engine=request.engine,
        image=request.image,
        workspace=request.workspace,
        base=request.base,
        git_dir=request.git_dir,
        home=request.home,
        objects=request.objects,
        lfs=request.lfs,
        created=int(time.time()),
        disk=request.limits.disk,
        writable=request.writable,
    )


def erase(root: int, state: State) -> None:
    """Remove the worker and everything of the state but its lock; raises Refusal and OSError."""
    with accounts.Accounts(root) as users:  # whoever is making the user has ended then
        account = accounts.find(state.worker)
        if account is not None:
            users.remove(state.worker, account.pw_uid)
    cgroup.sweep(state.worker)
    state.empty()


def undo(root: int, state: State) -> None:
    """Take back a making that failed; what cannot be removed now is swept later.

    Nothing is raised: why the making failed is what has to be told.
    """
    try:
        erase(root, state)
        state.erase()
    except (Refusal, OSError):
        pass


def sweep(root: int, human: int) -> None:
    """Take back this human's makings that were cut short: nothing has run in such a session."""
    for state in unfinished(root, human):
        undo(root, state)


def open_project(path: str, human: Owner) -> int:
    """Open the working tree as the human, through no link."""
    flags = os.O_PATH | os.O_DIRECTORY
    return human.act(lambda: sc.openat2(sc.AT_FDCWD, path, flags, resolve=sc.NO_LINKS))
