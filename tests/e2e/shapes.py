"""The shapes that a repository may have: how each is made, seen inside, and brought home."""

from __future__ import annotations

import os
import shlex
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from world import Human

_FILE = ("-c", "protocol.file.allow=always")
ODD = (
    "two words",
    'say "hi"',
    "it's",
    "new\nline",
    "-dash",
    "tab\there",
    "ünï",
    "*?[glob]",
    "100%",
)
NOT_UTF8 = os.fsdecode(b"caf\xe9")
LONG = "/".join(letter * 200 for letter in "abcdefghijklmno")
SIZE = 320  # MiB: xfs takes no less than 300


@dataclass(frozen=True)
class Shape:
    """One shape.

    `make` makes it at a path and returns where the session starts. `script` is what is done inside,
    and `sees` what it prints, with {top} for the project. `home` looks at what came of it, once it
    is the branch `home`.
    """

    name: str
    make: Callable[[Human, Path], Path]
    script: str
    sees: str
    home: Callable[[Human, Path], None]
    at: str = "{name}-{kind}"
    file_system: str = ""
    said: str = ""  # words of the session's start
    is_place: bool = False  # about where things lie: over every engine, not each mode's first


def git(human: Human, top: Path, *words: str | Path) -> str:
    """Run git as the human there; returns what it said."""
    return human.run("git", *words, cwd=top).stdout


def repository(human: Human, top: Path, files: dict[str, str]) -> Path:
    """Make a repository at a path below the human's home."""
    return human.repository(str(top.relative_to(human.home)), files)


@contextmanager
def mounted(human: Human, top: Path, kind: str, options: str = "size=64m") -> Iterator[None]:
    """Have a file system of that kind at `top`, in which the human may write.

    `options` are a tmpfs's.
    """
    human.run("mkdir", "-p", top)
    image = top.with_name(f"image-{kind}-{os.getpid()}")
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", top], check=True)
    else:
        with image.open("wb") as file:
            file.truncate(SIZE << 20)
        subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, top], check=True)
    try:
        os.chown(top, human.account.pw_uid, human.account.pw_gid)
        yield
    finally:
        subprocess.run(["umount", top], check=True)
        image.unlink(missing_ok=True)


def _is(human: Human, top: Path, **files: str) -> None:
    for path, text in files.items():
        assert git(human, top, "show", f"home:{path}") == text


def _plain(human: Human, top: Path) -> Path:
    return repository(human, top, {"file": "1\n"})


def _plain_home(human: Human, top: Path) -> None:
    _is(human, top, file="2\n", new="3\n")


_PLAIN = "cat file; git status --short; echo 2 > file; git commit -qam two; echo 3 > new"


def _lfs(human: Human, top: Path) -> Path:
    repository(human, top, {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    git(human, top, "lfs", "install", "--local")
    for text in ("one\n", "two\n"):
        human.write(top / "a.bin", text)
        git(human, top, "add", "-A")
        git(human, top, "commit", "-qm", text)
    return top


def _lfs_home(human: Human, top: Path) -> None:
    assert git(human, top, "show", "home:a.bin").startswith("version https://git-lfs")
    git(human, top, "switch", "-q", "home")
    assert (top / "a.bin").read_text() == "new\n"
    assert (top / "b.bin").read_text() == "loose\n"
    assert git(human, top, "show", "home:.gitattributes").count("lfs") == 3
    git(human, top, "lfs", "fsck")


def submodules(human: Human, top: Path) -> Path:
    """Make a project with a submodule that has one too."""
    inner = repository(human, top.with_name(f"inner-{top.name}"), {"in": "1\n"})
    library = repository(human, top.with_name(f"library-{top.name}"), {"lib": "1\n"})
    git(human, library, *_FILE, "submodule", "--quiet", "add", inner, "deep")
    git(human, library, "commit", "-qm", "with deep")
    repository(human, top, {"file": "1\n"})
    git(human, top, *_FILE, "submodule", "--quiet", "add", library, "lib dir")
    git(human, top, *_FILE, "submodule", "--quiet", "update", "--init", "--recursive")
    git(human, top, "commit", "-qm", "with library")
    return top


def _submodules_home(human: Human, top: Path) -> None:
    git(human, top, "switch", "-q", "home")
    git(human, top, "submodule", "--quiet", "update", "--recursive", "--no-fetch")
    assert (top / "lib dir/lib").read_text() == "2\n"
    assert (top / "lib dir/loose").read_text() == "3\n"
    assert (top / "lib dir/deep/in").read_text() == "4\n"
    assert git(human, top / "lib dir", "log", "-1", "--format=%s", "home~") == "two\n"
    assert git(human, top / "lib dir/deep", "rev-parse", "home") == git(
        human, top / "lib dir/deep", "rev-parse", "HEAD"
    )
    assert git(human, top, "status", "--short") == ""


def _library(human: Human, top: Path) -> Path:
    library = repository(human, top.with_name(f"library-{top.name}"), {"lib": "1\n"})
    repository(human, top, {"file": "1\n"})
    git(human, top, *_FILE, "submodule", "--quiet", "add", library, "lib")
    git(human, top, "commit", "-qm", "with library")
    return top


def _passed_over_home(human: Human, top: Path) -> None:
    recorded = git(human, top, "rev-parse", "home~:lib").strip()
    assert git(human, top, "rev-parse", "home:lib") == git(human, top, "rev-parse", "main:lib")
    git(human, top / "lib", "gc", "-q", "--prune=now")
    assert git(human, top / "lib", "show", f"{recorded}:lib") == "2\n"
    leads = git(human, top / "lib", "branch", "--contains", recorded).split()
    assert leads == [f"home.recorded-{recorded[:12]}"]


def _new_submodule_home(human: Human, top: Path) -> None:
    refs = git(human, top, "for-each-ref", "--format=%(refname)").split()
    (kept,) = [ref for ref in refs if ref.endswith("/HEAD") and "/nested/" in ref]
    assert (
        git(human, top, "ls-tree", "home", "sub").split()[2]
        == git(human, top, "rev-parse", kept).strip()
    )
    assert git(human, top, "show", f"{kept}:made") == "1\n"
    assert git(human, top, "show", kept.replace("/HEAD", "/snapshot:loose")) == "2\n"


def _inside(human: Human, top: Path) -> Path:
    repository(human, top, {".gitignore": "", "file": "1\n"})
    repository(human, top / "own", {"mine": "1\n"})
    return top


def _inside_home(human: Human, top: Path) -> None:
    assert git(human, top / "own", "show", "home:mine") == "2\n"
    assert git(human, top / "own", "log", "-1", "--format=%an %s", "home~") == "A Human two\n"
    assert git(human, top / "own", "show", "home:loose") == "3\n"
    assert (top / "own/mine").read_text() == "1\n"


def _worktree(human: Human, top: Path) -> Path:
    main = repository(human, top.with_name(f"main-{top.name}"), {"file": "1\n"})
    git(human, main, "worktree", "add", "-q", "-b", "side", top)
    return top


def _sparse(human: Human, top: Path) -> Path:
    repository(human, top, {"a/file": "1\n", "b/file": "1\n", "file": "1\n"})
    git(human, top, "sparse-checkout", "set", "a")
    return top


def _sparse_home(human: Human, top: Path) -> None:
    _is(human, top, **{"a/file": "2\n", "b/file": "1\n", "file": "1\n", "a/new": "3\n"})
    assert not (top / "b").exists()


def _sparse_index(human: Human, top: Path) -> Path:
    _sparse(human, top)
    git(human, top, "sparse-checkout", "set", "--cone", "--sparse-index", "a")
    return top


def _sparse_by_patterns(human: Human, top: Path) -> Path:
    repository(human, top, {"a/file": "1\n", "a/no": "1\n", "file": "1\n"})
    git(human, top, "sparse-checkout", "set", "--no-cone", "/*", "!/a/no")
    return top


def _sparse_by_patterns_home(human: Human, top: Path) -> None:
    _is(human, top, **{"a/file": "2\n", "a/no": "1\n", "a/new": "3\n"})
    assert not (top / "a/no").exists()


def _sparse_partial(human: Human, top: Path) -> Path:
    source = _sparse(human, top.with_name(f"source-{top.name}"))
    git(human, source, "config", "uploadpack.allowFilter", "true")
    git(human, source, "clone", "-q", "--sparse", "--filter=blob:none", f"file://{source}", top)
    git(human, top, "sparse-checkout", "set", "a")
    return top


def _history(human: Human, top: Path) -> Path:
    source = repository(human, top.with_name(f"source-{top.name}"), {"file": "0\n", "other": "0\n"})
    human.write(source / "file", "1\n")
    git(human, source, "commit", "-qam", "second")
    git(human, source, "config", "uploadpack.allowFilter", "true")
    return source


def _shallow(human: Human, top: Path) -> Path:
    source = _history(human, top)
    git(human, source, "clone", "-q", "--depth", "1", f"file://{source}", top)
    return top


def _shallow_home(human: Human, top: Path) -> None:
    _plain_home(human, top)
    assert git(human, top, "rev-list", "--count", "home") == "3\n"


def _partial(human: Human, top: Path) -> Path:
    source = _history(human, top)
    git(human, source, "clone", "-q", "--filter=blob:none", f"file://{source}", top)
    return top


def _shared(human: Human, top: Path) -> Path:
    source = _history(human, top)
    git(human, source, "clone", "-q", "--shared", source, top)
    return top


def _separate(human: Human, top: Path) -> Path:
    _plain(human, top)
    git(human, top, "init", "-q", "--separate-git-dir", top.with_name(f"git of {top.name}"))
    return top


def _sha256(human: Human, top: Path) -> Path:
    human.run("mkdir", "-p", top)
    git(human, top, "init", "-q", "-b", "main", "--object-format=sha256")
    return _plain(human, top)


def _changing(human: Human, top: Path) -> Path:
    files = ("gone", "d/gone", "d/deep/gone", "moved", "e/x", "e/y", "to-link", "to-dir", "run")
    repository(human, top, {name: f"{name}\n" * 9 for name in files})
    human.run("ln", "-s", "moved", top / "link")
    human.run("ln", "-s", "/nowhere at all", top / "loose-end")
    git(human, top, "add", "-A")
    git(human, top, "commit", "-qm", "links")
    return top


def _changing_home(human: Human, top: Path) -> None:
    listed = git(human, top, "diff", "--raw", "-M", "--abbrev=1", "main", "home").splitlines()
    fields = (line.partition("\t") for line in listed)
    found = {names: modes.split()[:2] for modes, _, names in fields}
    plain, link, none, runs = "100644", "120000", "000000", "100755"
    assert found == {
        "gone": [f":{plain}", none],
        "d/gone": [f":{plain}", none],
        "d/deep/gone": [f":{plain}", none],
        "moved\tnew dir/moved": [f":{plain}", plain],
        "e/x\tf/x": [f":{plain}", plain],
        "e/y\tf/y": [f":{plain}", plain],
        "to-link": [f":{plain}", link],
        "to-dir": [f":{plain}", none],
        "to-dir/in": [":000000", plain],
        "run": [f":{plain}", runs],
        "link": [f":{link}", link],
        "binary": [":000000", plain],
        "empty": [":000000", plain],
    }
    assert git(human, top, "show", "home:link") == "new dir/moved"


_CHANGING = (
    "git rm -qr gone d; git commit -qm gone\n"
    "mkdir 'new dir'; git mv moved 'new dir'; mv e f; ln -sf 'new dir/moved' link\n"
    "rm to-link to-dir; ln -s run to-link; mkdir to-dir; echo 1 > to-dir/in; chmod +x run\n"
    "head -c 9999 /dev/zero > binary; : > empty"
)


def _partial_home(human: Human, top: Path) -> None:
    _plain_home(human, top)
    assert git(human, top, "rev-list", "--count", "home") == "4\n"


def _conversions(human: Human, top: Path) -> Path:
    repository(human, top, {"text": "a\nb\n", ".gitattributes": "*.rot filter=rot\n"})
    git(human, top, "config", "core.autocrlf", "true")
    git(human, top, "config", "filter.rot.clean", "tr a-z b-za")
    git(human, top, "config", "filter.rot.smudge", "tr b-za a-z")
    human.write(top / "x.rot", "abc\n")
    git(human, top, "add", "-A")
    git(human, top, "commit", "-qm", "rot")
    git(human, top, "rm", "-q", "--cached", "text")
    git(human, top, "reset", "-q", "--hard")
    return top


def _conversions_home(human: Human, top: Path) -> None:
    _is(human, top, text="a\nb\nc\n", **{"x.rot": "yz{\n".replace("{", "a")})


def _excluded(human: Human, top: Path) -> Path:
    _plain(human, top)
    human.write(top / ".git/info/exclude", "*.local\n")
    human.write(top / "my.local", "mine\n")
    return top


def _excluded_home(human: Human, top: Path) -> None:
    _plain_home(human, top)
    assert "local" not in git(human, top, "ls-tree", "-r", "--name-only", "home")


def _names(human: Human, top: Path) -> Path:
    repository(human, top, dict.fromkeys((*ODD, "Case", "case"), "1\n"))
    human.run("sh", "-c", f"mkdir -p {LONG} && echo 1 > {LONG}/file", cwd=top)
    human.run("tee", NOT_UTF8, cwd=top, stdin="1\n")
    git(human, top, "add", "-A")
    git(human, top, "commit", "-qm", "names")
    return top


def _names_home(human: Human, top: Path) -> None:
    listed = git(human, top, "diff", "--name-status", "-z", "main", "home").split("\0")
    changed = dict(zip(listed[1::2], listed[0::2], strict=False))
    names = {*ODD, "Case", NOT_UTF8, f"{LONG}/file", f"{LONG}/new", f"{NOT_UTF8}2"}
    new = {f"{LONG}/new", f"{NOT_UTF8}2"}
    assert changed == {name: "A" if name in new else "M" for name in names}


_NAMES = "; ".join(
    f"echo 2 >> {shlex.quote('./' + name)}"
    for name in (*ODD, "Case", f"{LONG}/file", f"{LONG}/new")
)


def _owners(human: Human, top: Path) -> Path:
    repository(human, top, {"file": "1\n", "theirs": "1\n", "moved": "1\n", "d/x": "1\n"})
    for name in ("theirs", "moved"):
        os.chown(top / name, 12345, 12345)
    os.chown(top / "d/x", 0, 0)
    return top


def _owners_home(human: Human, top: Path) -> None:
    assert set(git(human, top, "ls-tree", "-r", "--name-only", "home").split()) == {
        "file",
        "elsewhere",
    }
    _is(human, top, file="2\n", elsewhere="1\n")


_CANNOT = "a partial clone: of other commits, git lacks what it has not fetched, and cannot"

SHAPES = (
    Shape(
        "lfs",
        _lfs,
        "cat a.bin; git status --short; git checkout -q HEAD~; cat a.bin; git switch -q main\n"
        "echo new > a.bin; git commit -qam new; echo loose > b.bin",
        "two\none\n",
        _lfs_home,
        is_place=True,
    ),
    Shape(
        "submodules",
        submodules,
        "git submodule status --recursive | wc -l; git status --short; cd 'lib dir'\n"
        "git switch -q -c work; echo 2 > lib; git commit -qam two; echo 3 > loose\n"
        "cd deep; echo 4 > in",
        "2\n",
        _submodules_home,
        is_place=True,
    ),
    Shape(
        "submodule-passed-over",
        _library,
        "cd lib; git switch -q --detach; echo 2 > lib; git commit -qam passed; cd ..\n"
        "git commit -qam 'records it'; git -C lib switch -q main; git commit -qam 'and back'",
        "",
        _passed_over_home,
    ),
    Shape(
        "new-submodule",
        _plain,
        "git init -q sub; cd sub; echo 1 > made; git add made; git commit -qm made; cd ..\n"
        "git -c protocol.file.allow=always submodule --quiet add ./sub sub\n"
        "git commit -qm sub; echo 2 > sub/loose",
        "Adding existing repo at 'sub' to the index\n",
        _new_submodule_home,
    ),
    Shape(
        "repository-inside",
        _inside,
        "cd own; git status --short; cat mine; echo 2 > mine; git commit -qam two; echo 3 > loose",
        "1\n",
        _inside_home,
    ),
    Shape(
        "worktree",
        _worktree,
        f"git branch --show-current; {_PLAIN}",
        "side\n1\n",
        _plain_home,
        is_place=True,
    ),
    Shape(
        "sparse",
        _sparse,
        "git status --short; ls; echo 2 > a/file; git commit -qam two; echo 3 > a/new",
        "a\nfile\n",
        _sparse_home,
    ),
    Shape(
        "sparse-index",
        _sparse_index,
        "git status --short; ls; echo 2 > a/file; git commit -qam two; echo 3 > a/new",
        "a\nfile\n",
        _sparse_home,
    ),
    Shape(
        "sparse-by-patterns",
        _sparse_by_patterns,
        "ls a; echo 2 > a/file; git commit -qam two; echo 3 > a/new",
        "file\n",
        _sparse_by_patterns_home,
    ),
    Shape(
        "sparse-partial",
        _sparse_partial,
        "ls; echo 2 > a/file; git commit -qam two; echo 3 > a/new",
        "a\nfile\n",
        _sparse_home,
        said=_CANNOT,
    ),
    Shape("changing", _changing, _CHANGING, "", _changing_home),
    Shape("shared-objects", _shared, _PLAIN, "1\n", _plain_home, is_place=True),
    Shape("separate-git-dir", _separate, _PLAIN, "1\n", _plain_home, is_place=True),
    Shape("sha256", _sha256, _PLAIN, "1\n", _plain_home),
    Shape("shallow", _shallow, f"git rev-list --count HEAD; {_PLAIN}", "1\n1\n", _shallow_home),
    Shape(
        "partial",
        _partial,
        f"git rev-list --count HEAD; {_PLAIN}",
        "2\n1\n",
        _partial_home,
        said=_CANNOT,
    ),
    Shape(
        "conversions",
        _conversions,
        "git status --short; od -An -c text | tr -d ' '; cat x.rot\n"
        "printf 'a\\r\\nb\\r\\nc\\r\\n' > text; echo xyz > x.rot; git commit -qam both",
        "a\\r\\nb\\r\\n\nabc\n",
        _conversions_home,
    ),
    Shape(
        "exclude",
        _excluded,
        f"cat my.local; {_PLAIN}; echo x > a.local",
        "mine\n1\n",
        _excluded_home,
    ),
    Shape(
        "names",
        _names,
        f"git status --short; cat Case case; {_NAMES}\n"
        'f=$(printf \'caf\\351\'); echo 2 >> "$f"; git commit -qam names; echo 3 > "${f}2"',
        "1\n1\n",
        _names_home,
        is_place=True,
    ),
    Shape(
        "owners",
        _owners,
        "cat theirs; git status --short; echo 2 > file; rm theirs; mv moved elsewhere; rm -r d",
        "1\n",
        _owners_home,
        is_place=True,
    ),
    Shape(
        "place",
        _plain,
        f"pwd; {_PLAIN}",
        "{top}\n1\n",
        _plain_home,
        at="a b%20s \"q\" 'n' $x\n{kind}",
        is_place=True,
    ),
    Shape(
        "place-in-bytes",
        _plain,
        f"pwd; {_PLAIN}",
        "{top}\n1\n",
        _plain_home,
        at=f"{NOT_UTF8} {{kind}}",
        is_place=True,
    ),
    *(
        Shape(
            name,
            _plain,
            _PLAIN,
            "1\n",
            _plain_home,
            file_system=name,
            is_place=True,
        )
        for name in ("xfs", "btrfs", "tmpfs")
    ),
)
