"""The command line: which commands there are, and from words to what was asked for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from clsecure.commandtable import COMMANDS, Command
from clsecure.declaration import Flag, Option
from clsecure.errors import ExitCode, UserError
from clsecure.options import BY_NAME, OPTIONS
from clsecure.request import Request
from clsecure.values import Entry, Layer, Origin, convert

HELP = ("-h", "--help")
VERSION = ("-V", "--version")
_FORMER = {"--cleanup-all": ("--cleanup", "--all")}


def parse(words: Sequence[str]) -> Request:
    """Understand the words after `clsecure`. Raises UserError (USAGE) with the nearest match.

    Options may stand before or after the command. What follows `--` is handed on untouched.
    """
    ours, passed = _split(words)
    parser = _Parser(
        prog="clsecure", add_help=False, allow_abbrev=False, formatter_class=_formatter
    )
    parser.add_argument(*HELP, dest="help", action="store_true")
    parser.add_argument(*VERSION, dest="version", action="store_true")
    for command in COMMANDS.values():
        if command.flags:
            parser.add_argument(*command.flags, dest="commands", action=_Name, name=command.name)
    for option in OPTIONS:
        for flag in option.flags:
            parser.add_argument(*flag.words, dest="given", action=_Record, option=option, flag=flag)
    found, rest = parser.parse_known_args(ours, argparse.Namespace(given=[], commands=[]))
    for word in rest:
        if word.startswith("-") and word != "-":
            raise _unknown_option(word)
    command, named, operands = _command(found.commands, rest)
    if found.help or found.version:
        return Request(command.name, named, wants_help=found.help, wants_version=found.version)
    options = _entries(found.given, command)
    return Request(command.name, named, options, _arguments(command, operands, passed))


def _formatter(prog: str) -> argparse.HelpFormatter:
    # argparse makes one for each option that is added; without a width it imports shutil, 3 ms.
    return argparse.HelpFormatter(prog, width=80)


class _Parser(argparse.ArgumentParser):
    """Raises UserError, in our words, where argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        missing = re.fullmatch(r"argument (\S+): expected one argument", message)
        if missing:
            flag = missing[1].rpartition("/")[2]
            raise UserError(f"{flag} needs a value", hint=_SEE_HELP, code=ExitCode.USAGE)
        superfluous = re.fullmatch(r"argument (\S+): ignored explicit argument (.*)", message)
        if superfluous:
            flag = superfluous[1].rpartition("/")[2]
            raise UserError(f"{flag} takes no value", hint=_SEE_HELP, code=ExitCode.USAGE)
        raise UserError(message, hint=_SEE_HELP, code=ExitCode.USAGE)


class _Record(argparse.Action):
    """Notes the option, the flag as it was written, and the value."""

    def __init__(
        self, option_strings: Sequence[str], dest: str, *, option: Option, flag: Flag
    ) -> None:
        super().__init__(option_strings, dest, nargs=None if flag.constant is None else 0)
        self.option = option
        self.flag = flag

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's interface
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,
        option_string: str | None = None,
    ) -> None:
        origin = Origin(Layer.COMMAND_LINE, option_string or "")
        if self.flag.constant is None:
            namespace.given.append(convert(self.option, str(values), origin))
        else:
            namespace.given.append(Entry(self.option.name, self.flag.constant, origin))


class _Name(argparse.Action):
    """Notes the command that a flag of old stands for."""

    def __init__(self, option_strings: Sequence[str], dest: str, *, name: str) -> None:
        super().__init__(option_strings, dest, nargs=0)
        self.name = name

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's interface
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,  # noqa: ARG002
        option_string: str | None = None,
    ) -> None:
        namespace.commands.append((self.name, option_string))


def _split(words: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    words = list(words)
    passed: tuple[str, ...] | None = None
    if "--" in words:
        at = words.index("--")
        words, passed = words[:at], tuple(words[at + 1 :])
    return [each for word in words for each in _FORMER.get(word, (word,))], passed


def _command(
    by_flag: list[tuple[str, str]], rest: list[str]
) -> tuple[Command, bool, tuple[str, ...]]:
    names = dict(by_flag)
    if len(names) == 1 and rest and rest[0] in COMMANDS:
        (name, flag), *_ = names.items()
        if rest[0] != name:
            raise _usage(f"{flag} and {rest[0]} cannot go together", "give one of them")
        rest = rest[1:]
    if len(names) > 1:
        flags = " and ".join(names.values())
        raise _usage(f"{flags} cannot go together", "give one of them")
    if names:
        return COMMANDS[next(iter(names))], True, tuple(rest)
    if not rest:
        return COMMANDS["run"], False, ()
    name, *operands = rest
    if name not in COMMANDS:
        raise _usage(f"there is no command {name}", _nearest(name, list(COMMANDS)))
    return COMMANDS[name], True, tuple(operands)


def _arguments(
    command: Command, operands: tuple[str, ...], passed: tuple[str, ...] | None
) -> tuple[str, ...]:
    if command.passes:
        if operands:
            call = " ".join(("clsecure", command.name, "--", *operands))
            whose = "the command" if command.name == "exec" else "words for the agent"
            raise _usage(f"{whose} must stand behind --", call)
        if command.name == "exec" and not passed:
            raise _usage("exec needs a command", "clsecure exec -- make test")
        return passed or ()
    named = dict(command.values).get(operands[0]) if operands else None
    most = (1 if command.operands else 0) + (1 if named else 0)
    if passed is not None or len(operands) > most:
        extra = (*operands, *(passed or ()))[-1:]
        raise _usage(f"{command.name} does not take {' '.join(extra) or '--'}", command.usage)
    if operands and operands[0] not in command.operands:
        allowed = ", ".join(command.operands)
        raise _usage(f"{command.name} does not take {operands[0]}", f"it takes: {allowed}")
    if named and named[0] != "[" and len(operands) == 1:
        raise _usage(f"{command.name} {operands[0]} needs a {named}", command.usage)
    if command.needs_operand and not operands:
        raise _usage(f"{command.name} needs one of: {', '.join(command.operands)}", command.usage)
    return operands


def _entries(given: list[Entry], command: Command) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for entry in given:
        if command.name not in BY_NAME[entry.name].commands:
            hint = f"`clsecure {command.name} --help` shows what does"
            raise _usage(f"{entry.origin.where} does not go with {command.name}", hint)
        earlier = entries.get(entry.name)
        if earlier and isinstance(earlier.value, tuple) and isinstance(entry.value, tuple):
            both = earlier.value + entry.value
            entries[entry.name] = Entry(entry.name, both, entry.origin)
        else:
            entries[entry.name] = entry
    return entries


def _unknown_option(word: str) -> UserError:
    flag = word.partition("=")[0]
    flags = [each for option in OPTIONS for way in option.flags for each in way.words]
    flags += [each for command in COMMANDS.values() for each in command.flags]
    return _usage(f"unknown option {flag}", _nearest(flag, flags))


def _nearest(word: str, known: list[str]) -> str:
    import difflib  # only for a word that is not known

    bare = {each.lstrip("-"): each for each in known}  # the dashes alone are no likeness
    close = difflib.get_close_matches(word.lstrip("-"), bare, n=1)
    return f"did you mean {bare[close[0]]}?" if close else _SEE_HELP


_SEE_HELP = "`clsecure --help` shows what there is; words for the agent go behind --"


def _usage(message: str, hint: str) -> UserError:
    return UserError(message, hint=hint, code=ExitCode.USAGE)
