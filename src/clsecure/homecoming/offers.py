"""What an agent wrote into its own settings in a session: found, checked, and taken on request.

The worker says what there is; every name and every size is checked here, and nothing is written
that a person did not choose. Never among it: what runs without being asked for, such as settings,
hooks, servers and plugins.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from clsecure.errors import ExitCode, UserError
from clsecure.helper.inside.offers import MAX_ALL, MAX_FILE, MAX_FILES, MAX_LEFT
from clsecure.homecoming.inside import Runner, inside_command
from clsecure.output import escape

_TEXTS = ("commands", "agents", "output-styles", "rules")  # directories of instructions
_SKILLS, _INSTRUCTIONS = "skills", "CLAUDE.md"
_MAX_LINE = 64 << 10  # bytes
_MAX_PATH, _MAX_NAME = 1000, 255
_MAX_STREAM = MAX_ALL + (MAX_FILES + MAX_LEFT + 2) * _MAX_LINE
_NEVER = re.compile(r"\..*|hooks|settings.*\.json|plugin\.json", re.IGNORECASE)
# In the head of a file, or in its text, what makes the agent run something by itself.
_RUNS = (
    (re.compile(rb"^(hooks|mcpServers)\s*:", re.MULTILINE), "it starts programs by itself"),
    (re.compile(rb"^allowed-tools\s*:", re.MULTILINE), "it allows tools without a question"),
    (re.compile(rb"!`|^```!", re.MULTILINE), "it runs commands when it is called"),
)


@dataclass(frozen=True)
class Offer:
    """A file that could be taken: its path in the home, and what the human has there (None: none).

    `path` is safe to print.
    """

    path: str
    content: bytes
    before: bytes | None
    is_program: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of it would run on the host."""
        found = [why for pattern, why in _RUNS if pattern.search(self.content)]
        return (*(["it is a program"] if self.is_program else []), *found)


@dataclass(frozen=True)
class Offers:
    """What there is, and in lines, safe to print, what is left where it is."""

    files: tuple[Offer, ...] = ()
    left: tuple[str, ...] = ()


def places(memories: Sequence[str]) -> tuple[str, ...]:
    """Return the paths in a home that are looked at; `memories` are those of the project's."""
    own = (*_TEXTS, _SKILLS, _INSTRUCTIONS)
    return (*(f".claude/{name}" for name in own), *memories)


def look(runner: Runner, home: Path, memories: Sequence[str]) -> Offers:
    """Return what changed in the session, and differs from what is in the human's home."""
    request = {"home": os.fspath(home), "places": places(memories)}
    stream = BytesIO(_received(runner, json.dumps(request).encode("ascii")))
    files, left = [], []
    try:
        for path, content, is_program, reason in _parsed(stream):
            why = reason or _why_never(path, memories)
            if why is None:
                continue
            before = None if why else _present(home, path)
            if isinstance(before, str):
                left.append(f"~/{path}: {before}")
            elif why:
                left.append(f"~/{escape(path)}: {why}")
            elif content != before:
                files.append(Offer(path, content, before, is_program))
    except (ValueError, KeyError, TypeError, RecursionError):
        left.append("what the session says of the agent's settings cannot be understood")
    return Offers(tuple(files), tuple(left))


def _received(runner: Runner, request: bytes) -> bytes:
    """Run the box's side; return what it writes, up to the most that it may."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pieces: list[bytes] = []

    def receive() -> None:
        with os.fdopen(reading, "rb") as stream:
            pieces.append(stream.read(_MAX_STREAM))

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        runner.run_inside(inside_command("offers"), stdin=request, stdout=writing, env={})
    finally:
        os.close(writing)
        thread.join()
    return b"".join(pieces)


def _parsed(stream: BytesIO) -> Iterator[tuple[str, bytes, bool, str]]:
    """Yield path, content, whether it is a program, and why it stays; raises ValueError and kin."""
    seen: set[str] = set()
    while True:
        document = json.loads(stream.readline(_MAX_LINE))
        if "left" in document:
            for path, reason in document["left"][:MAX_LEFT]:
                yield str(path), b"", False, escape(str(reason))
            return
        path, size = str(document["path"]), document["size"]
        if len(seen) == MAX_FILES or path in seen:
            raise ValueError(path)
        seen.add(path)
        if not isinstance(size, int) or not 0 <= size <= MAX_FILE:
            raise ValueError(size)
        content = stream.read(size)
        if len(content) != size:
            raise ValueError(size)
        yield path, content, document["program"] is True, ""


def _why_never(path: str, memories: Sequence[str]) -> str | None:
    """Return why a path is not offered: empty if it is, None if that need not be said."""
    if escape(path) != path or len(path) > _MAX_PATH:
        return "its name is too odd to be taken"
    top = next(
        (each for each in places(memories) if path == each or path.startswith(f"{each}/")), ""
    )
    parts = path[len(top) + 1 :].split("/") if path != top else []
    if not top or any(part in {"", ".", ".."} or len(part) > _MAX_NAME for part in parts):
        return "its place is not one of the agent's settings"
    if any(_NEVER.fullmatch(part) for part in parts):
        return "it would run by itself"
    name = top.removeprefix(".claude/")
    if (name == _INSTRUCTIONS) != (not parts):
        return "its place is not one of the agent's settings"
    return "" if name in {_SKILLS, _INSTRUCTIONS} or path.endswith(".md") else None


def _present(home: Path, path: str) -> bytes | str | None:
    """Return what the human has there: the content, None for nothing, or words for what else."""
    try:
        directory = _directory(home, path, make=False)
    except FileNotFoundError:
        return None
    except OSError:
        return "a link, or something else of yours, is in its way"
    try:
        return _content(directory, os.path.basename(path))
    except FileNotFoundError:
        return None
    except OSError:
        return "something else of yours is there"
    finally:
        os.close(directory)


def take(offer: Offer, home: Path) -> None:
    """Write one file into the human's home, through no link; raises UserError (IMPORT)."""
    name = os.path.basename(offer.path)
    try:
        directory = _directory(home, offer.path, make=True)
        try:
            _put(directory, name, offer)
        finally:
            os.close(directory)
    except OSError as error:
        raise UserError(
            f"~/{offer.path} cannot be written: {error.strerror}",
            hint="it is still in the session: look at it with clsecure shell",
            code=ExitCode.IMPORT,
        ) from None


def _put(directory: int, name: str, offer: Offer) -> None:
    is_new, mode = offer.before is None, 0o700 if offer.is_program else 0o600
    if not is_new:
        if _content(directory, name) != offer.before:
            raise FileExistsError(0, "it was changed in the meantime")
        mode = stat.S_IMODE(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    fresh = name if is_new else f".{name[:200]}.clsecure-{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(fresh, flags, 0o600, dir_fd=directory)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(offer.content)
            os.fchmod(file, mode)
        if not is_new:
            os.replace(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(fresh, dir_fd=directory)
        raise


def _directory(home: Path, path: str, *, make: bool) -> int:
    """Open the directory of a path in the home, one part after the other; raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    current = os.open(home, flags)
    for part in path.split("/")[:-1]:
        try:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=current)
            below = os.open(part, flags, dir_fd=current)
        finally:
            os.close(current)
        current = below
    return current


def _content(directory: int, name: str) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(name, flags, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise IsADirectoryError(0, "it is no regular file")
    with os.fdopen(file, "rb") as stream:
        return stream.read()


def difference(offer: Offer) -> str:
    """Return what taking it would change, safe to print."""
    if b"\0" in offer.content + (offer.before or b""):
        return f"{len(offer.content)} bytes, which are no text"
    from difflib import unified_diff  # only for somebody who looks

    before, after = (
        text.decode(errors="surrogateescape") for text in (offer.before or b"", offer.content)
    )
    lines = unified_diff(
        before.splitlines(), after.splitlines(), f"~/{offer.path}", "in the session", lineterm=""
    )
    return escape("\n".join(lines), multiline=True)
