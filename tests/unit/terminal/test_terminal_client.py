"""The real client, interactive, behind the relay: it draws, resizes, is suspended and goes on."""

from __future__ import annotations

import json
import sys

import pexpect
import pytest
from terminalworld import FRONT, SOURCE

from testkit import Running

KEY = "placeholder-key-of-the-test"


@pytest.fixture(name="home")
def _home(tmp_path):
    """A home in which the client starts straight at its prompt."""
    project = tmp_path / "project"
    project.mkdir()
    state = {
        "hasCompletedOnboarding": True,
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
        "projects": {str(project): {"hasTrustDialogAccepted": True}},
    }
    (tmp_path / ".claude.json").write_text(json.dumps(state))
    (tmp_path / ".claude").mkdir()
    settings = {"skipDangerousModePermissionPrompt": True}
    (tmp_path / ".claude/settings.json").write_text(json.dumps(settings))
    return tmp_path


@pytest.mark.client
def test_the_real_client_is_suspended_and_goes_on(client, home):
    with Running({"scope": "prompt", "turns": ["the scripted answer"]}) as api:
        shell = pexpect.spawn(
            "/bin/bash",
            ["--norc", "--noprofile", "-i"],
            env={
                "HOME": str(home),
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": str(SOURCE),
                "TERM": "xterm-256color",
                "PS1": "shell$ ",
                "HISTFILE": "",
                "IS_SANDBOX": "1",
                "ANTHROPIC_BASE_URL": api.url,
                "ANTHROPIC_API_KEY": KEY,
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
            },
            cwd=home / "project",
            dimensions=(40, 120),
            timeout=30,
        )
        try:
            shell.expect_exact("shell$ ")
            shell.sendline(f"{sys.executable} {FRONT} -- {client} --dangerously-skip-permissions")
            shell.expect("bypass.{0,40}permissions")
            shell.send("hello")
            shell.expect("hello")
            shell.send("\r")
            shell.expect("scripted.{0,20}answer")
            shell.send("\x1a")
            shell.expect("Stopped")
            shell.expect_exact("shell$ ")
            shell.setwinsize(30, 100)
            shell.sendline("fg")
            shell.expect("bypass.{0,40}permissions")
            shell.send("again")
            shell.expect("again")
            shell.send("\x03\x03")
            shell.expect_exact("shell$ ")
        finally:
            shell.close(force=True)
