"""`python -m clsecure.documentation`: the configuration reference and the manual page.

Both are made from the tables of options and commands. `--check` writes nothing and ends with 1
when a file is not what would be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from clsecure.amounts import words
from clsecure.commandtable import COMMANDS, Command
from clsecure.declaration import Flag, Group, Kind, Option
from clsecure.errors import ExitCode
from clsecure.helppages import flag_help
from clsecure.options import OPTIONS

_GENERATED = "made by python -m clsecure.documentation"

_FORMAT = f"""\
# Configuration

<!-- {_GENERATED}; change src/clsecure/options.py instead -->

Settings come from these places; a later one wins, and lists add up:

1. the default;
2. the project: `.clsecure/config` in the repository's top directory. It may set only what is
   marked *project* below; anything else is ignored with a warning;
3. you: `$XDG_CONFIG_HOME/clsecure/config` (`~/.config/clsecure/config`), else `~/.clsecurerc`;
4. the environment, where a variable is named below;
5. the command line.

`clsecure config` shows each setting and where it was set.

A file holds lines of `key = value`, without sections:

```
# comments begin with a number sign
mode = namespace
hide = "*.sqlite, notes.txt"
```

Keys may be written in upper case. Quotes around a value are removed. True is `true`, `yes` or `1`;
false is `false`, `no` or `0`. A value that cannot be understood stops clsecure with exit code 2
and the name of the file and line.

The project's file comes with the repository, so that its author need not be you. It can ask for a
stronger mode, and for lower limits than yours. A weaker mode than the default is ignored with a
warning until you allow it with `clsecure config trust`; when the file changes, that ends.
"""

_CODES = {
    ExitCode.OK: "success",
    ExitCode.FAILURE: "failure",
    ExitCode.USAGE: "wrong usage, or a setting that cannot be understood",
    ExitCode.REFUSED: "refused for safety",
    ExitCode.MISSING: "something is missing on this host",
    ExitCode.BUSY: "the session is busy",
    ExitCode.IMPORT: "the import is not possible as asked",
    ExitCode.INTERRUPTED: "interrupted",
}


def configuration_page() -> str:
    """Return the reference of all settings that a file can hold, as Markdown."""
    return "\n".join((_FORMAT, *(_setting(option) for option in OPTIONS if option.key)))


def manual_page() -> str:
    """Return the manual page clsecure(1) in the man macros of roff."""
    parts = [
        f'.\\" {_GENERATED}',
        '.TH CLSECURE 1 "" "" "User Commands"',
        ".SH NAME",
        "clsecure \\- run coding agents in a box, as a Linux user of their own",
        ".SH SYNOPSIS",
        ".B clsecure",
        _roff("[COMMAND] [OPTIONS] [-- ARGS…]"),
        ".SH DESCRIPTION",
        _roff(COMMANDS["run"].description),
        ".SH COMMANDS",
        *(_manual_command(command) for command in COMMANDS.values()),
        ".SH OPTIONS",
        "Options may stand before or after the command.",
        *(_manual_group(group) for group in Group),
        ".SH EXIT STATUS",
        "Where a program ran in the box, its own exit code. Else:",
        *(f".TP\n.B {int(code)}\n{_roff(meaning)}" for code, meaning in _CODES.items()),
        ".SH ENVIRONMENT",
        *(_manual_variable(option) for option in OPTIONS if option.variable),
        ".TP\n.B CLSECURE_DEBUG\nWith the value 1, errors come with their traceback.",
        ".TP\n.B NO_COLOR\nNo colours.",
        ".SH FILES",
        ".TP\n.I ~/.config/clsecure/config\nYour settings; see docs/configuration.md.",
        ".TP\n.I .clsecure/config\nWhat the project asks for.",
        ".TP\n.I ~/.local/state/clsecure\nWhat clsecure remembers for you, and its log.",
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Write the two files below the checkout's docs, or compare them with `--check`."""
    docs = Path(__file__).parents[2] / "docs"
    pages = {"configuration.md": configuration_page(), "clsecure.1": manual_page()}
    stale = []
    for name, text in pages.items():
        path = docs / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
    for name in stale:
        sys.stdout.write(f"docs/{name}: {'stale' if '--check' in sys.argv[1:] else 'written'}\n")
    return 1 if stale and "--check" in sys.argv[1:] else 0


def _setting(option: Option) -> str:
    facts = [
        ("values", _values(option)),
        ("default", _default(option)),
        ("also called", ", ".join(map(_code, option.aliases))),
        ("command line", ", ".join(_code(flag.words[-1]) for flag in option.flags)),
        ("environment", _code(option.variable)),
        ("set by", "you, *project*" if option.project else "you"),
    ]
    lines = [f"- {name}: {fact}" for name, fact in facts if fact]
    return f"## `{option.key}`\n\n{option.meaning}\n\n" + "\n".join(lines) + "\n"


def _values(option: Option) -> str:
    if option.choices:
        values = ", ".join(map(_code, option.choices))
        if option.booleans:
            values += f"; `true` is `{option.booleans[0]}`, `false` is `{option.booleans[1]}`"
        return values
    if option.bounds and option.kind is Kind.INTEGER:
        return f"{option.bounds[0]} to {option.bounds[1]}"
    return option.kind.value


def _default(option: Option) -> str:
    default = option.default
    if isinstance(default, tuple):
        return ", ".join(map(_code, default))
    if isinstance(default, bool):
        return _code(str(default).lower())
    if option.group is Group.LIMITS:
        return _code(words(option.kind, default))
    return "" if default is None else _code(str(default))


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _manual_command(command: Command) -> str:
    lines = [f".SS {_roff(command.usage)}", _roff(command.description)]
    if command.flags:
        lines += [".PP", f"The same: {_roff(', '.join(command.flags))}"]
    for line, why in command.examples:
        lines += [".TP", f".B {_roff(line)}", _roff(why)]
    return "\n".join(lines)


def _manual_group(group: Group) -> str:
    lines = [f".SS {_roff(group.capitalize())}"]
    for option in OPTIONS:
        if option.group is group:
            lines += [_manual_flag(option, flag) for flag in option.flags]
    return "\n".join(lines)


def _manual_flag(option: Option, flag: Flag) -> str:
    words = ", ".join(flag.words)
    if flag.constant is None:
        words += f" {flag.argument}"
    more = [f"\nMay be repeated; {option.meaning}"] if option.kind is Kind.LIST else []
    return "\n".join(
        (".TP", f".B {_roff(words)}", _roff(flag_help(option, flag)), *map(_roff, more))
    )


def _manual_variable(option: Option) -> str:
    return f".TP\n.B {option.variable}\nThe setting {_roff(option.key)}."


def _roff(text: str) -> str:
    escaped = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace('"', "\\(dq")
    )
    # A full stop or apostrophe at the beginning of a line would be a request.
    return "\n".join(
        f"\\&{line}" if line[:1] in {".", "'"} else line for line in escaped.split("\n")
    )


if __name__ == "__main__":
    sys.exit(main())
