"""Which of a session's changes would run on the host: a pure look at paths, modes and contents.

A finding is no verdict. It names what a person should read before the branch is checked out, built
or pushed, because a program of theirs runs it or takes orders from it without being asked.
"""

from __future__ import annotations

import fnmatch
import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_NONE, _LINK, _SUBMODULE, _EXECUTABLE = "000000", "120000", "160000", "100755"


@dataclass(frozen=True)
class Entry:
    """A changed file: modes in git's octal digits ("000000": not there), contents where read."""

    path: str
    old_mode: str
    mode: str
    old_content: bytes | None = None
    content: bytes | None = None


@dataclass(frozen=True)
class Finding:
    """Something that would run or steer a program on the host, with the reason in one line."""

    path: str
    kind: str
    why: str


# (kind, why, globs). A glob is for a path's last parts, at any depth; letter case is ignored.
_RULES: tuple[tuple[str, str, str], ...] = (
    (
        "git hook",
        "git runs it when you commit, check out or push",
        (
            ".husky/* .githooks/* .git-hooks/* .pre-commit-config.yaml lefthook.y*ml .lefthook/* "
            ".lefthook.y*ml .overcommit.yml"
        ),
    ),
    (
        "ci",
        "your CI runs it when the branch is pushed",
        (
            ".github/workflows/* .github/actions/* action.y*ml .gitlab-ci.yml .gitlab/ci/* "
            ".circleci/* jenkinsfile* .travis.yml .drone.yml azure-pipelines.y*ml appveyor.yml "
            "bitbucket-pipelines.yml .buildkite/* .woodpecker* .woodpecker/* .forgejo/workflows/* "
            ".gitea/workflows/* cloudbuild.y*ml .ci/*"
        ),
    ),
    (
        "editor",
        "an editor runs it, or is configured by it, when the project is opened",
        (
            ".vscode/* *.code-workspace .idea/* .devcontainer/* .devcontainer.json .exrc .vimrc "
            ".nvimrc .nvim.lua .dir-locals.el .zed/* .fleet/* *.sublime-project .lvimrc"
        ),
    ),
    (
        "shell",
        "a shell or tool manager runs it when you enter the directory",
        ".envrc .env .autoenv.zsh .tool-versions mise.toml .mise.toml mise/config.toml .mise/*",
    ),
    (
        "agent",
        "a coding agent takes tools, rights or commands from it",
        (
            ".mcp.json opencode.json .claude/* .claude.json .cursor/* .cursorrules .codex/* "
            ".gemini/* .aider.conf.yml .windsurf/* .windsurfrules .continue/* .roo/* .opencode/*"
        ),
    ),
    (
        "agent",
        "a coding agent reads it as instructions",
        "claude.md claude.local.md agents.md gemini.md copilot-instructions.md",
    ),
    (
        "build",
        "it runs when the project is built, installed or started",
        (
            "setup.py makefile gnumakefile *.mk build.rs .cargo/config.toml .cargo/config rakefile "
            "justfile .justfile taskfile.y*ml build.gradle* settings.gradle* gradlew* mvnw* "
            "gradle/wrapper/* .mvn/* binding.gyp sitecustomize.py usercustomize.py *.pth "
            "hatch_build.py noxfile.py"
        ),
    ),
    (
        "packages",
        "a package manager takes registries or programs from it",
        ".npmrc .yarnrc .yarnrc.yml .yarn/* .pnpmfile.cjs bunfig.toml pip.conf nuget.config",
    ),
    (
        "git",
        "it can steer which programs or addresses git uses",
        ".lfsconfig .gitconfig",
    ),
    (
        "clsecure",
        "clsecure itself runs it or is configured by it",
        ".clsecure/* .clsecure.conf",
    ),
)


def _expression(globs: str) -> re.Pattern[str]:
    joined = "|".join(fnmatch.translate(glob) for glob in globs.split())
    return re.compile(f"(?:.*/)?(?:{joined})", re.DOTALL)


_MATCHERS = tuple((kind, why, _expression(globs)) for kind, why, globs in _RULES)
_READ = frozenset(("package.json", "pyproject.toml", ".gitattributes", ".gitmodules"))
_DRIVER = re.compile(rb"^[^#\n]*\s(filter|diff|merge)=[^\s]+", re.MULTILINE)
_ADDRESS = re.compile(rb"^\s*(?:url|update)\s*=.*$", re.MULTILINE | re.IGNORECASE)


def needs_content(path: str, mode: str) -> bool:
    """Return whether `review` looks into this file."""
    return mode == _LINK or posixpath.basename(path).lower() in _READ


def review(entries: Iterable[Entry], *, hooks_path: str | None = None) -> list[Finding]:
    """Return what of `entries` would run on the host, in their order.

    `hooks_path` is the directory in the tree from which the human's git takes its hooks.
    """
    return [finding for entry in entries for finding in _look(entry, hooks_path)]


def _look(entry: Entry, hooks_path: str | None) -> Iterator[Finding]:
    if entry.mode == _NONE:
        return  # what is gone runs nothing
    lowered = entry.path.lower()
    if hooks_path and f"{entry.path}/".startswith(hooks_path.rstrip("/") + "/"):
        yield Finding(entry.path, "git hook", "git runs it: core.hooksPath leads here")
    for kind, why, expression in _MATCHERS:
        if expression.fullmatch(lowered):
            yield Finding(entry.path, kind, why)
    yield from _inside(entry, posixpath.basename(lowered))
    if entry.mode == _SUBMODULE:
        yield Finding(entry.path, "submodule", "it stands for a commit of another repository")
    if entry.mode == _LINK:
        yield from _link(entry)
    if entry.mode == _EXECUTABLE and entry.old_mode != _EXECUTABLE:
        yield Finding(entry.path, "executable", "it can be run as a program now")


def _inside(entry: Entry, name: str) -> Iterator[Finding]:
    """Look at the files in which only some lines matter."""
    old, new = entry.old_content or b"", entry.content
    if name not in _READ:
        return
    if new is None:
        yield Finding(entry.path, "build", "it is too large to be looked at")
    elif name == "package.json" and _scripts(old) != _scripts(new):
        yield Finding(entry.path, "build", "its scripts changed: npm and others run them")
    elif name == "pyproject.toml" and _build(old) != _build(new):
        yield Finding(entry.path, "build", "its build or tool hooks changed")
    elif name == ".gitattributes" and _found(_DRIVER, old) != _found(_DRIVER, new):
        yield Finding(entry.path, "git", "it chooses filters that git runs on check-out")
    elif name == ".gitmodules" and _found(_ADDRESS, old) != _found(_ADDRESS, new):
        yield Finding(entry.path, "submodule", "an address that git fetches from changed")


def _found(expression: re.Pattern[bytes], content: bytes) -> list[bytes]:
    return [match.group() for match in expression.finditer(content)]


def _scripts(content: bytes) -> object:
    """Return the parts of a package.json that a package manager runs; all of it if unreadable."""
    try:
        said = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return content
    if not isinstance(said, dict):
        return content
    parts = ("scripts", "bin", "gypfile", "husky", "lint-staged", "simple-git-hooks", "pnpm")
    return [said.get(part) for part in parts]


def _build(content: bytes) -> object:
    """Return the tables of a pyproject.toml that choose programs; all of it if unreadable."""
    import tomllib

    try:
        said = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return content
    tool = said.get("tool", {})
    runners = ("hatch", "poe", "pdm", "poetry", "setuptools", "taskipy", "cibuildwheel")
    if not isinstance(tool, dict):
        return content
    return [said.get("build-system"), *(tool.get(name) for name in runners)]


def _link(entry: Entry) -> Iterator[Finding]:
    if entry.content is None:
        yield Finding(entry.path, "link", "its target is too long to be looked at")
        return
    target = entry.content.decode("utf-8", "surrogateescape")
    where = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), target))
    if target.startswith("/") or where == ".." or where.startswith("../"):
        yield Finding(entry.path, "link", f"it leads out of the project, to {target}")
    elif ".git" in where.lower().split("/"):
        yield Finding(entry.path, "link", f"it leads into git's own directory, to {target}")
