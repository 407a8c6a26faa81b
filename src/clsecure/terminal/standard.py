"""The terminal on our standard streams: whether there is one, how large it is, how it is set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clsecure.terminal.watcher import Attributes

IN, OUT = 0, 1
_USUAL_SIZE = (24, 80)


def has_terminal() -> bool:
    """Whether standard input and output are both a terminal."""
    return os.isatty(IN) and os.isatty(OUT)


def terminal_size() -> tuple[int, int]:
    """Rows and columns of the terminal on standard input; 24 by 80 where they are unknown."""
    try:
        size = os.get_terminal_size(IN)
    except OSError:
        return _USUAL_SIZE
    return (size.lines or _USUAL_SIZE[0], size.columns or _USUAL_SIZE[1])


def terminal_attributes() -> Attributes:
    """Read what `relay_terminal` shall restore; before sudo runs, which changes it."""
    import termios

    return termios.tcgetattr(IN)
