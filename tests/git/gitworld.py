"""A human's repository, and a session of it without a box: a copied tree, a seeded git dir."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from clsecure.git import Repository, discover
from clsecure.homecoming.branch import import_work
from clsecure.homecoming.nested import fetch
from clsecure.homecoming.refs import set_base
from clsecure.workspace.gitseed import GitSeed, git_seed

KEY = "claude-worker-demo-1a2b3c"


def git(where, *args, stdin=None, check=True, **env) -> str:
    done = subprocess.run(
        ["git", *map(str, args)],
        cwd=where,
        input=stdin,
        capture_output=True,
        env={**os.environ, **env},
        check=False,
    )
    assert not check or not done.returncode, os.fsdecode(done.stderr)
    return os.fsdecode(done.stdout).removesuffix("\n")


def write(path: Path, content: str | bytes, mode: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if mode is not None:
        path.chmod(mode)


def materialise(seed: GitSeed, git_dir: Path) -> None:
    """Do what root does in a box: make the session's git directory of a seed."""
    for name in seed.directories:
        (git_dir / name).mkdir(parents=True, exist_ok=True)
    for file in seed.files:
        path = git_dir / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file.content, Path):
            shutil.copy2(file.content, path)
        else:
            path.write_bytes(file.content)


def tree(top: Path) -> dict[str, tuple]:
    """Return every file below `top` with what it is, `.git` left out."""
    found = {}
    for parent, directories, files in os.walk(top):
        if Path(parent) == top:
            directories[:] = [name for name in directories if name != ".git"]
        links = [name for name in directories if Path(parent, name).is_symlink()]
        for name in {*files, *links} - {".git"}:
            path = Path(parent, name)
            content = str(path.readlink()) if path.is_symlink() else None
            if content is None and path.is_file():
                content = path.read_bytes()
            found[os.path.relpath(path, top)] = (path.lstat().st_mode, content)
    return found


class Session:
    """The worker's side; `run_inside` is what the box offers to `homecoming`."""

    def __init__(self, repository: Repository, at: Path) -> None:
        self.repository = repository
        self.top, self.git_dir, self.home = at / "tree", at / "git", at / "home"
        self.home.mkdir(parents=True)
        seed = git_seed(repository)
        materialise(git_seed(repository, {p: str(p) for p in seed.objects}), self.git_dir)
        shutil.copytree(repository.top, self.top, symlinks=True, ignore=self._no_git)
        write(self.top / ".git", f"gitdir: {self.git_dir}\n")
        self.before = tree(self.top)
        self.request = {}
        self.paths: list[str] | None = []
        self.prefix: list[str] = []
        self.stderr = b""

    def _no_git(self, directory, _names):
        return [".git"] if Path(directory) == self.repository.top else []

    def git(self, *args, **kwargs) -> str:
        return git(self.top, *args, HOME=str(self.home), **kwargs)

    def pack(self, *args, stdin) -> bytes:
        env = {**os.environ, "HOME": str(self.home)}
        return subprocess.run(
            ["git", *args], cwd=self.top, input=stdin, capture_output=True, env=env, check=True
        ).stdout

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def changed_paths(self) -> list[str]:
        """Return what root would find in the upper layer."""
        now = tree(self.top)
        names = now.keys() | self.before.keys()
        return sorted(name for name in names if now.get(name) != self.before.get(name))

    def _here(self, path: str) -> str:
        """Return where the session has what lies at `path` in the box."""
        for theirs, ours in (
            (self.repository.git_dir, self.git_dir),
            (self.repository.top, self.top),
        ):
            if Path(path).is_relative_to(theirs):
                return str(ours / Path(path).relative_to(theirs))
        return path

    def run_inside(self, argv, *, stdin, stdout, env):
        request = json.loads(stdin)
        if isinstance(request, list):
            request = [self._here(path) for path in request]
        else:
            request |= {"git_dir": self._here(request["git_dir"])}
        if "work_tree" in request:
            request |= {"work_tree": self._here(request["work_tree"])}
            self.request = request
        done = subprocess.run(
            [*self.prefix, *argv],
            input=json.dumps(request).encode(),
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), **env},
            cwd="/",
            check=False,
        )
        self.stderr = done.stderr
        return done.returncode, done.stderr


class World:
    """A repository of the human's with a few files, and its session."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.top = tmp_path / "project"
        self.top.mkdir()
        self.git("init", "-q")
        write(self.top / "README", "hello\n")
        write(self.top / "src/a.py", "a = 1\n" * 20)
        write(self.top / "src/b.py", "b = 1\n")
        write(self.top / "run.sh", "#!/bin/sh\n", 0o755)
        write(self.top / ".gitignore", "*.log\nignored/\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "First")
        self.base = self.git("rev-parse", "HEAD")

    def git(self, *args, **kwargs) -> str:
        return git(self.top, *args, **kwargs)

    @property
    def repository(self) -> Repository:
        return discover(self.top)

    def start(self, name: str = "session") -> Session:
        repository = self.repository
        self.base = repository.head.commit
        set_base(repository, KEY, self.base)
        return Session(repository, self.tmp_path / name)

    def fetch(self, session: Session, *, paths="changed"):
        found = session.changed_paths() if paths == "changed" else paths
        return fetch(session.repository, session, key=KEY, base=self.base, paths=found)

    def bring(self, session: Session, *, branch="claude/x", message="Work", paths="changed"):
        work = self.fetch(session, paths=paths)
        return work, import_work(session.repository, work, branch=branch, commit_message=message)

    def content(self, revision: str, path: str) -> bytes:
        return os.fsencode(self.git("cat-file", "blob", f"{revision}:{path}"))

    def names(self, revision: str) -> set[str]:
        listed = self.git("ls-tree", "-r", "-z", "--name-only", revision)
        return {name for name in listed.split("\0") if name}

    def state(self) -> dict[str, object]:
        """Everything that no import may change, byte for byte."""
        git_dir = self.repository.git_dir
        common = self.repository.common_dir
        files = {
            str(path): path.read_bytes()
            for where in (git_dir, common)
            for path in where.rglob("*")
            if path.is_file()
            and not {"objects", "refs", "logs"} & set(path.relative_to(where).parts)
        }
        refs = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        mine = [ref for ref in refs if not ref.startswith(("refs/clsecure/", "refs/heads/claude/"))]
        index_time = (git_dir / "index").stat().st_mtime_ns
        return {"tree": tree(self.top), "files": files, "refs": mine, "index": index_time}
