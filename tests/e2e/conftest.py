"""The whole program on the real system, with the real client where that is the point."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.boxes import BOXES, Kind
from testkit import Running
from world.internet import Internet, inside, new_internet

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-ant-test-0123456789abcdefghijklmnopqrstuvwxyz"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.root)


def pytest_generate_tests(metafunc):
    if "kind" in metafunc.fixturenames and not _is_parametrized(metafunc):
        metafunc.parametrize("kind", BOXES, ids=str, indirect=True)


def _is_parametrized(metafunc):
    marks = metafunc.definition.iter_markers("parametrize")
    names = [mark.args[0] for mark in marks]
    return any("kind" in (one.split(",") if isinstance(one, str) else one) for one in names)


@pytest.fixture
def kind(request) -> Kind:
    """Which box the test is about: mode, engine and workspace, and the flags that ask for it."""
    return request.param


@pytest.fixture(scope="module")
def internet(human, tmp_path_factory) -> Iterator[Internet]:
    """A small internet, on which the module's human lives."""
    with new_internet(tmp_path_factory.mktemp("internet")) as made, inside(human, made):
        yield made


@pytest.fixture
def play(client, human):
    """Start the fake API with a scenario; returns it, and what leads the client to it."""
    running = []

    def start(scenario, **options):
        api = Running(scenario, show_credentials=True, **options)
        running.append(api.__enter__())
        variables = {
            "PATH": f"{client.parent}:{human.environment['PATH']}",
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CODE_MAX_RETRIES": "1",
        }
        return api, variables

    yield start
    for api in running:
        api.__exit__(None, None, None)
