"""What all tests share; being here also puts `testkit` and `world` on the path."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from world import Human, leftovers, new_human

if TYPE_CHECKING:
    from collections.abc import Iterator


_BEFORE = pytest.StashKey[frozenset[leftovers.Left]]()
_LEFT = pytest.StashKey[list[leftovers.Left]]()


def pytest_configure(config):
    config.addinivalue_line("markers", "client: needs the real `claude` program")
    config.addinivalue_line("markers", "root: needs root on the real system")


def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):  # one of several processes of a run
        descriptor, os.environ[leftovers.REGISTER] = tempfile.mkstemp(prefix="test-humans-")
        os.close(descriptor)
        session.stash[_BEFORE] = leftovers.leftovers()


@pytest.hookimpl(trylast=True)  # after xdist's own, which ends the other processes
def pytest_sessionfinish(session):
    if _BEFORE not in session.stash:
        return
    left = leftovers.new_since(session.stash[_BEFORE], leftovers.registered())
    Path(os.environ.pop(leftovers.REGISTER)).unlink()
    session.config.stash[_LEFT] = left
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    for one in config.stash.get(_LEFT, []):
        terminalreporter.write_line(f"LEFT BEHIND by this run: {one}", red=True)


def pytest_collection_modifyitems(items):
    if os.geteuid() == 0:
        return
    if os.environ.get("CI"):
        raise pytest.UsageError("in CI the tests must run as root: nothing is skipped there")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"  # a missing prerequisite
        report.longrepr = f"{item.nodeid} was skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def client() -> Path:
    """The real `claude`."""
    named = os.environ.get("CLSECURE_TEST_CLAUDE")
    path = Path(named) if named else Path(__file__).parents[1] / ".cache/claude/bin/claude"
    if not os.access(path, os.X_OK):
        pytest.skip("needs the real client: scripts/setup --dev installs it")
    return path


@pytest.fixture(scope="module")
def human() -> Iterator[Human]:
    """A human for a module's tests, who is removed after them."""
    with new_human() as made:
        yield made
