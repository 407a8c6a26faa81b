"""Root's copy of the helper in /usr/lib: written beside the old one, then put in its place."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

from .. import trust
from ..protocol import Refusal
from ..syscalls import AT_FDCWD, NO_LINKS, openat2

PLACE, NAME = "/usr/lib", "clsecure"
PROGRAM = f"{PLACE}/{NAME}/clsecure-helper"
_NEW, _OLD = f".{NAME}.new", f".{NAME}.old"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_SIZE = 1 << 20  # bytes of one source file

Source = tuple[bytes, int]  # content, and when it was modified: nanoseconds since 1970

_PROGRAM_TEXT = f"""#!/usr/bin/python3 -IS
\"\"\"The root helper of clsecure. Takes no arguments; its standard input is a socketpair.\"\"\"

import sys

sys.path.insert(0, "{PLACE}/{NAME}")
sys.exit(__import__("helper.loop", fromlist=["main"]).main())
"""


def open_directory(path: str) -> int:
    """Open a directory that is root's alone, through no link; raises Refusal."""
    reason = trust.why_not(path)
    if reason:
        raise Refusal(f"nothing is installed: {reason}")
    try:
        return openat2(AT_FDCWD, path, _DIRECTORY, resolve=NO_LINKS)
    except OSError as error:
        raise Refusal(f"{path} cannot be opened: {error.strerror}", code=1) from None


def read_sources(package: str) -> dict[str, Source]:
    """Return the helper's modules by relative path; what is no plain file is refused."""
    found: dict[str, Source] = {}
    for directory, names, files in os.walk(package):
        names[:] = sorted(name for name in names if name != "__pycache__")
        for name in sorted(files):
            if name.endswith(".py"):
                path = os.path.join(directory, name)
                found[os.path.relpath(path, package)] = _read(path)
    return found


def install(sources: dict[str, Source], users: list[int]) -> None:
    """Write the whole tree anew and put it in the old one's place; raises Refusal and OSError.

    `users/` holds an empty file for each user that has a rule, since /etc/sudoers.d is not readable
    everywhere: whoever has none is not kept from using a password.
    """
    place = open_directory(PLACE)
    try:
        _sweep(place)
        os.mkdir(_NEW, 0o755, dir_fd=place)
        top = os.open(_NEW, _DIRECTORY, dir_fd=place)
        try:
            for path, (content, modified) in sources.items():
                _write(top, f"helper/{path}", content, 0o644, modified)
            _write(top, os.path.basename(PROGRAM), _PROGRAM_TEXT.encode(), 0o755)
            for uid in users:
                _write(top, f"users/{uid}", b"", 0o644)
            _compile()
        finally:
            os.close(top)
        # A session that starts between the two finds no helper, and asks for the password.
        _move(place, NAME, _OLD)
        _move(place, _NEW, NAME)
    finally:
        _sweep(place)
        os.close(place)


def mark(uid: int, *, has_rule: bool) -> None:
    """Note in the installed tree whether a user has a rule."""
    top = open_directory(f"{PLACE}/{NAME}")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"users/{uid}", dir_fd=top)
        if has_rule:
            _write(top, f"users/{uid}", b"", 0o644)
    finally:
        os.close(top)


def remove() -> bool:
    """Remove the tree; False when there was none."""
    place = open_directory(PLACE)
    try:
        _sweep(place)
        found = _move(place, NAME, _OLD)
        _sweep(place)
    finally:
        os.close(place)
    return found


def _read(path: str) -> Source:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Refusal(f"{path} is not a plain file")
        return file.read(_MAX_SIZE), status.st_mtime_ns


def _write(top: int, path: str, content: bytes, mode: int, modified: int | None = None) -> None:
    *parents, name = path.split("/")
    directory = os.dup(top)
    try:
        for parent in parents:
            with contextlib.suppress(FileExistsError):
                os.mkdir(parent, 0o755, dir_fd=directory)
            child = os.open(parent, _DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = child
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, mode, dir_fd=directory), "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if modified is not None:  # by which a start tells that this is its version
                os.utime(file.fileno(), ns=(modified, modified))
    finally:
        os.close(directory)


def _compile() -> None:
    import compileall

    # Bytecode names the place where the modules will be. Without it the helper starts, but slower.
    compileall.compile_dir(
        f"{PLACE}/{_NEW}/helper",
        quiet=2,
        stripdir=f"{PLACE}/{_NEW}",
        prependdir=f"{PLACE}/{NAME}",
    )


def _move(place: int, name: str, target: str) -> bool:
    try:
        os.rename(name, target, src_dir_fd=place, dst_dir_fd=place)
    except FileNotFoundError:
        return False
    return True


def _sweep(place: int) -> None:
    for name in (_NEW, _OLD):  # of an earlier call that was cut short, too
        try:
            kind = os.stat(name, dir_fd=place, follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(kind):
            shutil.rmtree(name, dir_fd=place)
        else:
            os.unlink(name, dir_fd=place)
