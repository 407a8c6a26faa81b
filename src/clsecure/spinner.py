"""A sign of life for what takes longer than a second."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import TextIO

_DELAY = 1.0  # seconds; what is quicker needs no sign of life
_STEP = 0.12


@contextmanager
def spinning(stream: TextIO, text: str, amount: Callable[[], str] | None = None) -> Iterator[None]:
    """Turn a sign before `text` (escaped already) while the body runs, then clear the line.

    `amount` is asked at each turn how far it is, and what it says stands behind the text.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_turn, args=(stream, text, amount, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _turn(
    stream: TextIO, text: str, amount: Callable[[], str] | None, ended: threading.Event
) -> None:
    if ended.wait(_DELAY):
        return
    width = max(shutil.get_terminal_size().columns - 3, 10)
    for sign in cycle("|/-\\"):
        behind = amount() if amount else ""
        stream.write(f"\r{sign} {text[: width - len(behind)]}{behind}\x1b[K")
        stream.flush()
        if ended.wait(_STEP):
            break
    stream.write("\r\x1b[2K")
    stream.flush()
