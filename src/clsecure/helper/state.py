"""Root's memory of sessions: /var/lib/clsecure/<worker>/, root-owned, one lock each."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from .lean import decode, encode
from .protocol import Refusal, Session
from .records import BadField
from .removal import remove_tree
from .syscalls import NO_LINKS, RESOLVE_BENEATH, openat2

ROOT = "/var/lib/clsecure"
SYSTEM = "system"  # an area: a writable container's layers
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_RECORD = 1 << 20
_ATTEMPTS = 10
_UNCOUNTED = "uncounted"
_MAKER = "maker"  # the human's user id, until there is a record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .disk import Disk


def open_root() -> int:
    """Open (and make) the directory of all state; refuses one which is not root's alone."""
    os.makedirs(ROOT, 0o700, exist_ok=True)
    root = os.open(ROOT, DIRECTORY)
    status = os.fstat(root)
    if status.st_uid or status.st_mode & 0o077:
        raise Refusal(f"{ROOT} is not root's alone", hint=f"chown root {ROOT}; chmod 700 {ROOT}")
    return root


class State:
    """The state of one session, locked as long as this object is open.

    The lock goes with the last descriptor of it: the box's init holds one too, so that it stays
    locked until the last process of the session has ended.
    """

    def __init__(self, root: int, worker: str, *, attempts: int = _ATTEMPTS) -> None:
        self.worker = worker
        self._root = root
        self.disk: Disk | None = None
        try:
            os.mkdir(worker, 0o700, dir_fd=root)
        except FileExistsError:
            pass
        self.directory = os.open(worker, DIRECTORY, dir_fd=root)
        try:
            self.lock = os.open(
                "lock",
                os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
                dir_fd=self.directory,
            )
        except OSError:  # a full disk
            os.close(self.directory)
            _remove_if_empty(root, worker)
            raise
        if not _take(self.lock, attempts):
            self.close()
            raise Refusal(
                "this session is running already",
                hint="use --session NAME for another one beside it",
                code=5,
            )
        if not self._is_current():
            self.close()
            raise Refusal("this session is being removed", hint="try again", code=5)

    def _is_current(self) -> bool:
        # Whoever removes a session does so under the lock: its directory may be gone since.
        try:
            now = os.stat(self.worker, dir_fd=self._root, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return now.st_ino == os.fstat(self.directory).st_ino

    @property
    def areas(self) -> str:
        """The path of the directory that holds what the session writes to."""
        return f"{ROOT}/{self.worker}" + ("/disk" if self.disk else "")

    def make_disk(self, limit: int) -> None:
        """Make a disk of that size, in bytes, for all areas; raises Refusal."""
        from . import disk

        disk.make(f"{ROOT}/{self.worker}", limit)
        self.open_disk(limit)

    def open_disk(self, limit: int) -> None:
        """Mount the session's disk for this helper and the box that it makes; raises Refusal."""
        from .disk import Disk

        self.disk = Disk(f"{ROOT}/{self.worker}", limit)

    def _close_disk(self) -> None:
        if self.disk is not None:
            self.disk.close()
            self.disk = None

    def close(self) -> None:
        """Give the lock back, unless a box still holds it."""
        self._close_disk()
        for descriptor in (self.lock, self.directory):
            os.close(descriptor)

    def claim(self, human: int) -> None:
        """Note whose session this will be; raises Refusal when another human is making it."""
        if maker_of(self.directory) not in (None, human):
            raise Refusal("another user's session has this name", hint="use --session NAME", code=5)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        maker = os.open(_MAKER, flags, 0o600, dir_fd=self.directory)
        try:
            os.write(maker, str(human).encode())
        finally:
            os.close(maker)

    def read(self) -> Session | None:
        """Return the session's record; None when there is none, or none was finished."""
        return read_record(self.directory)

    def is_recorded(self) -> bool:
        """Say whether the session's making was finished."""
        return is_there(self.directory, "record.json")

    def write(self, session: Session) -> None:
        """Replace the record in one step; raises OSError (a full disk)."""
        body = encode(session.to_json())
        new = os.open(
            "record.new",
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW,
            0o600,
            dir_fd=self.directory,
        )
        try:
            if os.write(new, body) != len(body):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(new)
        finally:
            os.close(new)
        os.rename("record.new", "record.json", src_dir_fd=self.directory, dst_dir_fd=self.directory)
        if is_there(self.directory, _UNCOUNTED):
            os.unlink(_UNCOUNTED, dir_fd=self.directory)

    def uncount(self) -> None:
        """Note that what the session holds is not what was counted: it is opened again.

        A mark beside the record, since writing that one waits for the disk at each start.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.close(os.open(_UNCOUNTED, flags, 0o600, dir_fd=self.directory))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise  # without room for a name there is none for more work either

    @property
    def parent(self) -> int:
        """The open directory in which the areas are."""
        return self.disk.root if self.disk else self.directory

    def make(self, name: str, mode: int, uid: int = 0, gid: int = 0) -> int:
        """Make an area, a directory of the state for that owner, and open it."""
        os.mkdir(name, 0o700, dir_fd=self.parent)
        descriptor = os.open(name, DIRECTORY, dir_fd=self.parent)
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
        return descriptor

    def make_once(self, name: str) -> None:
        """Make an area of root's alone, unless it is there."""
        try:
            os.close(self.make(name, 0o700))
        except FileExistsError:
            pass

    def open(self, name: str) -> int:
        """Open an area."""
        return openat2(self.parent, name, DIRECTORY, resolve=RESOLVE_BENEATH | NO_LINKS)

    def empty(self) -> None:
        """Remove everything of the session's state but its lock, the record last."""
        self._close_disk()
        for name in sorted(os.listdir(self.directory), key=lambda name: name == "record.json"):
            if name in ("lock", _MAKER):
                continue
            status = os.stat(name, dir_fd=self.directory, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                remove_tree(self.directory, name)
            else:
                os.unlink(name, dir_fd=self.directory)

    def erase(self) -> None:
        """Remove the emptied state itself; the lock is held until then, so nobody is let in."""
        while True:
            for name in (_MAKER, "lock"):
                try:
                    os.unlink(name, dir_fd=self.directory)
                except FileNotFoundError:
                    continue
            try:
                os.rmdir(self.worker, dir_fd=self._root)
            except OSError as error:
                # Another start may have made a lock here, and will find it to be nobody's.
                if error.errno != errno.ENOTEMPTY or not is_there(self.directory, "lock"):
                    raise
            else:
                return


def maker_of(directory: int) -> int | None:
    """Return the user id of who makes, or has made, what is in that directory; None: not noted."""
    try:
        file = os.open(_MAKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        said = os.read(file, 20)
    finally:
        os.close(file)
    return int(said) if said.isdigit() else None


def is_there(directory: int, name: str) -> bool:
    """Say whether that directory has such a name."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove_if_empty(root: int, worker: str) -> None:
    try:
        os.rmdir(worker, dir_fd=root)
    except OSError:
        pass


def _take(lock: int, attempts: int) -> bool:
    # A session that has just ended, or `list` looking whether it is locked, holds it for moments.
    for attempt in range(attempts):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < attempts:
                time.sleep(0.02)
        else:
            return True
    return False


def read_record(directory: int) -> Session | None:
    """Read the record in that directory; None when there is none."""
    try:
        record = os.open(
            "record.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory
        )
    except FileNotFoundError:
        return None
    try:
        session = Session.from_json(decode(os.read(record, _MAX_RECORD)))
    except (BadField, ValueError) as error:
        raise Refusal(
            f"the session's record cannot be read: {error}",
            hint=f"root can remove it: {ROOT}",
            code=1,
        ) from None
    finally:
        os.close(record)
    return session.replace(commits=-1, changes=-1) if is_there(directory, _UNCOUNTED) else session
