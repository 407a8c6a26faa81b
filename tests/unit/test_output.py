"""The only writer to the terminal, on pipes and on a real pseudo-terminal."""

import io
import json
import os
import pty
import select
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.errors import ExitCode, UserError
from clsecure.output import Output, Style, escape

HOSTILE = "a\x1b[2Jb\rc\nd\u202ee\x9bf\x00"
SAFE = r"a\x1b[2Jb\x0dc\x0ad\u202ee\x9bf\x00"


@given(st.text() | st.binary())
def test_escaped_text_has_no_effect_on_a_terminal(text):
    assert all(sign == " " or sign.isprintable() for sign in escape(text))


def test_escape_keeps_what_can_be_read():
    assert escape("größe 日本 \U0001f600 e\u0301") == "größe 日本 \U0001f600 e\u0301"
    assert escape(b"caf\xe9") == r"caf\xe9"
    assert escape("\U000e0001") == r"\U000e0001"
    assert escape("a\tb\nc", multiline=True) == "a\tb\nc"


class Pipes:
    def __init__(self, **settings):
        self.out, self.err = io.StringIO(), io.StringIO()
        self.output = Output(self.out, self.err, stdin=io.StringIO(), environ={}, **settings)


def test_everything_is_escaped():
    pipes = Pipes()
    pipes.output.say(HOSTILE)
    pipes.output.note(HOSTILE)
    pipes.output.warn(HOSTILE)
    pipes.output.error(HOSTILE, HOSTILE)
    pipes.output.table(("name",), [(HOSTILE,)])
    assert pipes.out.getvalue() == f"{SAFE}\nname\n{SAFE}\n"
    assert pipes.err.getvalue() == (f"{SAFE}\nwarning: {SAFE}\nclsecure: {SAFE}\nhint: {SAFE}\n")


def test_json_is_ascii_and_comes_back():
    pipes = Pipes()
    pipes.output.json({"name": HOSTILE + "\udcff\x7f"})
    text = pipes.out.getvalue()
    assert text.isascii()
    assert "\x1b" not in text
    assert "\x7f" not in text
    assert json.loads(text) == {"name": HOSTILE + "\udcff\x7f"}


def test_table_without_a_terminal():
    pipes = Pipes()
    pipes.output.table(("name", "value"), [("a", "1"), ("日本", "[red]"), ("long one", "")])
    assert pipes.out.getvalue() == ("name      value\na         1\n日本      [red]\nlong one\n")


def test_an_empty_table_has_its_headers():
    pipes = Pipes()
    pipes.output.table(("name",), [])
    assert pipes.out.getvalue() == "name\n"


class TestWithoutInput:
    @pytest.mark.parametrize(
        "question",
        [
            lambda output: output.ask("Which branch?", flag="--branch NAME"),
            lambda output: output.confirm("Sure?", default=True),
            lambda output: output.choose("And now?", {"k": "keep"}, default="k", flag="--on-exit"),
        ],
    )
    def test_a_question_names_the_flag(self, question):
        with pytest.raises(UserError) as caught:
            question(Pipes().output)
        assert caught.value.code is ExitCode.USAGE
        assert caught.value.message.startswith("cannot ask: ")
        assert caught.value.hint.startswith("give --")

    def test_yes(self):
        output = Pipes(yes=True).output
        assert output.confirm("Sure?", default=False) is True
        assert output.ask("Which branch?", default="main", flag="--branch") == "main"
        with pytest.raises(UserError):
            output.ask("Which branch?", flag="--branch")
        with pytest.raises(UserError):
            output.choose("And now?", {"k": "keep"}, default="k", flag="--on-exit")


class Terminal:
    """An Output whose three streams are a real pseudo-terminal."""

    def __init__(self, **settings):
        self.master, slave = pty.openpty()
        self.streams = [os.fdopen(os.dup(slave), kind) for kind in ("r", "w", "w")]
        os.close(slave)
        stdin, stdout, stderr = self.streams
        settings.setdefault("environ", {"NO_COLOR": "1"})
        self.output = Output(stdout, stderr, stdin=stdin, **settings)

    def type(self, text):
        os.write(self.master, text.encode())

    def screen(self, until):
        """What the terminal got, read until it holds `until`."""
        for stream in self.streams[1:]:
            stream.flush()
        shown = ""
        while until not in shown:
            assert select.select([self.master], [], [], 5)[0], f"{until!r} is not in {shown!r}"
            shown += os.read(self.master, 65536).decode()
        return shown

    def close(self):
        for stream in self.streams:
            stream.close()
        os.close(self.master)


@pytest.fixture
def terminal():
    made = []

    def make(**settings):
        made.append(Terminal(**settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_colour_only_on_a_terminal_that_wants_it(terminal):
    at = terminal(environ={"TERM": "xterm"})
    at.output.say("done", style=Style.GREEN)
    assert at.screen("\n") == "\x1b[32mdone\x1b[0m\r\n"
    for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        plain = terminal(environ=environ)
        plain.output.say("done", style=Style.GREEN)
        assert plain.screen("\n") == "done\r\n"


def test_table_on_a_terminal_takes_no_markup(terminal):
    at = terminal()
    at.output.table(("name",), [("[red]x[/red] :smile:",)])
    assert at.screen("[red]x[/red] :smile:")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("y\n", True), ("NO\n", False), ("\n", False), ("what\nyes\n", True)],
)
def test_confirm(terminal, typed, expected):
    at = terminal()
    at.type(typed)
    assert at.output.confirm("Sure?", default=False) is expected
    assert at.screen("Sure? [y/N] ")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("i\n", "i"), ("Discard\n", "c"), ("\n", "k"), ("x\nd\n", "d"), (" k \n", "k")],
)
def test_choose(terminal, typed, expected):
    at = terminal()
    choices = {"i": "import", "d": "diff", "k": "keep", "c": "discard"}
    at.type(typed)
    assert at.output.choose("And now?", choices, default="k", flag="--on-exit") == expected
    assert at.screen("And now? [i]mport, [d]iff, [k]eep, dis[c]ard (k) ")


def test_ask(terminal):
    at = terminal()
    at.type("a b \n\n")
    assert at.output.ask("Which?", default="main", flag="--branch") == "a b"
    assert at.output.ask("Which?", default="main", flag="--branch") == "main"


def test_end_of_input_is_an_interruption(terminal):
    at = terminal()
    at.type("\x04")
    with pytest.raises(UserError) as caught:
        at.output.confirm("Sure?", default=True)
    assert caught.value.code is ExitCode.INTERRUPTED


def test_no_input_holds_at_a_terminal(terminal):
    with pytest.raises(UserError):
        terminal(no_input=True).output.confirm("Sure?", default=True)


class TestProgress:
    def test_what_is_quick_shows_nothing(self, terminal):
        at = terminal()
        with at.output.progress("working"):
            pass
        at.output.note("ended")
        assert "working" not in at.screen("ended")
        assert threading.active_count() == 1

    def test_what_is_slow_shows_a_line_and_clears_it(self, terminal):
        at = terminal()
        with at.output.progress("working\x1b"):
            time.sleep(1.1)
        screen = at.screen("\r\x1b[2K")
        assert r"working\x1b" in screen

    def test_nothing_without_a_terminal(self):
        pipes = Pipes()
        with pipes.output.progress("working"):
            time.sleep(1.1)
        assert pipes.err.getvalue() == ""
