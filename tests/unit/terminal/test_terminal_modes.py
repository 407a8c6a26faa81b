"""Undoing what a program switched on, and telling what Ctrl-Z was meant for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clsecure.terminal.screen import ScreenModes
from clsecure.terminal.suspend import (
    GIVE_UP_SECONDS,
    SETTLED_SECONDS,
    Mode,
    SuspendKey,
    SuspendWatch,
)

FULL_SCREEN = (
    b"\x1b[>1u\x1b[?1049h\x1b[>3u\x1b[?1000;1006h\x1b[?2004h\x1b[?25l\x1b[>4;2m\x1b[2;20r\x1b[4 q"
    b"\x1b=text\x1b[31mred\x1b[0m\x1b[2J"
)
SWITCHED_OFF = (
    b"\x1b[<u\x1b[?1049l\x1b[<u\x1b[?1006;1000l\x1b[?2004l\x1b[?25h\x1b[>4m\x1b[r\x1b[ q\x1b>"
)


def after(*pieces):
    modes = ScreenModes()
    for piece in pieces:
        modes.feed(piece)
    return modes.undo()


def test_nothing_is_written_after_ordinary_output():
    assert after(b"plain \x1b[1mbold\x1b[0m \x1b[10;5H\x1b[?1;2c text") == b""


def test_each_mode_is_undone():
    undo = after(FULL_SCREEN)
    for sequence in (
        b"\x1b[?1049l",
        b"\x1b[?1000l",
        b"\x1b[?1006l",
        b"\x1b[?2004l",
        b"\x1b[?25h",
        b"\x1b[>4m",
        b"\x1b[r",
        b"\x1b[0 q",
        b"\x1b>",
    ):
        assert sequence in undo
    # The alternate screen's keyboard stack is popped on it, the main screen's after it is left.
    assert undo.index(b"\x1b[<1u") < undo.index(b"\x1b[?1049l") < undo.rindex(b"\x1b[<1u")


def test_a_program_that_cleans_up_needs_nothing():
    assert after(FULL_SCREEN, SWITCHED_OFF) == b""


def test_a_full_reset_undoes_everything():
    assert after(FULL_SCREEN, b"\x1bc") == b""


def test_the_undo_sequence_undoes():
    assert after(FULL_SCREEN, after(FULL_SCREEN)) == b""


@given(st.lists(st.integers(0, len(FULL_SCREEN)), max_size=8))
def test_sequences_cut_in_two_are_understood(cuts):
    edges = sorted({0, *cuts, len(FULL_SCREEN)})
    pieces = [FULL_SCREEN[a:b] for a, b in pairwise(edges)]
    assert after(*pieces) == after(FULL_SCREEN)


def test_an_endless_number_is_no_mode():
    assert after(b"\x1b[?" + b"1" * 9000 + b"h", b"\x1b[>" + b"1" * 9000 + b"u") == b""


@given(st.binary(max_size=200))
def test_any_output_is_survived_and_its_undo_undoes(data):
    undo = after(data)
    assert after(data + b"\x18", undo) == b""


def test_the_suspend_key_in_its_forms():
    for key in (b"\x1a", b"\x1b[122;5u", b"\x1b[122;5:1u", b"\x1b[122;133u", b"\x1b[27;5;122~"):
        assert SuspendKey().in_input(b"ab" + key + b"cd")
    for other in (b"z", b"\x1b[122u", b"\x1b[122;5:3u", b"\x1b[121;5u"):
        assert not SuspendKey().in_input(other)


def test_the_suspend_key_in_two_reads_is_found_once():
    key = SuspendKey()
    assert [key.in_input(part) for part in (b"\x1b[12", b"2;5u", b"x")] == [False, True, False]


RAW = Mode(canonical=False, suspend_key=False, foreground=7)
COOKED = Mode(canonical=True, suspend_key=True, foreground=7)
INNER_SHELL = Mode(canonical=True, suspend_key=True, foreground=8)


def watch(before, *observed):
    """Give the first time at which the answer is to stop, None when it never is."""
    watching = SuspendWatch()
    watching.key_typed(before, 0.0)
    for now, mode in observed:
        if watching.observe(mode, now):
            return now
    assert not watching.watching
    return None


def test_a_full_screen_program_that_gives_its_terminal_back_is_followed():
    late = 0.31 + SETTLED_SECONDS
    assert watch(RAW, (0.1, RAW), (0.3, COOKED), (0.4, COOKED), (late, COOKED)) == late


def test_a_program_that_goes_on_is_left_alone():
    assert watch(RAW, (0.1, RAW), (GIVE_UP_SECONDS, RAW)) is None


def test_a_short_canonical_moment_is_not_enough():
    assert watch(RAW, (0.1, COOKED), (0.13, RAW), (GIVE_UP_SECONDS, RAW)) is None


def test_a_plain_program_is_followed():
    assert watch(COOKED, (SETTLED_SECONDS, COOKED)) == SETTLED_SECONDS


def test_a_shell_in_the_box_keeps_its_job_control():
    assert watch(COOKED, (0.03, INNER_SHELL), (1.0, INNER_SHELL)) is None


def test_a_program_that_reads_the_key_as_a_character_is_left_alone():
    assert watch(Mode(canonical=True, suspend_key=False, foreground=7)) is None
