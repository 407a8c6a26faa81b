"""What a fresh session's git directory holds, read by the human's own git from their repository.

The session gets every ref, the index and a sanitised configuration, and borrows the objects.
See gitrepository-layout(5) for the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from clsecure.git import Git, Head, Repository, Running, lfs_store, module_dirs
from clsecure.workspace.gitconfig import (
    Entry,
    entries,
    home_config,
    promisor,
    session_config,
    value_of,
)

BORROWED = "/run/clsecure/objects"  # where the box mounts the object stores: see place_of
SEED_REFS = "clsecure/refs"  # what the session started with; export.py leaves these out
SEED_HEAD = "clsecure/head"
SEED_STASH = "clsecure/stash"

_DIRECTORIES = [
    "clsecure",
    "hooks",
    "info",
    "logs",
    "objects",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "refs/tags",
]
# What git keeps for this checkout alone, and what all checkouts share.
_OWN = [
    "info/sparse-checkout",
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "ORIG_HEAD",
]
_SHARED = ["info/attributes", "info/grafts", "shallow"]
# Refs that belong to one checkout's unfinished work, or to us.
_NOT_SEEDED = ("refs/clsecure/", "refs/bisect/", "refs/worktree/", "refs/rewritten/")
_MODULES_DEEP = 20
# Tags come without the commits they lead to, which git would have to look up one by one. It knows
# no trait of that name; GitPython refuses a file that does not speak of peeling.
_PACKED = "# pack-refs with: unpeeled sorted \n"


class SeedFile(NamedTuple):
    """A file of the session's git directory.

    `path` is relative to it. `content` is the bytes, or the human's file that holds them; that
    one is opened as the human and its descriptor handed on. A file given so keeps its
    modification time: an index that looks newer than it is hides edits made in its own second.
    """

    path: str
    content: bytes | Path
    mode: int = 0o644


class GitSeed(NamedTuple):
    """Everything a session's git directory needs.

    `objects` are the object stores to borrow, absolute, in the order of the numbers under
    `BORROWED` which the `objects/info/alternates` files name; `lfs` is git-lfs's store beside each
    of them, None where there is none. `home_config` is for the worker's own .gitconfig.
    `promisor` is the address of the remote which has what a partial clone lacks; None: nothing is.
    """

    files: tuple[SeedFile, ...]
    directories: tuple[str, ...]
    objects: tuple[Path, ...]
    lfs: tuple[Path | None, ...]
    home_config: str
    promisor: str | None


def place_of(root: str, number: int, *, has_lfs: bool) -> str:
    """Return where the store of that number is borrowed; git-lfs looks in ../lfs/objects of it."""
    return f"{root}/{number}/objects" if has_lfs else f"{root}/{number}"


def git_seed(repository: Repository, borrowed: Mapping[Path, str] | None = None) -> GitSeed:
    """Describe the git directory of a new session of `repository`, with those of its submodules.

    `borrowed` names other places for object stores than those below BORROWED. Raises CommandFailed
    when git cannot read the repository.
    """
    return seed(ask(repository), borrowed)


def ask(repository: Repository) -> Asked:
    """Ask git what `seed` needs to know, of the repository and its submodules, all at once."""
    return [(prefix, each, _Questions(each)) for prefix, each in _with_modules(repository)]


def seed(asked: Asked, borrowed: Mapping[Path, str] | None = None) -> GitSeed:
    """Return what `git_seed` does, of a repository about which git was asked."""
    made = _Seed(dict(borrowed or {}))
    for prefix, each, questions in asked:
        made.add(prefix, each, questions, is_module=bool(prefix))
    stores = tuple(made.objects)
    lfs, files, directories = tuple(made.lfs), tuple(made.files), tuple(made.directories)
    return GitSeed(files, directories, stores, lfs, made.home_config, made.promisor)


class _Questions:
    """The two calls of git that a repository takes, on their way."""

    def __init__(self, repository: Repository) -> None:
        git = Git(repository)
        self._refs: Running = git.start(
            "for-each-ref", "--format=%(objectname) %(refname) %(symref)"
        )
        self._config: Running = git.start("config", "--list", "--show-scope", "-z")

    def refs(self) -> list[list[str]]:
        """Return [object, name, target of a symbolic ref or ""] for each ref to be seeded."""
        lines = self._refs.result().text.splitlines()
        split = [line.split(" ") for line in lines]
        return [fields for fields in split if not fields[1].startswith(_NOT_SEEDED)]

    def config(self) -> list[Entry]:
        """Return all settings, the human's global ones first, without those of our own calls."""
        found = entries(self._config.result().stdout)
        return [entry for entry in found if entry.scope != "command"]


Asked = list[tuple[str, Repository, _Questions]]


class _Seed:
    """Collects the files of a session's git directory; each submodule is a prefix in it."""

    def __init__(self, borrowed: dict[Path, str]) -> None:
        self.files: list[SeedFile] = []
        self.directories: list[str] = []
        self.objects: list[Path] = []
        self.lfs: list[Path | None] = []
        self.home_config = ""
        self.promisor: str | None = None
        self._borrowed = borrowed

    def add(
        self, prefix: str, repository: Repository, questions: _Questions, *, is_module: bool
    ) -> None:
        """Describe one git directory, `prefix` deep in the session's own."""
        self.directories += [prefix + name for name in _DIRECTORIES]
        settings = questions.config()
        if not is_module:
            self.home_config = home_config(settings)
        self.promisor = self.promisor or promisor(settings)
        own = lfs_store(repository.common_dir, value_of(settings, "lfs.storage"))
        stores = [
            self._borrow(store, store.parent / "lfs/objects" if number else own)
            for number, store in enumerate(object_stores(repository.common_dir))
        ]
        self._put(prefix + "objects/info/alternates", alternates(stores))
        for source, names in ((repository.git_dir, _OWN), (repository.common_dir, _SHARED)):
            for name in names:
                self._copy(prefix + name, source / name)
        self._index(prefix, repository.git_dir)
        local = [entry for entry in settings if entry.scope in {"local", "worktree"}]
        moved = value_of(local, "core.worktree")
        top = repository.top
        if is_module:
            top = Path(os.path.normpath(repository.git_dir / (moved or ".")))
        hooks = _hooks_directory(settings, repository, top)
        in_tree = os.fspath(hooks) if hooks.is_relative_to(top) else None
        is_own = hooks.is_relative_to(repository.common_dir)
        worktree = None if moved is None else os.fspath(top)
        kept = in_tree if not is_own else None
        self._put(prefix + "config", session_config(settings, worktree=worktree, hooks=kept))
        self._put(prefix + "info/exclude", _excludes(settings, repository, top))
        if kept is None:
            for path in _hooks(hooks):
                self.files.append(SeedFile(f"{prefix}hooks/{path.name}", path, 0o755))
        self._refs(prefix, repository, questions.refs())

    def _refs(self, prefix: str, repository: Repository, refs: list[list[str]]) -> None:
        lines = [f"{oid} {name}\n" for oid, name, target in refs if not target]
        packed = _PACKED + "".join(lines)
        self._put(prefix + "packed-refs", packed)
        self._put(prefix + SEED_REFS, packed)
        self._put(prefix + "HEAD", _head(repository))
        self._put(prefix + SEED_HEAD, _head(repository))
        for _, name, target in refs:
            if target:
                self._put(prefix + name, f"ref: {target}\n")
        log = repository.common_dir / "logs/refs/stash"  # refs/stash without it lists nothing
        self._copy(prefix + "logs/refs/stash", log)
        self._copy(prefix + SEED_STASH, log)

    def _index(self, prefix: str, git_dir: Path) -> None:
        self._copy(prefix + "index", git_dir / "index")
        for shared in sorted(git_dir.glob("sharedindex.*")):  # the base of a split index
            self._copy(prefix + shared.name, shared)

    def _borrow(self, store: Path, lfs: Path) -> str:
        if store not in self.objects:
            self.objects.append(store)
            self.lfs.append(lfs if lfs.is_dir() else None)
        number = self.objects.index(store)
        place = place_of(BORROWED, number, has_lfs=self.lfs[number] is not None)
        return self._borrowed.get(store, place)

    def _put(self, path: str, content: str) -> None:
        self.files.append(SeedFile(path, os.fsencode(content)))

    def _copy(self, path: str, source: Path) -> None:
        if source.is_file():
            self.files.append(SeedFile(path, source))


def alternates(stores: Iterable[str]) -> str:
    """Return the file objects/info/alternates that borrows from these stores."""
    return "".join(_entry(store) for store in stores)


def _entry(store: str) -> str:
    """Return a line of objects/info/alternates; git unquotes one that begins with a quote."""
    if "\n" not in store:
        return f"{store}\n"
    quoted = store.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{quoted}"\n'


def object_stores(common_dir: Path) -> list[Path]:
    """Return the object directories a repository reads: its own, then what it borrows, recursively.

    Stores that do not exist are left out, as git does.
    """
    found: list[Path] = []
    waiting = [common_dir / "objects"]
    while waiting:
        store = Path(os.path.normpath(waiting.pop(0)))
        if store in found or not store.is_dir():
            continue
        found.append(store)
        try:
            listed = (store / "info/alternates").read_bytes()
        except OSError:
            continue
        lines = [line for line in listed.split(b"\n") if line and not line.startswith(b"#")]
        waiting += [store / os.fsdecode(_unquoted(line)) for line in lines]
    return found


def _unquoted(line: bytes) -> bytes:
    """Undo git's C-style quotes, which it uses for paths that begin with a quote."""
    if len(line) < 2 or not (line.startswith(b'"') and line.endswith(b'"')):  # noqa: PLR2004 - a pair
        return line
    return line[1:-1].decode("unicode_escape").encode("latin-1")


def _head(repository: Repository) -> str:
    head = repository.head
    if head.branch is not None:
        return f"ref: refs/heads/{head.branch}\n"
    return f"{head.commit}\n"


def _excludes(settings: list[Entry], repository: Repository, top: Path) -> str:
    """Join the human's global ignore file and the repository's own, which has the last word."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    named = value_of(settings, "core.excludesfile")
    everywhere = top / Path(named).expanduser() if named else home / "git/ignore"
    texts = (_text(everywhere), _text(repository.common_dir / "info/exclude"))
    return "".join(text if text.endswith("\n") else text + "\n" for text in texts if text)


def _hooks_directory(settings: list[Entry], repository: Repository, top: Path) -> Path:
    named = value_of(settings, "core.hookspath")
    hooks = top / Path(named).expanduser() if named else repository.common_dir / "hooks"
    return Path(os.path.normpath(hooks))


def _hooks(directory: Path) -> Iterator[Path]:
    """Yield the programs that git runs as hooks from there."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        path = directory / name
        if not name.endswith(".sample") and path.is_file() and os.access(path, os.R_OK | os.X_OK):
            yield path


def _text(path: Path) -> str:
    try:
        return os.fsdecode(path.read_bytes())
    except OSError:
        return ""


def _with_modules(
    repository: Repository, prefix: str = "", depth: int = _MODULES_DEEP
) -> Iterator[tuple[str, Repository]]:
    """Yield the repository and the git directories of its submodules, with their prefixes."""
    yield prefix, repository
    if not depth:
        return
    for name, path in module_dirs(repository.git_dir):
        # The working tree may be missing; git is only asked for refs and settings.
        module = Repository(path, path, path, _module_head(path))
        yield from _with_modules(module, f"{prefix}modules/{name}/", depth - 1)


def _module_head(git_dir: Path) -> Head:
    text = _text(git_dir / "HEAD").strip()
    if text.startswith("ref: refs/heads/"):
        return Head(None, text.removeprefix("ref: refs/heads/"))
    return Head(text, None)
