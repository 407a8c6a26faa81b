"""Which modes of the terminal a program has switched on, so that they can be undone for it."""

from __future__ import annotations

import re

ALTERNATE_SCREENS = (47, 1047, 1049)

# DEC private modes that are off in a shell, and those that are on. Reference: XTerm Control
# Sequences, "Private Mode Set"; 2026, 2031 and 2048 are later additions of several terminals.
_OFF_IN_A_SHELL = frozenset(
    {1, 9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 2048}
)
_ON_IN_A_SHELL = frozenset({7, 25})

_SEQUENCE = re.compile(
    rb"\x1b(?:"
    rb"\[\?(?P<modes>[\d;]{1,60})(?P<switch>[hl])"
    rb"|\[(?P<kitty>[<>=])(?P<keys>[\d;]{0,9})u"  # the kitty keyboard protocol: pop, push, set
    rb"|\[>4(?:;(?P<other>\d{0,4}))?m"  # xterm's modifyOtherKeys
    rb"|\[(?P<style>\d{0,4}) q"  # cursor shape
    rb"|\[(?P<region>[\d;]{0,19})r"  # scroll region
    rb"|(?P<keypad>[=>])"
    rb"|(?P<reset>c)"
    rb")"
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[<>=?]?[\d;]{0,60} ?)?\Z")


class ScreenModes:
    """Reads a program's output as it passes and knows what it would have to undo.

    `feed` takes any pieces of the output, also ones that cut a sequence in two.
    """

    def __init__(self) -> None:
        self._modes: set[int] = set()
        self._alternate: int | None = None
        self._pushed = {False: 0, True: 0}
        self._other_keys = False
        self._cursor_style = False
        self._scroll_region = False
        self._keypad = False
        self._rest = b""

    def feed(self, data: bytes) -> bool:
        """Take note of `data`; True when `undo` may have changed."""
        if not self._rest and b"\x1b" not in data:
            return False
        text = self._rest + data
        changed = False
        for match in _SEQUENCE.finditer(text):
            self._note(match)
            changed = True
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished[0] if unfinished else b""
        return changed

    def undo(self) -> bytes:
        """Output that puts the terminal back as a shell expects it; empty when nothing is on."""
        parts = []
        if self._alternate is not None:
            parts += [self._pop(alternate=True), b"\x1b[?%dl" % self._alternate]
        parts.append(self._pop(alternate=False))
        if self._scroll_region:
            parts.append(b"\x1b7\x1b[r\x1b8")  # resetting the region moves the cursor
        parts += [
            b"\x1b[?%d%c" % (mode, b"h" if mode in _ON_IN_A_SHELL else b"l")
            for mode in sorted(self._modes)
        ]
        if self._other_keys:
            parts.append(b"\x1b[>4m")
        if self._keypad:
            parts.append(b"\x1b>")
        if self._cursor_style:
            parts.append(b"\x1b[0 q")
        sequence = b"".join(parts)
        return sequence + b"\x1b[0m" if sequence else b""

    def _forget(self) -> None:
        self._modes.clear()
        self._alternate = None
        self._pushed = {False: 0, True: 0}
        self._other_keys = self._cursor_style = self._scroll_region = self._keypad = False

    def _pop(self, *, alternate: bool) -> bytes:
        pushed = self._pushed[alternate]
        return b"\x1b[<%du" % pushed if pushed else b""

    def _note(self, match: re.Match[bytes]) -> None:
        if match["modes"]:
            for number in match["modes"].split(b";"):
                if number:
                    self._switch(int(number), on=match["switch"] == b"h")
        elif match["kitty"]:
            self._keyboard(match["kitty"], match["keys"])
        elif match["reset"]:
            self._forget()
        elif match["keypad"]:
            self._keypad = match["keypad"] == b"="
        elif match["style"] is not None:
            self._cursor_style = match["style"] not in {b"", b"0"}
        elif match["region"] is not None:
            self._scroll_region = match["region"] not in {b"", b";"}
        else:
            self._other_keys = match["other"] not in {None, b"", b"0"}

    def _switch(self, mode: int, *, on: bool) -> None:
        if mode in ALTERNATE_SCREENS:
            self._alternate = mode if on else None
            self._pushed[True] = 0
        elif mode in _OFF_IN_A_SHELL:
            (self._modes.add if on else self._modes.discard)(mode)
        elif mode in _ON_IN_A_SHELL:
            (self._modes.discard if on else self._modes.add)(mode)

    def _keyboard(self, action: bytes, keys: bytes) -> None:
        """Each screen has a stack of its own (kitty keyboard protocol, progressive enhancement)."""
        screen = self._alternate is not None
        if action == b">":
            self._pushed[screen] += 1
        elif action == b"<":
            self._pushed[screen] = max(0, self._pushed[screen] - int(keys or b"1"))
        else:
            self._pushed[screen] = max(self._pushed[screen], int(keys.split(b";")[0] or b"0") > 0)
