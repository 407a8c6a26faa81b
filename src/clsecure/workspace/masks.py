"""Secrets that lie in the tree: which paths a session must not see.

`find` and `grep` list matching names (never contents) while the session is being made ready. What
git tracks is never hidden: its history holds it anyway, and a hidden tracked file looks deleted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from clsecure import treecache
from clsecure.errors import ExitCode, UserError
from clsecure.git import Repository
from clsecure.gitcall import SAFE, clean_environment
from clsecure.listing import Listing
from clsecure.output import escape
from clsecure.process import CommandFailed, Completed
from clsecure.program import Program
from clsecure.reachoptions import HIDDEN, SHOWN
from clsecure.treecache import Known

_FEW = 50  # git is asked about so many paths by name; about more, for all that it tracks


def start_scan(
    repository: Repository,
    hide: Sequence[str] = HIDDEN,
    show: Sequence[str] = (),
    listing: Listing | Known | None = None,
) -> Scan:
    """Start to look for secrets below the top of `repository`, beside this process.

    A pattern is a shell glob for a name or, with "/" in it, for a path relative to the top (where
    "**" crosses directories); the case of ASCII letters does not matter. `show` and SHOWN
    win over `hide`. `listing` is taken over where it is that of this repository. Raises UserError
    where `find` or `grep` is missing, and for what is no pattern.
    """
    for own in (hide, show):
        if own and tuple(own) != HIDDEN:
            matcher(own)  # a human's may be none, which is said at once
    pattern = "|".join(_ere(each) for each in hide) or "^$"
    # grep only narrows the list down; `matcher` decides.
    expression = f"^\\./(.*/)?({pattern})$"
    top = os.fspath(repository.top)
    try:
        listing = listing or treecache.start(top, os.environ)
        if listing.top != top or not _is_for(listing, expression):
            listing.close()
            listing = Listing(top, os.environ)
        filtering = None
        if not (isinstance(listing, Known) and listing.is_same):
            narrow = ("grep", "-ziE", "-e", expression)
            filtering = Program(narrow, clean_environment(), stdin=listing.descriptor)
    except FileNotFoundError as error:
        if listing is not None:
            listing.close()
        hint = "install them, for example: apt install findutils grep"
        message = f"{error.filename} is not installed"
        raise UserError(message, hint=hint, code=ExitCode.MISSING) from error
    return Scan(repository, listing, filtering, expression, (hide, show))


def _is_for(listing: Listing | Known, expression: str) -> bool:
    return isinstance(listing, Listing) or listing.pattern == os.fsencode(expression)


class _Asked(NamedTuple):
    """Paths that may be secrets, and the repositories that are asked which of them they track."""

    paths: list[str]
    running: list[tuple[str, Program]]  # the repository's place, "" or a path that ends in "/"


class Scan:
    """A search under way; `result` waits for its end."""

    def __init__(
        self,
        repository: Repository,
        listing: Listing | Known,
        filtering: Program | None,
        expression: str,
        globs: tuple[Sequence[str], Sequence[str]],
    ) -> None:
        self._repository = repository
        self._listing = listing
        self._filtering = filtering
        self._expression = expression
        self._listed: list[bytes] | None = None
        hide, show = globs
        self._hide, self._show = tuple(hide), (*SHOWN, *show)
        # Of a tree that is as it was the names are known, so git is asked while others go on.
        self._asked: _Asked | None = None
        if filtering is None and isinstance(listing, Known):
            self._asked = self._ask(listing.matching)

    def result(self) -> tuple[str, ...]:
        """Return the paths to hide, sorted, relative to the top; a directory is hidden whole.

        Raises UserError when the search itself failed: then nothing is known to be safe.
        """
        self._asked = self._asked or self._ask(self._matching())
        if not self._asked.paths:
            return ()
        tracked, shown = self._tracked(self._asked), matcher(self._show)
        secret = (
            each for path in self._asked.paths for each in self._untracked(path, tracked, shown)
        )
        return tuple(outermost(sorted(set(secret))))

    def _matching(self) -> list[bytes]:
        code, listed, _ = self._filtering.result() if self._filtering else (0, b"", b"")
        # find's 1: it could not read a directory; grep's 1: nothing matched.
        if self._listing.wait() not in {0, 1} or code not in {0, 1}:
            message = "the search for secrets in the project failed"
            raise UserError(message, hint="try again", code=ExitCode.REFUSED)
        return [path for path in listed.split(b"\0") if path]

    def _ask(self, listed: Sequence[bytes]) -> _Asked:
        """Begin to ask which of these names are tracked: those that are secrets by their form."""
        self._listed = list(listed)
        if not listed:
            return _Asked([], [])
        hidden, shown = matcher(self._hide), matcher(self._show)
        paths = [os.fsdecode(path)[2:] for path in listed]
        wanted = [path for path in paths if self._is_secret(path, hidden, shown)]
        by_owner: dict[str, list[str]] = {}
        for path in wanted:
            by_owner.setdefault(self._owner(path), []).append(path)
        running = []
        for owner, owned in by_owner.items():
            asked = [path.removeprefix(owner) for path in owned] if len(owned) <= _FEW else []
            place = ("-C", str(self._repository.top / owner), "--literal-pathspecs", *SAFE)
            argv = ("git", *place, "ls-files", "-z", "--", *asked)
            running.append((owner, Program(argv, clean_environment())))
        return _Asked(wanted, running)

    def remember(self, filesystem: str, environ: Mapping[str, str]) -> None:
        """Keep what was listed for the next start, as far as it can be kept.

        `filesystem` is the type of the one that holds the tree.
        """
        if self._listed is None:
            return
        with suppress(OSError):  # the next start lists the tree again
            pattern = os.fsencode(self._expression)
            treecache.keep(self._listing, pattern, self._listed, filesystem, environ)

    def stop(self) -> None:
        """End a search whose result nobody waits for any more."""
        for _, each in self._asked.running if self._asked else ():
            each.close()
        if self._filtering is not None:
            self._filtering.close()
        self._listing.close()

    def _is_secret(self, path: str, hidden: re.Pattern[str], shown: re.Pattern[str]) -> bool:
        if not hidden.fullmatch(path) or shown.fullmatch(path):
            return False
        # A virtual environment is sometimes called .env.
        return not os.path.lexists(self._repository.top / path / "pyvenv.cfg")

    def _untracked(self, path: str, tracked: set[str], shown: re.Pattern[str]) -> Iterator[str]:
        """Yield `path`, or what is not tracked in it when it holds something that is."""
        if path in tracked:
            return
        if not any(each.startswith(f"{path}/") for each in tracked):
            yield path
            return
        top = self._repository.top
        for parent, _, names in os.walk(top / path):
            for name in names:
                each = os.path.relpath(f"{parent}/{name}", top)
                if each not in tracked and not shown.fullmatch(each):
                    yield each

    @staticmethod
    def _tracked(asked: _Asked) -> set[str]:
        """Return those of the paths, and of the files below them, that a repository tracks.

        A submodule, or any other repository in the tree, answers for its own files.
        """
        found: set[str] = set()
        for owner, program in asked.running:
            ended = Completed(("git", "ls-files"), *program.result())
            if ended.returncode and not owner:
                raise CommandFailed(ended)
            found.update(owner + name for name in ended.text.split("\0") if name)
        return found

    def _owner(self, path: str) -> str:
        """Return the innermost repository that `path` lies in: "" or a path that ends in "/"."""
        parent = path.rpartition("/")[0]
        while parent and not os.path.lexists(self._repository.top / parent / ".git"):
            parent = parent.rpartition("/")[0]
        return f"{parent}/" if parent else ""


def outermost(paths: Sequence[str]) -> Iterator[str]:
    """Leave out what lies below another path of the list."""
    known = set(paths)
    for path in paths:
        parents = path.split("/")[:-1]
        if not any("/".join(parents[:depth]) in known for depth in range(1, len(parents) + 1)):
            yield path


_TOKEN = re.compile(
    r"(?P<tree>\*\*/?)|(?P<star>\*)|(?P<one>\?)|(?P<set>\[!?\]?[^\]]*\])|(?P<char>.)", re.DOTALL
)


def _ere(glob: str) -> str:
    """Translate a glob into an extended regular expression that both grep and `re` read alike."""
    parts = []
    for token in _TOKEN.finditer(glob.strip("/")):
        kind, text = token.lastgroup, token.group()
        if kind == "tree":
            parts.append("(.*/)?" if text.endswith("/") else ".*")
        elif kind == "star":
            parts.append("[^/]*")
        elif kind == "one":
            parts.append("[^/]")
        elif kind == "set":
            parts.append(text.replace("[!", "[^").replace("\\", "\\\\"))
        elif text == "\n":
            parts.append(".")  # to grep, a newline would end the expression
        else:
            parts.append(f"\\{text}" if text in r".^$+{}()|\[]" else text)
    return "".join(parts)


def matcher(globs: Sequence[str]) -> re.Pattern[str]:
    """Return an expression for whole paths: a glob without "/" stands for a name at any depth."""
    parts = [_ere(each) if "/" in each.rstrip("/") else f"(.*/)?{_ere(each)}" for each in globs]
    expression = "|".join(f"({part})" for part in parts) or r"(?!)"
    try:
        return re.compile(expression, re.IGNORECASE | re.DOTALL | re.ASCII)
    except re.error as error:
        message = f"not a pattern for file names: {escape(' '.join(globs))}"
        hint = "patterns are shell globs, for example: *.pem"
        raise UserError(message, hint=hint, code=ExitCode.USAGE) from error
