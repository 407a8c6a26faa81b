"""The only writer to the terminal: it escapes everything that is not our own text."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import TextIO

from clsecure.errors import ExitCode, UserError

_KEPT = {"\n", "\t"}
_UNDECODED = range(0xDC80, 0xDD00)  # bytes that are not UTF-8, kept by surrogateescape


def escape(text: str | bytes, *, multiline: bool = False) -> str:
    r"""Make text from a worker, a repository or the network safe to print.

    Control characters (C0, DEL, C1), bidirectional and other format characters, surrogates and
    unassigned code points become `\xNN`, `\uNNNN` or `\UNNNNNNNN`. With `multiline`, newline and
    tab stay.
    """
    source = os.fsdecode(text) if isinstance(text, bytes) else text
    if source.isascii() and source.isprintable():
        return source
    kept = _KEPT if multiline else set()
    return "".join(
        character if character in kept or _is_printable(character) else _code(character)
        for character in source
    )


def _is_printable(character: str) -> bool:
    import unicodedata  # a shared library, and most text is ASCII

    return character == " " or (
        character.isprintable() and unicodedata.category(character) not in {"Cf", "Zl", "Zp"}
    )


def _code(character: str) -> str:
    number = ord(character)
    if number in _UNDECODED:
        number -= _UNDECODED.start - 0x80
    for form, width in (("x", 2), ("u", 4)):
        if number < 16**width:
            return f"\\{form}{number:0{width}x}"
    return f"\\U{number:08x}"


class Style(StrEnum):
    """How our own text stands out; the values are SGR parameters."""

    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"


class Output:
    r"""Everything that clsecure tells the person and asks them.

    Results go to stdout; questions, notes, warnings and errors to stderr. All text given here is
    escaped: colour is asked for with `style`, and a newline in the text is shown as `\x0a`
    unless `multiline`. `yes` answers confirmations with yes and questions with what is suggested.
    """

    def __init__(
        self,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        *,
        stdin: TextIO | None = None,
        environ: Mapping[str, str] | None = None,
        no_input: bool = False,
        yes: bool = False,
    ) -> None:
        self.stdout = sys.stdout if stdout is None else stdout
        self.stderr = sys.stderr if stderr is None else stderr
        self._stdin = sys.stdin if stdin is None else stdin
        environment = os.environ if environ is None else environ
        self._plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
        self._yes = yes
        self.can_ask = not no_input and is_terminal(self._stdin) and is_terminal(self.stderr)

    def beside(self) -> Output:
        """Return an output whose results go to stderr: stdout belongs to a command in the box."""
        other = Output.__new__(Output)
        other.__dict__.update(self.__dict__, stdout=self.stderr)
        return other

    def say(self, text: str = "", *, style: Style | None = None, multiline: bool = False) -> None:
        """Print a line of the result."""
        self._write(self.stdout, self._styled(self.stdout, text, style, multiline=multiline))

    def note(self, text: str) -> None:
        """Print a line beside the result, for a person only."""
        self._write(self.stderr, self._styled(self.stderr, text, Style.DIM))

    def warn(self, text: str) -> None:
        """Print a warning."""
        word = self._styled(self.stderr, "warning:", Style.YELLOW)
        self._write(self.stderr, f"{word} {escape(text)}")

    def error(self, message: str, hint: str = "") -> None:
        """Print what went wrong and what to do next."""
        word = self._styled(self.stderr, "clsecure:", Style.RED)
        self._write(self.stderr, f"{word} {escape(message)}")
        if hint:
            self._write(
                self.stderr, f"{self._styled(self.stderr, 'hint:', Style.DIM)} {escape(hint)}"
            )

    def details(self, text: str) -> None:
        """Print lines that help to find a defect, such as a traceback."""
        self._write(self.stderr, escape(text, multiline=True))

    def json(self, document: object) -> None:
        """Print one JSON document; all that is not ASCII is escaped in it."""
        import json  # 4 ms, and only scripts ask for it

        self._write(self.stdout, json.dumps(document, indent=2))

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print rows under headers, in columns."""
        cells = [[escape(cell) for cell in row] for row in rows]
        if is_terminal(self.stdout):
            from clsecure import tables  # rich takes 40 ms

            tables.draw(self.stdout, headers, cells, plain=self._plain)
            return
        for line in _columns([list(headers), *cells]):
            self._write(self.stdout, line)

    def ask(self, question: str, *, default: str = "", flag: str) -> str:
        """Ask for a line of text; an empty answer is `default`.

        `flag` is what gives the answer without being asked. Raises UserError (USAGE) where nobody
        can be asked, (INTERRUPTED) when the input ends.
        """
        if self._yes and default:
            return default
        return self._answer(question, f"[{default}] " if default else "", flag) or default

    def confirm(self, question: str, *, default: bool, flag: str = "--yes") -> bool:
        """Ask a yes-or-no question. Raises as `ask` does."""
        if self._yes:
            return True
        while True:
            answer = self._answer(question, "[Y/n] " if default else "[y/N] ", flag).lower()
            if not answer:
                return default
            if answer in {"y", "yes", "n", "no"}:
                return answer.startswith("y")
            self.note("please answer y or n")

    def choose(self, question: str, choices: Mapping[str, str], *, default: str, flag: str) -> str:
        """Ask for one letter of `choices` (letter to label) and return it. Raises as `ask` does.

        A label that holds its letter is shown as in `dis[c]ard`. `--yes` does not choose.
        """
        labels = ", ".join(_marked(letter, label) for letter, label in choices.items())
        while True:
            answer = self._answer(f"{question} {labels}", f"({default}) ", flag).lower() or default
            for letter, label in choices.items():
                if answer in {letter, label.lower()}:
                    return letter
            self.note(f"please answer one of {', '.join(choices)}")

    def progress(
        self, text: str, amount: Callable[[], str] | None = None
    ) -> AbstractContextManager[None]:
        """Show `text` with a spinner while the body runs: after a second, on a terminal only.

        `amount` says, in our own words, how far it is; it is called from another thread.
        """
        if not is_terminal(self.stderr):
            return nullcontext()
        from clsecure.spinner import spinning  # threading, only at a terminal

        return spinning(self.stderr, escape(text), amount)

    def flush(self) -> None:
        """Hand over what is buffered. Raises BrokenPipeError when the reader has gone."""
        self.stdout.flush()
        self.stderr.flush()

    def _answer(self, question: str, suffix: str, flag: str) -> str:
        if not self.can_ask:
            raise UserError(f"cannot ask: {question}", hint=f"give {flag}", code=ExitCode.USAGE)
        self.stdout.flush()
        self.stderr.write(f"{self._styled(self.stderr, question, Style.BOLD)} {escape(suffix)}")
        self.stderr.flush()
        try:
            line = self._stdin.readline()
        except KeyboardInterrupt:
            self.stderr.write("\n")  # what comes next begins a line of its own
            raise
        if not line:
            self.stderr.write("\n")
            raise UserError("the input ended", hint=f"give {flag}", code=ExitCode.INTERRUPTED)
        return line.strip()

    def _styled(
        self, stream: TextIO, text: str, style: Style | None, *, multiline: bool = False
    ) -> str:
        safe = escape(text, multiline=multiline)
        if style is None or self._plain or not is_terminal(stream):
            return safe
        return f"\x1b[{style}m{safe}\x1b[0m"

    @staticmethod
    def _write(stream: TextIO, line: str) -> None:
        stream.write(f"{line}\n")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits at the stream; also of one that is closed or missing."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _marked(letter: str, label: str) -> str:
    before, found, after = label.partition(letter)
    return f"{before}[{letter}]{after}" if found else f"[{letter}] {label}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    import unicodedata  # as above

    return sum(
        0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in text
    )
