"""Runs in the box as the worker: the uncommitted work of a session, as one commit.

Exactly the changed paths are taken, on top of what is checked out, through an index of our own: the
worker's may say anything, such as "assume unchanged". What git cannot hold is named in a warning.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clsecure.helper.inside.sessiongit import Failed, SessionGit, joined, text

NAMED = 20  # so many ignored files are named, the others counted
FEW = 200  # git matches each file against each path: above, the matching is done here


@dataclass(frozen=True)
class Ignored:
    """Changed files that git ignores: how many, and the names of the first."""

    count: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """The commit of the uncommitted work (None: there is none), its files, what is ignored."""

    commit: str | None
    files: int
    ignored: Ignored


class Chosen:
    """The changed paths; each stands for itself and for all that is below it. None: everything."""

    def __init__(self, paths: Sequence[str] | None) -> None:
        names = [path.strip("/") for path in paths or () if path.strip("/")]
        self.is_all = paths is None
        self._names = set(names)
        self.directories = {parent for name in self._names for parent in _parents(name)}
        self.few = names if paths is not None and len(names) <= FEW else None

    def __contains__(self, name: str) -> bool:
        if self.is_all or name in self._names:
            return True
        return any(parent in self._names for parent in _parents(name))


def _parents(name: str) -> Iterator[str]:
    """Yield the directories above `name`, the innermost first."""
    while name := name.rpartition("/")[0]:
        yield name


def _innermost(names: set[str]) -> list[str]:
    """Leave out the directories that ls-files lists besides what is in them."""
    above = {parent for name in names for parent in _parents(name.rstrip("/"))}
    return sorted(name for name in names if name.rstrip("/") not in above)


class Snapshot:
    """Takes the uncommitted work."""

    def __init__(self, git: SessionGit) -> None:
        self._git = git
        self._told: set[str] = set()  # repositories in the tree that were looked at
        self._real: dict[str, bool] = {}  # whether a directory of the tree is one, not a link

    def take(
        self,
        head: str | None,
        base: str | None,
        paths: Sequence[str] | None,
        gitlinks: Mapping[str, str],
    ) -> Taken:
        """Commit the present state of `paths` on top of `head` (None: before the first commit).

        `base` is the commit that the session started from (None: it was no repository then), and
        `gitlinks` what submodules are to be at, in place of what they have checked out. Raises
        Failed.
        """
        if head or base:
            start = self._git.object(f"{head or base}^{{tree}}")
        else:
            start = text(self._git.git("mktree")).strip()  # the empty tree
        if start is None:  # everything else would look deleted
            raise Failed("the session's repository has lost the commit that it stands on")
        self._git.git("read-tree", start)
        chosen = Chosen(paths)
        names = set(self._listed(chosen, "--cached", "--others", "--exclude-standard"))
        ignored = self._listed(chosen, "--others", "--ignored", "--exclude-standard", "--directory")
        names |= self._gitlinks() | self._repositories_above(chosen)
        for tag, name in self._worker_index(chosen):
            if tag == "S" and not os.path.lexists(self._git.at(name)):
                names.discard(name)  # left out by a sparse checkout, not deleted
            elif name not in names and name in chosen and os.path.lexists(self._git.at(name)):
                names.add(name)  # added by force: ignored, but meant to be kept
        self._add(sorted(self._sorted_out(names)))
        self._set_gitlinks(gitlinks)
        # What a partial clone lacks may be missing; what else is, the export's walk finds.
        tree = text(self._git.git("write-tree", "--missing-ok")).strip()
        left_out = _innermost(set(ignored) - names)
        about_ignored = Ignored(len(left_out), tuple(left_out[:NAMED]))
        if tree == start:
            return Taken(None, 0, about_ignored)
        parents = ("-p", head) if head else ()
        changed = self._git.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", start, tree)
        commit = self._commit(*parents, "-m", "Uncommitted work", tree)
        return Taken(commit, changed.count(b"\0"), about_ignored)

    def _set_gitlinks(self, gitlinks: Mapping[str, str]) -> None:
        wanted = [name for name in gitlinks if os.path.lexists(self._git.at(f"{name}/.git"))]
        if not wanted:
            return
        listed = text(self._git.git("ls-files", "-s", "-z", "--", *wanted)).split("\0")
        names = [entry.partition("\t")[2] for entry in listed if entry.startswith("160000 ")]
        lines = "".join(f"160000 {gitlinks[name]}\t{name}\0" for name in names)
        self._git.git("update-index", "-z", "--index-info", stdin=os.fsencode(lines))

    def _commit(self, *args: str) -> str:
        made = self._git.call("commit-tree", *args)
        if made.returncode:  # nobody's name is configured
            who = {"NAME": "clsecure session", "EMAIL": "session@clsecure.invalid"}
            names = {
                f"GIT_{role}_{key}": value
                for role in ("AUTHOR", "COMMITTER")
                for key, value in who.items()
            }
            return text(self._git.git("commit-tree", *args, env=names)).strip()
        return text(made.stdout).strip()

    def _listed(self, chosen: Chosen, *options: str) -> list[str]:
        """Return what `git ls-files` lists among the chosen paths."""
        if chosen.few == []:  # without a path, ls-files would list everything, for nothing
            return []
        listed = self._ls(*options, "--", *(chosen.few or ()))
        if chosen.is_all or chosen.few:
            return listed
        return [name for name in listed if name in chosen or name.rstrip("/") in chosen.directories]

    def _ls(self, *args: str) -> list[str]:
        listed = self._git.call("ls-files", "-z", *args)
        if b"could not open directory" in listed.stderr:
            self._make_readable()
            listed = self._git.call("ls-files", "-z", *args)
        if listed.returncode:
            raise Failed(f"git ls-files: {text(listed.stderr).strip()}")
        return [name for name in text(listed.stdout).split("\0") if name]

    def _make_readable(self) -> None:
        """Open the worker's own directories that it closed to itself."""
        for parent, directories, _ in os.walk(self._git.work_tree):
            for directory in directories:
                path = Path(parent, directory)
                if not path.is_symlink() and not os.access(path, os.R_OK | os.X_OK):
                    self._allow(path, stat.S_IRWXU)

    def _allow(self, path: Path, bits: int) -> None:
        try:
            path.chmod(stat.S_IMODE(path.lstat().st_mode) | bits)
        except OSError as error:
            name = path.relative_to(self._git.work_tree)
            self._git.warnings.append(f"cannot be read: {name} ({error.strerror})")

    def _gitlinks(self) -> set[str]:
        """Return the submodules that have a repository here: their commit may have moved."""
        if not os.path.lexists(self._git.at(".gitmodules")):
            return set()  # reading 50,000 entries takes 60 ms
        listed = self._ls("--stage")
        links = [entry.partition("\t")[2] for entry in listed if entry.startswith("160000 ")]
        return {name for name in links if os.path.lexists(self._git.at(f"{name}/.git"))}

    def _repositories_above(self, chosen: Chosen) -> set[str]:
        """Return the repositories of their own that changed paths lie in; ls-files skips these."""
        above = {f"{name}/" for name in chosen.directories}
        return {name for name in above if os.path.lexists(self._git.at(f"{name}.git"))}

    def _worker_index(self, chosen: Chosen) -> Iterator[tuple[str, str]]:
        if chosen.few == []:
            return
        own = {"GIT_INDEX_FILE": f"{self._git.git_dir}/index"}
        listed = self._git.call(
            "ls-files", "-z", "-t", "--cached", "--", *(chosen.few or ()), env=own
        )
        if listed.returncode:
            self._git.warnings.append(
                "the session's index is damaged: what only it held is left out"
            )
        for entry in text(listed.stdout).split("\0"):
            tag, _, name = entry.partition(" ")
            if name:
                yield tag, name

    def _sorted_out(self, names: Iterable[str]) -> Iterator[str]:
        """Yield what git can store; warn about the rest and take it out of the index."""
        unfit = []
        for name in names:
            mode = self._mode(name)
            is_directory = stat.S_ISDIR(mode)
            if is_directory and os.path.lexists(self._git.at(f"{name}/.git")):
                self._git.repositories.append(name.rstrip("/"))
            if stat.S_ISREG(mode) and not os.access(self._git.at(name), os.R_OK):
                self._allow(Path(self._git.at(name)), stat.S_IRUSR)
            if mode and not (is_directory or stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                self._git.warnings.append(f"not a file that git can hold: {name}")
                mode = 0
            if not mode:
                unfit.append(name)
            elif not name.endswith("/"):  # as ls-files writes a repository in the tree
                yield name
        if unfit:
            self._git.git("update-index", "--force-remove", "-z", "--stdin", stdin=joined(unfit))

    def _mode(self, name: str) -> int:
        """Return the type and permissions of a file of the tree; 0 when it is not (any more)."""
        for parent in _parents(name.rstrip("/")):
            if parent not in self._real:
                self._real[parent] = not os.path.islink(self._git.at(parent))
            if not self._real[parent]:
                return 0  # a directory became a link: what is beyond it is not of this tree
        try:
            return os.lstat(self._git.at(name)).st_mode
        except OSError:
            return 0

    def _add(self, names: Sequence[str]) -> None:
        """Put the present state of each name into the index; halve the list to find a culprit."""
        if not names:
            return
        arguments = ("update-index", "--add", "--remove", "-z", "--stdin")
        ended = self._git.call(*arguments, stdin=joined(names))
        ignoring = b"Ignoring path" in ended.stderr  # said of names that git refuses, with code 0
        if (ended.returncode or ignoring) and len(names) > 1:
            middle = len(names) // 2
            self._add(names[:middle])
            self._add(names[middle:])
        elif ignoring:
            self._git.warnings.append(f"git refuses to hold this name: {names[0]}")
        elif ended.returncode:
            self._add_raw(names[0])

    def _add_raw(self, name: str) -> None:
        """Store a file's bytes as they are: a filter or conversion of the worker's failed on it."""
        try:
            file = os.open(self._git.at(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            self._git.warnings.append(f"cannot be read: {name} ({error.strerror})")
            return
        try:
            executable = os.fstat(file).st_mode & stat.S_IXUSR
            hashed = self._git.call("hash-object", "-w", "--no-filters", "--stdin", stdin=file)
        finally:
            os.close(file)
        entry = f"100{'755' if executable else '644'} {text(hashed.stdout).strip()}\t{name}\0"
        update = ("update-index", "-z", "--index-info")
        ended = self._git.call(*update, stdin=os.fsencode(entry))
        if hashed.returncode or ended.returncode:
            self._git.warnings.append(f"cannot be stored: {name}")
        else:
            self._git.warnings.append(f"taken as it is, since its git filter failed: {name}")
