"""A sign of life for what takes longer than a second."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import TextIO

_DELAY = 1.0  # seconds; what is quicker needs no sign of life
_STEP = 0.12


@contextmanager
def spinning(stream: TextIO, text: str) -> Iterator[None]:
    """Turn a sign before `text` (escaped already) while the body runs, then clear the line."""
    ended = threading.Event()
    thread = threading.Thread(target=_turn, args=(stream, text, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _turn(stream: TextIO, text: str, ended: threading.Event) -> None:
    if ended.wait(_DELAY):
        return
    shown = text[: max(shutil.get_terminal_size().columns - 3, 10)]
    for sign in cycle("|/-\\"):
        stream.write(f"\r{sign} {shown}")
        stream.flush()
        if ended.wait(_STEP):
            break
    stream.write("\r\x1b[2K")
    stream.flush()
