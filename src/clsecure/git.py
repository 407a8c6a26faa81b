"""The one way to run git: a clean environment, an explicit repository, nothing that runs code.

Every call names its repository, so no variable or directory can lead it to another one, and
carries `SAFE`, so no hook, monitor or housekeeping starts because of what the repository says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from clsecure.errors import ExitCode, UserError
from clsecure.gitcall import MARK, SAFE, ask, clean_environment
from clsecure.output import escape
from clsecure.process import CommandFailed, Completed, run
from clsecure.program import Program


class Head(NamedTuple):
    """What is checked out: a commit, and the branch it is on (None: detached).

    `commit` is None only for a repository that is described before its first commit;
    `discover` refuses such a one.
    """

    commit: str | None
    branch: str | None


class Repository(NamedTuple):
    """One checkout of a repository.

    `top` is the working tree, `git_dir` the real git directory of this checkout (a worktree or a
    submodule has its own), `common_dir` the one that its worktrees share: refs, objects, config.
    All three are absolute.
    """

    top: Path
    git_dir: Path
    common_dir: Path
    head: Head


class Running:
    """A git call on its way: start several, then ask each for its result."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self._argv = tuple(argv)
        self._program = Program(self._argv, env, at=os.fspath(cwd))

    def result(self, *, check: bool = True) -> Completed:
        """Wait for the end. Raises CommandFailed when `check` and the code is not 0."""
        completed = Completed(self._argv, *self._program.result())
        if check and completed.returncode:
            raise CommandFailed(completed)
        return completed


class Git:
    """git, bound to one repository and run from the top of its working tree."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def argv(self, *args: str) -> tuple[str, ...]:
        """Return the whole command line of `git *args` for this repository."""
        return (
            "git",
            f"--git-dir={self.repository.git_dir}",
            f"--work-tree={self.repository.top}",
            *SAFE,
            *args,
        )

    def run(
        self,
        *args: str,
        stdin: bytes | int | IO[bytes] = b"",
        stdout: int | IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        may_fetch: bool = False,
    ) -> Completed:
        """Run git to its end; see `process.run` and `clean_environment`.

        Raises CommandFailed when `check` and the code is not 0, UserError when git is missing.
        """
        try:
            return run(
                *self.argv(*args),
                env=clean_environment(env, may_fetch=may_fetch),
                cwd=self.repository.top,
                stdin=stdin,
                stdout=stdout,
                check=check,
            )
        except FileNotFoundError as error:
            raise _missing(self.repository.top) from error

    def start(self, *args: str) -> Running:
        """Start git and return at once, so that several calls can overlap."""
        try:
            return Running(self.argv(*args), clean_environment(), self.repository.top)
        except FileNotFoundError as error:
            raise _missing(self.repository.top) from error

    def on_terminal(self, *args: str, hooks: str | None = None) -> int:
        """Run git on the human's own terminal, where it may ask; return its exit code.

        What it says goes to stderr. `hooks` is a directory of hooks that may run; None means none.
        """
        chosen = ("-c", f"core.hooksPath={hooks}") if hooks else ()
        asking = {"GIT_TERMINAL_PROMPT": "1", "GIT_OPTIONAL_LOCKS": "1"}
        env = clean_environment(asking, may_fetch=True)
        argv = self.argv(*chosen, *args)
        import subprocess  # not at a start

        ended = subprocess.run(argv, env=env, cwd=self.repository.top, stdout=2, check=False)
        return ended.returncode

    def lines(self, *args: str, stdin: bytes = b"") -> list[str]:
        """Run git and return the lines of its output; for output without odd names."""
        return self.run(*args, stdin=stdin).text.splitlines()

    def has(self, commit: str) -> bool:
        """Return whether the object store holds this commit."""
        return not self.run("cat-file", "-e", f"{commit}^{{commit}}", check=False).returncode


_MODULES_DEEP = 20  # directories, as a submodule's name may have slashes in it


def module_dirs(git_dir: Path, depth: int = _MODULES_DEEP) -> Iterator[tuple[str, Path]]:
    """Yield the git directories of a checkout's own submodules, with their names."""
    for path in _git_dirs(git_dir / "modules", depth):
        yield path.relative_to(git_dir / "modules").as_posix(), path


def all_module_dirs(git_dir: Path, depth: int = _MODULES_DEEP) -> Iterator[Path]:
    """Yield the git directories of a checkout's submodules, and of theirs."""
    if depth:
        for _, path in module_dirs(git_dir):
            yield path
            yield from all_module_dirs(path, depth - 1)


def described(git_dir: Path, top: Path | None = None) -> Repository:
    """Describe a repository by its git directory; git runs there where there is no tree."""
    return Repository(top or git_dir, git_dir, git_dir, Head(None, None))


def _git_dirs(directory: Path, depth: int) -> Iterator[Path]:
    if not depth or not directory.is_dir():
        return
    for child in sorted(directory.iterdir()):
        if (child / "HEAD").is_file():
            yield child
        else:
            yield from _git_dirs(child, depth - 1)


def lfs_store(common_dir: Path, storage: str | None) -> Path:
    """Return where git-lfs keeps a repository's objects; `storage` is the setting lfs.storage."""
    return Path(os.path.normpath(common_dir / (storage or "lfs") / "objects"))


def discover(cwd: Path, asked: Program | None = None) -> Repository:
    """Find the checkout that holds `cwd`, with one git call; `asked` has made it there already.

    Variables such as GIT_DIR are ignored: the place decides. Raises UserError: USAGE for a place
    that cannot be worked in (no repository, bare, inside `.git`, no commit yet), REFUSED for a
    repository that git calls somebody else's, MISSING where there is no git.
    """
    try:
        code, answer, said = (asked or ask(os.fspath(cwd))).result()
    except (FileNotFoundError, PermissionError) as error:
        raise _missing(cwd) from error
    parts = os.fsdecode(answer).split(f"{MARK}\n")
    bare, *paths = [part.removesuffix("\n") for part in parts]
    if len(paths) != 4 or code:  # noqa: PLR2004 - the four parts that are asked for
        raise _no_repository(cwd, bare, paths, os.fsdecode(said))
    git_dir, common_dir, top, head = paths
    commit, _, name = head.partition("\n")
    branch = name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None
    return Repository(Path(top), Path(git_dir), Path(common_dir), Head(commit, branch))


def _no_repository(cwd: Path, bare: str, paths: Sequence[str], said: str) -> UserError:
    """Say why `discover` found nothing to work in, and what to do about it."""
    place = escape(os.fspath(cwd))
    if "dubious ownership" in said:
        message = f"git does not trust the repository at {place}: it belongs to another user"
        hint = "if you do trust it: git config --global --add safe.directory DIRECTORY"
        return UserError(message, hint=hint, code=ExitCode.REFUSED)
    if "not a git repository" in said:
        hint = "go to your project with cd, or make one here: git init"
        return UserError(f"not a git repository: {place}", hint=hint, code=ExitCode.USAGE)
    if bare == "true":
        hint = "work in a checkout of it: git worktree add DIRECTORY"
        message = f"a bare repository has no working tree: {place}"
        return UserError(message, hint=hint, code=ExitCode.USAGE)
    if "must be run in a work tree" in said:
        hint = "go to the project's own directory with cd"
        return UserError(f"inside a git directory: {place}", hint=hint, code=ExitCode.USAGE)
    if len(paths) == 4:  # noqa: PLR2004 - everything but the commit is there
        top = escape(paths[2])
        hint = 'make a first commit: git commit --allow-empty -m "First commit"'
        return UserError(f"the repository has no commit yet: {top}", hint=hint, code=ExitCode.USAGE)
    last = escape(said.strip().rpartition("\n")[2].removeprefix("fatal: "))
    return UserError(f"git cannot read the repository at {place}: {last}", hint="git status")


def _missing(cwd: Path) -> UserError:
    """Tell a missing git from a missing directory: both are FileNotFoundError."""
    if not cwd.is_dir():
        hint = "go to your project with cd"
        return UserError(f"no such directory: {escape(str(cwd))}", hint=hint, code=ExitCode.USAGE)
    hint = "install it, for example: apt install git"
    return UserError("git is not installed", hint=hint, code=ExitCode.MISSING)
