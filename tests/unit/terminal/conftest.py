"""Fixtures of the terminal tests: real programs, on real terminals, under a real shell."""

from __future__ import annotations

import os

import pexpect
import pytest
from terminalworld import BASH, FULL_SCREEN, SOURCE, Front, ask


@pytest.fixture(name="screen")
def _screen(tmp_path):
    program = tmp_path / "screen.py"
    program.write_text(FULL_SCREEN)
    return f"/usr/bin/python3 -IS {program}"


@pytest.fixture(name="front")
def _front(tmp_path):
    return Front(f"front-of-{os.getpid()}-{tmp_path.name}")


@pytest.fixture(name="environment")
def _environment(tmp_path):
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(SOURCE),
        "PEER_LOG": str(tmp_path / "peer.log"),
        "TERM": "xterm",
        "HOME": str(tmp_path),
        "PS1": "shell$ ",
        "HISTFILE": "",
    }


@pytest.fixture(name="spawn")
def _spawn(environment):
    """Start programs on terminals of their own; all of them end with the test."""
    started = []

    def spawn(argv, **options):
        options = {"env": environment, "timeout": 10, "echo": True, "encoding": None, **options}
        started.append(pexpect.spawn(argv[0], argv[1:], **options))
        started[-1].delaybeforesend = None
        return started[-1]

    yield spawn
    for process in started:
        process.close(force=True)


@pytest.fixture(name="shell")
def _shell(spawn):
    # Wide, since readline draws its prompt again when a line wraps.
    shell = spawn(BASH, dimensions=(30, 500))
    shell.expect_exact("shell$ ")
    # Bracketed paste is bash's own and would blur what the tests look for.
    ask(shell, "bind 'set enable-bracketed-paste off'")
    return shell
