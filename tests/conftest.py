"""What all tests share; being here also puts `testkit` on the path."""

from __future__ import annotations


def pytest_configure(config):
    config.addinivalue_line("markers", "client: needs the real `claude` program")
