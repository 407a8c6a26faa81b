"""Which programs a person's Claude starts by itself: MCP servers, hooks, the status line.

On the path of every start: files are parsed only where their bytes speak of a program. Formats:
https://code.claude.com/docs/en/mcp and /en/hooks.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from clsecure import jsontext

_LARGEST = 64 << 20  # bytes
_SIGNS = (b'"command"',)
# Before the word that is a program, a shell line may have these; and words that are the shell's.
_SHELLS = frozenset(
    (
        *("if", "for", "while", "until", "case", "[", "[[", "(", "{", "!", ":", ".", "source"),
        *("cd", "set", "eval", "exec", "export", "unset", "trap", "test", "echo", "printf", "read"),
        *("true", "false", "exit", "command", "type", "local", "return", "function", "time"),
    )
)
_ENDS = frozenset(";|&<>`")
_NOT_PLAIN = frozenset("$*?()[]{}\\'\"`")
# Options whose value is the directory of a program.
_DIRECTORIES = ("--directory", "--project", "--prefix", "--cwd", "-C")
_SCRIPTS = (
    *(".py", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".rb", ".sh", ".pl", ".php"),
    *(".jar", ".lua", ".wasm", ".whl", ".tgz"),
)


class Program(NamedTuple):
    """One program, and what it belongs to, in words.

    `is_mine`: by the person's own settings; else by the project's, which come with the repository.
    """

    whose: str
    command: str
    arguments: tuple[str, ...] = ()
    is_mine: bool = True

    def paths(self) -> Iterator[str]:
        """Yield the absolute paths of the program, of its scripts, and of their directories."""
        if self.command.startswith("/"):
            yield self.command
        is_first, before = True, ""
        for word in self.arguments:
            path, last = _value(word), before
            before = word
            if path.startswith("/"):
                option = word.partition("=")[0] if word.startswith("-") else last
                is_script = path.endswith(_SCRIPTS) or (is_first and os.path.isfile(path))
                if option in _DIRECTORIES or is_script:
                    yield path
            is_first = is_first and word.startswith("-")

    def others(self) -> Iterator[str]:
        """Yield the absolute paths that it is given beside these."""
        shown = set(self.paths())
        for word in self.arguments:
            path = _value(word)
            if path.startswith("/") and path not in shown and os.path.exists(path):
                yield path


def find(home: str, project: str, cwd: str) -> tuple[Program, ...]:
    """Return the programs that Claude will start at `cwd` in that project."""
    found: list[Program] = []
    state = _document(f"{home}/.claude.json", _SIGNS)
    found += _servers(state, home)
    projects = _mapping(state.get("projects"))
    declined: set[object] = set()
    for place in dict.fromkeys((project, cwd)):
        mine = _mapping(projects.get(place))
        found += _servers(mine, home)
        declined.update(_list(mine.get("disabledMcpjsonServers")))
    found += _lines(_document(f"{home}/.claude/settings.json", _SIGNS), home, "your")
    shared = _servers(_document(f"{project}/.mcp.json", _SIGNS, os.O_NOFOLLOW), home)
    names = {f"the MCP server {name}" for name in declined}
    theirs = [one for one in shared if one.whose not in names]
    for name in ("settings.json", "settings.local.json"):
        path = f"{project}/.claude/{name}"
        theirs += _lines(_document(path, _SIGNS, os.O_NOFOLLOW), home, "the project's")
    return (*found, *(one._replace(is_mine=False) for one in theirs))


def _servers(known: Mapping[str, object], home: str) -> Iterator[Program]:
    for name, declared in _mapping(known.get("mcpServers")).items():
        server = _mapping(declared)
        command = server.get("command")
        if isinstance(command, str) and command:
            words = (command, *(str(word) for word in _list(server.get("args"))))
            first, *rest = (word.replace("${HOME}", home) for word in words)
            yield Program(f"the MCP server {name}", first, tuple(rest))


def _lines(settings: Mapping[str, object], home: str, whose: str) -> Iterator[Program]:
    lines = [
        (f"{whose} hook on {event}", _mapping(hook).get("command"))
        for event, groups in _mapping(settings.get("hooks")).items()
        for group in _list(groups)
        for hook in _list(_mapping(group).get("hooks"))
    ]
    lines.append((f"{whose} status line", _mapping(settings.get("statusLine")).get("command")))
    for name, line in lines:
        words = _words(line, home) if isinstance(line, str) else ()
        if words:
            yield Program(name, words[0], words[1:])


def _words(line: str, home: str) -> tuple[str, ...]:
    """Return program and arguments of a shell's line; empty where that takes a shell to tell."""
    words: list[str] = []
    for word in line.split():
        if not words and word.partition("=")[0].isidentifier() and "=" in word:
            continue
        plain = word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word
        for name in ("~/", "$HOME/", "${HOME}/"):
            if plain.startswith(name):
                plain = f"{home}/{plain[len(name) :]}"
        if _ENDS.intersection(plain):
            break
        if _NOT_PLAIN.intersection(plain) or (not words and plain in _SHELLS):
            if not words:
                return ()
            continue
        words.append(plain)
    return tuple(words)


def _value(word: str) -> str:
    value = word.partition("=")[2] if word.startswith("-") else word
    return value.removeprefix("file:")


def _document(path: str, signs: tuple[bytes, ...], flags: int = 0) -> Mapping[str, object]:
    """Return a file's JSON object; empty where it has none of the signs, or is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    except OSError:
        return {}
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
        os.close(file)
        return {}
    with os.fdopen(file, "rb") as stream:
        content = stream.read(_LARGEST)
    if not any(sign in content for sign in signs):
        return {}
    try:
        return _mapping(jsontext.read(content))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
