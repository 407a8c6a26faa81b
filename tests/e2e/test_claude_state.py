"""A person's own Claude settings, commands, hooks and MCP servers work inside, without secrets."""

from __future__ import annotations

import json

import pytest

from e2e.boxes import BOXES
from e2e.claudeworld import SERVER

pytestmark = pytest.mark.client

_SECRET = "wk-0f3a9c5e7b1d2468"
_HOOK = "#!/bin/sh\necho told by a hook of $(id -un) > hooked.txt\n"


def _furnish(human, top):
    server = {
        "command": "python3",
        "args": [f"{top}/tools/weather.py"],
        "env": {"PLACE": "here", "WEATHER_KEY": _SECRET},
    }
    state = {
        "mcpServers": {"weather": server},
        "projects": {"/elsewhere": {"history": [_SECRET]}},
        "primaryApiKey": _SECRET,
    }
    hook = {"type": "command", "command": f"{human.home}/.claude/hooks/note.sh"}
    settings = {
        "hooks": {"SessionStart": [{"hooks": [hook]}]},
        "env": {"GREETING": "hello", "DEPLOY_TOKEN": _SECRET},
    }
    human.write(".claude.json", json.dumps(state), mode=0o600)
    human.write(".claude/settings.json", json.dumps(settings), mode=0o600)
    human.write(".claude/hooks/note.sh", _HOOK, mode=0o755)
    human.write(".claude/CLAUDE.md", "Always speak of the weather in Lisbon.\n")
    human.write(".claude/history.jsonl", _SECRET)
    human.run("mkdir", "-p", ".claude/commands")
    human.run("ln", "-sf", "/root/far.md", ".claude/commands/far.md")


@pytest.mark.parametrize(
    "kind", [box for box in BOXES if "clone" not in str(box)], ids=str, indirect=True
)
def test_the_persons_own_settings_work_without_their_secrets(human, kind, play):
    top = human.repository(f"src/state-{kind}", {"tools/weather.py": SERVER})
    _furnish(human, top)
    scenario = [
        {"tool": {"name": "mcp__weather__forecast", "input": {}}},
        {
            "bash": "echo $GREETING; cat hooked.txt; env; ls ~/.claude; "
            "cat ~/.claude.json ~/.claude/settings.json ~/.claude/CLAUDE.md"
        },
        "done",
    ]
    api, variables = play(scenario)
    ran = human.clsecure(*kind.flags, "--", "-p", "go", cwd=top, env=variables)
    assert ran.stdout == "done\n"
    weather, shell = (each["text"] for each in api.tool_results()[-2:])
    assert weather == "sunny, with ['PLACE'], alone"
    assert "hello" in shell
    assert "told by a hook of claude-worker-state-" in shell
    assert "weather in Lisbon" in shell
    assert "history.jsonl" not in shell
    said = ran.stderr
    assert _SECRET not in shell + said
    assert "WEATHER_KEY of the MCP server weather: a credential" in said
    assert "DEPLOY_TOKEN of your Claude settings: a credential" in said
    state = json.loads((human.home / ".claude.json").read_text())
    assert state["primaryApiKey"] == _SECRET  # control: it is there for the person
    everywhere = f"grep -rl {_SECRET} ~ /tmp /run /proc/self/environ 2>/dev/null; true"
    assert human.clsecure("exec", "--", "sh", "-c", everywhere, cwd=top).stdout == ""
    assert human.run("sh", "-c", f"grep -l {_SECRET} ~/.claude.json").stdout


def test_a_gateway_in_the_persons_settings_is_the_one_that_is_asked(human, play):
    top = human.repository("src/gateway")
    api, variables = play({"turns": ["from the gateway"], "after": "from the gateway"})
    told = {"ANTHROPIC_BASE_URL": variables.pop("ANTHROPIC_BASE_URL"), "ANTHROPIC_AUTH_TOKEN": "tk"}
    variables["ANTHROPIC_API_KEY"] = ""
    human.write(".claude.json", "{}", mode=0o600)
    human.write(".claude/settings.json", json.dumps({"env": told}), mode=0o600)
    for _ in range(2):  # a first start, and a resume
        ran = human.clsecure("--", "-p", "go", cwd=top, env=variables)
        assert ran.stdout == "from the gateway\n"
        assert "not in the session" not in ran.stderr
    sent = [each for each in api.requests if each["path"].endswith("/v1/messages")]
    assert {each["headers"].get("authorization") for each in sent} == {"Bearer tk"}
