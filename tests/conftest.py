"""What all tests share; being here also puts `testkit` and `world` on the path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import leftovers
from world import Human, new_human

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_configure(config):
    config.pluginmanager.register(leftovers)
    config.addinivalue_line("markers", "client: needs the real `claude` program")
    config.addinivalue_line("markers", "root: needs root on the real system")


def pytest_collection_modifyitems(items):
    if os.geteuid() == 0:
        return
    if os.environ.get("CI"):
        raise pytest.UsageError("in CI the tests must run as root: nothing is skipped there")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="module")
def human() -> Iterator[Human]:
    """A human for a module's tests, who is removed after them."""
    with new_human() as made:
        yield made
