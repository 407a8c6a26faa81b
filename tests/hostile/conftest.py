"""What the hostile tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from world import Human, new_human

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def other() -> Iterator[Human]:
    """A second human of the same machine."""
    with new_human() as made:
        yield made
