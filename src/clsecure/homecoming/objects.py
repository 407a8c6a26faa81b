"""Asks the human's git which objects it has, in a partial clone too, and fetches none of them.

Up to git 2.44 nothing keeps `cat-file` from fetching what is missing from its remote; where no
protocol is allowed it dies at the first such object, and is asked again for those after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from clsecure.git import Git

MISSING = "missing"
# For `rev-list` and `pack-objects`: what a remote has promised may be missing, nothing else.
PROMISED = "--missing=allow-promisor"
_PATIENCE = 1000  # objects that git may die of; later ones count as missing


class Object(NamedTuple):
    """An object by its id: its type, or MISSING, and its size in bytes."""

    oid: str
    kind: str
    size: int


def look_up(
    git: Git, oids: Iterable[str], env: Mapping[str, str] | None = None
) -> Iterator[Object]:
    """Yield what each id stands for, in their order."""
    asked = list(oids)
    for _ in range(_PATIENCE):
        if not asked:
            return
        ended = git.run(
            "cat-file",
            "--batch-check",
            stdin="".join(f"{oid}\n" for oid in asked).encode(),
            env=env,
            check=False,
        )
        lines = ended.text.splitlines()[: len(asked)]
        for line in lines:
            oid, kind, *size = line.split(" ")
            yield Object(oid, kind, int(size[0]) if size else 0)
        asked = asked[len(lines) :]
        if asked:
            yield Object(asked.pop(0), MISSING, 0)
    for oid in asked:
        yield Object(oid, MISSING, 0)


def is_partial(git: Git) -> bool:
    """Return whether a remote has promised the objects that the repository lacks."""
    promised = r"^(extensions\.partialclone|remote\..*\.(promisor|partialclonefilter))$"
    return not git.run("config", "--get-regexp", promised, check=False).returncode
