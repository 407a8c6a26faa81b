"""MCP servers and hooks start as on the host, wherever in the home they lie; what lacks is said."""

from __future__ import annotations

import json

import pytest

from e2e.boxes import BOXES
from e2e.claudeworld import SERVER
from world.registry import Registry

pytestmark = pytest.mark.client

_WORKED = "sunny, with ['PLACE'], a sibling"
_TOOL = {"name": "mcp__weather__forecast", "input": {}}
_PACKAGE = '{"name": "tiny-weather", "version": "1.0.0", "bin": {"tiny-weather": "server.py"}}'


def _declare(human, servers, settings=None):
    human.write(".claude.json", json.dumps({"mcpServers": servers}), mode=0o600)
    human.write(".claude/settings.json", json.dumps(settings or {}), mode=0o600)


def _lay_out(human):
    """The ways in which people have servers of their own: name to declaration."""
    home = human.home
    for place in ("mcp/script", "mcp/package/src", "mcp/env/app"):
        human.write(f"{place}/server.py", f"#!/usr/bin/env python3\n{SERVER}", mode=0o755)
        human.write(f"{place}/sibling.py", 'WORD = "a sibling"\n')
    human.write("mcp/script/requirements.txt", "")
    human.write("mcp/package/pyproject.toml", '[project]\nname = "weather"\n')
    human.write("mcp/package/.env", "WEATHER_KEY=secret\n")
    human.write("mcp/env/pyproject.toml", '[project]\nname = "weather"\n')
    human.run("python3", "-m", "venv", "--without-pip", home / "mcp/env/.venv")
    return {
        "a program": {"command": f"{home}/mcp/script/server.py"},
        "a script": {"command": "python3", "args": [f"{home}/mcp/package/src/server.py"]},
        "its own environment": {
            "command": f"{home}/mcp/env/.venv/bin/python",
            "args": ["-u", f"{home}/mcp/env/app/server.py"],
        },
        "the home by its variable": {
            "command": "python3",
            "args": ["${HOME}/mcp/script/server.py"],
        },
    }


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_servers_elsewhere_in_the_home_start(human, kind, play):
    top = human.repository(f"src/mcp-{kind}")
    for number, (name, server) in enumerate(_lay_out(human).items()):
        _declare(human, {"weather": {**server, "env": {"PLACE": "here"}}})
        api, variables = play([{"tool": _TOOL}, {"bash": "cat ~/mcp/package/.env"}, "done"])
        options = ("-s", f"n{number}", *kind.flags)
        ran = human.clsecure(*options, "--", "-p", "go", cwd=top, env=variables)
        weather, secret = (each["text"] for each in api.tool_results()[-2:])
        assert weather == _WORKED, name
        assert "WEATHER_KEY" not in secret
        assert "warning: the MCP server" not in ran.stderr, name


def test_what_was_downloaded_for_npx_starts_without_a_network(human, play):
    """A package from a registry of the test's, in the person's cache of npx."""
    top = human.repository("src/npx")
    human.write("tiny/package.json", _PACKAGE)
    human.write("tiny/server.py", f"#!/usr/bin/env python3\n{SERVER}", mode=0o755)
    human.write("tiny/sibling.py", 'WORD = "a sibling"\n')
    human.run("npm", "pack", "--silent", cwd=human.home / "tiny")
    spec = f"file:{human.home}/tiny/tiny-weather-1.0.0.tgz"
    human.run("npx", "-y", spec, cwd=top, seconds=100)
    assert list((human.home / ".npm/_npx").iterdir())
    server = {"command": "npx", "args": ["-y", spec], "env": {"PLACE": "here"}}
    _declare(human, {"weather": server})
    api, variables = play([{"tool": _TOOL}, "done"])
    human.clsecure("--", "-p", "go", cwd=top, env=variables)
    assert api.tool_results()[-1]["text"] == _WORKED
