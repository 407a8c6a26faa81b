"""What `--help` prints, and the parser that completion scripts are made from."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from clsecure.commandline import HELP, VERSION
from clsecure.commandtable import COMMANDS, Command
from clsecure.declaration import Flag, Group, Option
from clsecure.options import OPTIONS
from clsecure.request import Request

_HELP_COLUMN = 26


def help_text(request: Request) -> str:
    """Return the help page on one command, or on all of them where none was named."""
    return _page(COMMANDS[request.command], request.named).format_help()


def flag_help(option: Option, flag: Flag) -> str:
    """Return the help on a flag, with the values that its argument can have."""
    if flag.constant is not None or option.choices is None:
        return flag.help
    values = (f"{each} (default)" if each == option.default else each for each in option.choices)
    return f"{flag.help}: {', '.join(values)}"


def full_parser() -> argparse.ArgumentParser:
    """Return a parser with a sub-parser for each command: what completion is generated from."""
    parser = argparse.ArgumentParser(prog="clsecure", add_help=False, formatter_class=_formatter)
    _add_general(parser)
    for command in COMMANDS.values():
        if command.flags:
            parser.add_argument(*command.flags, action="store_true", help=command.summary)
    _add_groups(parser, COMMANDS["run"])
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS.values():
        child = commands.add_parser(command.name, help=command.summary, add_help=False)
        _add_general(child)
        _add_groups(child, command)
        if command.operands:
            child.add_argument("operand", choices=command.operands, help=command.summary)
        if command.values:
            child.add_argument("value", nargs="?", help="what the operand is about")
    return parser


def _page(command: Command, named: bool) -> argparse.ArgumentParser:
    examples = command.examples if named else _OVERVIEW_EXAMPLES
    others = f"\n\nalso: clsecure {', '.join(command.flags)}" if command.flags and named else ""
    parser = argparse.ArgumentParser(
        prog="clsecure",
        usage=command.usage if named else "clsecure [COMMAND] [OPTIONS] [-- ARGS…]",
        description=command.description + (others if named else _overview()),
        epilog=_examples(examples) + ("" if named else _MORE),
        add_help=False,
        formatter_class=_formatter,
    )
    _add_groups(parser, command)
    _add_general(parser.add_argument_group("general"))
    return parser


_OVERVIEW_EXAMPLES = (
    ("clsecure", "the agent, in this repository"),
    ('clsecure -- -p "fix the failing test"', "words after -- go to the agent"),
    ("clsecure -s login", "a second session beside the first"),
    ("clsecure import", "bring kept work home as a branch"),
)
_MORE = "\n\n`clsecure COMMAND --help` says more. Settings: `clsecure config`, man clsecure."


def _overview() -> str:
    width = _HELP_COLUMN - 4
    lines = (f"  {each.name:<{width}}  {each.summary}" for each in COMMANDS.values())
    return "\n\ncommands:\n" + "\n".join(lines)


def _examples(examples: Sequence[tuple[str, str]]) -> str:
    width = max(len(line) for line, _ in examples)
    return "examples:\n" + "\n".join(f"  {line:<{width}}   {why}" for line, why in examples)


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(
        prog, max_help_position=_HELP_COLUMN, width=min(_terminal_width(), 100)
    )


def _terminal_width() -> int:
    # As shutil.get_terminal_size does, whose import takes 3 ms.
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named) > _HELP_COLUMN:
        return int(named)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def _add_general(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(*HELP, action="help", help="show this help")
    parser.add_argument(*VERSION, action="version", version="", help="show the version")


def _add_groups(parser: argparse.ArgumentParser, command: Command) -> None:
    for heading in Group:
        options = [
            option
            for option in OPTIONS
            if option.group is heading and option.flags and command.name in option.commands
        ]
        if options:
            group = parser.add_argument_group(heading)
            for option in options:
                for flag in option.flags:
                    _add_documented(group, option, flag)


def _add_documented(parser: argparse._ActionsContainer, option: Option, flag: Flag) -> None:
    if flag.constant is not None:
        parser.add_argument(*flag.words, action="store_true", help=flag.help)
        return
    choices = tuple(option.choices) if option.choices else None
    parser.add_argument(
        *flag.words, metavar=flag.argument, choices=choices, help=flag_help(option, flag)
    )
