"""The verbs on sessions: find, make, open, list, remove. Root's side, for one human."""

from __future__ import annotations

import os

from . import accounts, caches, check, container, layout, making
from .box import Box
from .idmap import Swap
from .imagerecords import IMAGE_REQUESTS
from .kept import holds_anything, kept_disk, settle_layers, without_former
from .lean import socket
from .places import Owner
from .protocol import (
    Changed,
    Changes,
    Exec,
    Failed,
    Find,
    Found,
    List,
    Listed,
    Note,
    Noted,
    Open,
    Opened,
    Plant,
    Reached,
    Ready,
    Refusal,
    Remove,
    Removed,
    Session,
)
from .records import Record
from .registry import all_sessions
from .seeds import Planting
from .state import State, open_root
from .upper import changed_paths
from .wire import memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_Answer = tuple[Record, tuple[int, ...]]


class Sessions:
    """What one human's helper holds: at most one session's lock and box at a time."""

    def __init__(self, human: Owner, control: socket.socket) -> None:
        self._human, self._control = human, control
        self._root = open_root()
        self._planting = Planting()
        self._state: State | None = None
        self._session: Session | None = None
        self._sent: list[int] = []
        self._expected: Session | None = None
        self._swap: Swap | None = None
        self._is_full = False  # the session's own disk
        self.box: Box | None = None

    def answer(self, request: Record, descriptors: list[int]) -> _Answer:
        """Carry out one request; raises Refusal and OSError. `sent` is called next in any case."""
        if isinstance(request, IMAGE_REQUESTS):
            from . import images  # what it imports takes longer than the whole of a start

            return images.answer(request, descriptors, self._human.uid, self._control), ()
        verbs: dict[type[Record], Callable[[Any], _Answer]] = {
            Find: self._find,
            Plant: lambda plant: self._plant(plant, descriptors),
            Open: self._open,
            Changes: self._changes,
            Note: self._note,
            List: self._list,
            Remove: self._remove,
        }
        verb = verbs.get(type(request))
        if verb is None:
            raise Refusal("there is nothing to signal", code=2)
        return verb(request)

    def prepare(self) -> None:
        """Make ready, between two requests, what the session that was found will need."""
        found, self._expected = self._expected, None
        account = accounts.find(found.worker) if found else None
        if account is None:
            return
        try:
            self._swap = Swap(self._human, Owner(account.pw_uid, account.pw_gid, ()))
        except (Refusal, OSError):
            return  # tried again, and then told, when the box is asked for

    def close(self) -> None:
        """End the box and give the lock back."""
        self.lose_box()
        if self._swap is not None:
            self._swap.close()
        self._planting.close()

    def lose_box(self) -> None:
        """End the box, if there is one."""
        if self.box is not None:
            self.box.close()
            self.box = None
        if self._state is not None:
            self._end(self._state)
            self._state = self._session = None

    def _end(self, state: State) -> None:
        try:
            if self._session is not None and not state.is_recorded():
                making.undo(self._root, state)
        finally:
            state.close()

    def _find(self, request: Find) -> _Answer:
        check.check_session(request.session)
        found = self._look_up(request.project, request.session)
        if self._swap is None:
            self._expected = found
        return Found(session=found), ()

    def _look_up(self, project: str, name: str) -> Session | None:
        for session in all_sessions(self._root, self._human.uid):
            if check.is_of(session, project, name, self._human):
                return session
        return None

    def _plant(self, request: Plant, descriptors: list[int]) -> _Answer:
        self._planting.add(request.seeds, request.directories, descriptors)
        return Noted(), ()

    def _list(self, _: List) -> _Answer:
        making.sweep(self._root, self._human.uid)
        from .usage import uses

        sessions = all_sessions(self._root, self._human.uid)
        return Listed(sessions=sessions, uses=uses(self._root, sessions)), ()

    def _open(self, request: Open) -> _Answer:
        if self.box is not None:
            raise Refusal("there is a box already", code=2)
        check.check_open(request, self._human)
        found = self._look_up(request.project, request.session)
        create = request.action == "create"
        if create and found is not None:
            raise Refusal(
                "this session exists already", hint="resume it, or discard it first", code=5
            )
        if not create and found is None:
            raise Refusal("there is no such session", code=2)
        state = State(
            self._root,
            found.worker
            if found
            else making.free_name(self._root, request.workers, self._human.uid),
        )
        self._state = state
        try:
            session = state.read()
            if create and session is not None:
                raise Refusal("this session has just been made", hint="resume it", code=5)
            if create:
                return self._create(request, state)
            if session is None:
                raise Refusal("there is no such session", code=2)
            same = ("workspace", "git_dir", "home", "objects", "lfs")
            if any(getattr(session, name) != getattr(request, name) for name in same):
                raise Refusal("this session was made for another workspace", code=2)
            if session.disk:
                state.open_disk(session.disk)
            request, session = settle_layers(without_former(request, state), state, session)
            state.uncount()
            session = session.replace(
                mode=request.mode,
                engine=request.engine,
                image=request.image,
                commits=-1,
                changes=-1,
            )
            return self._build(request, state, session)
        except BaseException:
            self.lose_box()
            raise

    def _create(self, request: Open, state: State) -> _Answer:
        try:
            with accounts.Accounts(self._root):
                pass  # its file is there from now on: to undo takes no room
            state.claim(self._human.uid)
        except OSError:  # a full disk
            state.erase()
            raise
        making.sweep(self._root, self._human.uid)
        try:
            session = making.make(self._root, request, state, self._human, self._planting)
            answer = self._build(request, state, session)
            if request.workspace != "clone":  # that one is complete when its copy is: see Note
                state.write(session)
        except BaseException:
            if self.box is not None:
                self.box.close()
                self.box = None
            making.undo(self._root, state)
            self._session = None  # nothing is left to undo, and its name is free for others
            raise
        return answer

    def _build(self, request: Open, state: State, session: Session) -> _Answer:
        account = accounts.find(session.worker)
        if account is None or account.pw_uid != session.uid:
            raise Refusal(
                f"the user {session.worker} is gone", hint="clsecure cleanup --all", code=4
            )
        host = layout.look_at_host()
        mounts = layout.layout(request, host, worker=session.worker, uid=session.uid)
        worker = Owner(account.pw_uid, account.pw_gid, ())
        if self._swap is not None and not self._swap.is_for(worker):
            self._swap.close()
            self._swap = None
        self._swap = self._swap or Swap(self._human, worker)
        layered = (*request.caches, *(one.at for one in request.state))
        caches.ready(state.parent, layered, worker)
        has_containers = "podman" in (request.engine, request.docker)
        if has_containers and not container.subordinate(session.worker):
            with accounts.Accounts(self._root) as users:  # made for another mode
                users.grant(session.worker)
        self.box = Box(
            request,
            session,
            swap=self._swap,
            account=account,
            mounts=mounts,
            host=host,
            areas=state.areas,
            control=self._control,
        )
        self._session = session
        answer, descriptors = self.box.answer()
        if isinstance(answer, Failed):
            raise Refusal(answer.message, hint=answer.hint, code=answer.code)
        if not isinstance(answer, Ready):
            raise Refusal("the box's init answered out of turn", code=1)
        self._sent = descriptors
        opened = Opened(
            session=session,
            probe=holds_anything(state, request.probe),
            conversation=caches.newest_conversation(state.parent, request),
            warnings=(*self.box.warnings, *answer.warnings, *kept_disk(request, session)),
            sockets=answer.sockets,
        )
        return opened, tuple(descriptors)

    def _changes(self, _: Changes) -> _Answer:
        if self._state is None or self._session is None:
            raise Refusal("there is no box", code=2)
        if self._session.workspace != "overlay":
            raise Refusal("only a copy-on-write workspace knows what has changed", code=2)
        upper = self._state.open("upper")
        project = making.open_project(self._session.project, self._human)
        try:
            paths = changed_paths(upper, project)
        finally:
            os.close(upper)
            os.close(project)
        self._sent = [memory_file(b"".join(path + b"\0" for path in paths))]
        return Changed(count=len(paths)), tuple(self._sent)

    def lend_reserve(self, request: Exec) -> None:
        """Let clsecure's own programs, and nothing else, write to the disk's reserve."""
        disk = self._state.disk if self._state else None
        if disk:
            if request.confined:
                disk.take_back()
            else:
                disk.lend()

    def reached(self) -> tuple[Reached, ...]:
        """Return the limits that were reached since this was asked last."""
        found = self.box.reached() if self.box else ()
        if self._state and self._state.disk and self._session:
            was_full, self._is_full = self._is_full, self._state.disk.is_full()
            if self._is_full and not was_full:
                found += (Reached(limit="disk", value=self._session.disk),)
        return found

    def _note(self, request: Note) -> _Answer:
        if self._state is None or self._session is None:
            raise Refusal("there is no session", code=2)
        self._session = self._session.replace(commits=request.commits, changes=request.changes)
        self._state.write(self._session)
        return Noted(), ()

    def _remove(self, request: Remove) -> _Answer:
        check.check_worker(request.worker)
        if self.box is not None and self._session and self._session.worker == request.worker:
            self.box.close()
            self.box = None
        elif self.box is not None:
            raise Refusal("another session's box is open", code=2)
        if self._state is None:
            if request.worker not in os.listdir(self._root):
                raise Refusal("there is no such session", code=2)
            self._state = State(self._root, request.worker)
        state = self._state
        try:
            session = state.read()
            if session is not None and session.human != self._human.uid:
                raise Refusal(f"{request.worker} is not yours")
            if session is None and self._human.uid != 0:
                raise Refusal(f"{request.worker} is not known to be yours")
            making.erase(self._root, state)
            state.erase()
        finally:
            state.close()
            self._state = self._session = None
        return Removed(), ()

    def sent(self) -> None:
        """Close what an answer handed over: a door of the box is to be open while it is served."""
        for descriptor in self._sent:
            os.close(descriptor)
        self._sent = []
