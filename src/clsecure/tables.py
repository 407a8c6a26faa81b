"""Tables on a terminal, drawn by rich; apart, because importing rich takes 40 ms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table


def draw(
    stream: TextIO, headers: Sequence[str], rows: Sequence[Sequence[str]], *, plain: bool
) -> None:
    """Draw escaped cells under headers, folded to the width of the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*row)
    # Brackets and colons in the cells are not ours, and mean nothing.
    console = Console(file=stream, no_color=plain, highlight=False, emoji=False, markup=False)
    console.print(table)
