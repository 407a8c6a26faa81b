"""A kept home before its agent starts again: settled anew where the answers in it are others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

from clsecure.credentials import Held
from clsecure.helper.engines import PYTHON


def mark(places: tuple[Path, ...], environ: Mapping[str, str], held: Held) -> str:
    """Return a mark that differs when `settling` would settle anything else.

    Not a digest to be relied on against anybody: it tells changes, and says little of the key.
    """
    key = environ.get("ANTHROPIC_API_KEY", "")
    words = [str(place) for place in places] + [key, held.login.reveal()]
    return f"{crc32(chr(0).join(words).encode(errors='surrogateescape')):08x}"


def settling(
    argv: tuple[str, ...], places: tuple[Path, ...], environ: Mapping[str, str], held: Held
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return command and variables that first settle a kept home, as the worker, for this start."""
    import json

    from clsecure.helper.inside import settle

    source = Path(settle.__file__).read_text(encoding="utf-8")
    trusted = json.dumps([str(place) for place in places])
    login = {settle.LOGIN: held.login.reveal()} if held.login else {}
    return (PYTHON, "-IS", "-c", source, trusted, *argv), {**environ, **login}
