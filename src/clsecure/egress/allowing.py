"""The words of `allow`, completed and checked: what a session's gateway is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from clsecure.egress.registries import expand
from clsecure.egress.rules import parse_rule


def complete(words: Iterable[str], environ: Mapping[str, str], project: Path) -> tuple[str, ...]:
    """Return the rules that the words stand for, `@pip` and its kin by their hosts.

    Raises UserError for what is no rule, and for a registry that nothing is known of.
    """
    texts: dict[str, None] = {}
    for word in words:
        for text in expand(word, environ, project) if word.startswith("@") else (word,):
            texts[parse_rule(text).text] = None
    return tuple(texts)
