"""A person's plugins work inside, at the same path, and no credential is among them."""

from __future__ import annotations

import pytest

from e2e.boxes import BOXES
from e2e.claudeworld import furnish_market

pytestmark = pytest.mark.client

_TOKEN = "ghp_0123456789abcdef0123456789abcdef0123"
_SECRETS = {
    "marketplaces/other/.git/config": f"[remote]\nurl = https://x:{_TOKEN}@example.org/o.git\n",
    "cache/market/greeter/1.0.0/.env": "PLAIN=secret-of-a-file\n",
    "cache/market/other/1.0.0/.mcp.json": f'{{"mcpServers": {{"o": {{"url": "{_TOKEN}"}}}}}}',
}
_PLAIN = {
    "marketplaces/plain/.git/config": "[remote]\nurl = git@example.org:o.git\n",
    "cache/market/plain/1.0.0/.mcp.json": '{"headers": {"Authorization": "Bearer ${TOKEN}"}}',
}
_FIND = f"command grep -rlE '{_TOKEN}|secret-of-a-file' ~ 2>/dev/null; true"


@pytest.fixture(scope="module")
def plugins(human, client):
    """The person's plugins, one of which is installed by the real client, with secrets in them."""
    furnish_market(human, client, {"PATH": f"{client.parent}:{human.environment['PATH']}"})
    place = human.home / ".claude/plugins"
    for name, text in {**_SECRETS, **_PLAIN}.items():
        human.write(place / name, text)
    return place


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_an_installed_plugin_works(human, kind, play, plugins):
    top = human.repository(f"src/plugins-{kind}")
    tool = {"name": "mcp__plugin_greeter_weather__forecast", "input": {}}
    look = "cat plugged.txt ~/.claude/plugins/cache/market/greeter/1.0.0/commands/hi.md"
    api, variables = play([{"tool": tool}, {"bash": look}, "done"])
    ran = human.clsecure(*kind.flags, "--", "-p", "go", cwd=top, env=variables)
    assert ran.stdout == "done\n"
    weather, shell = (each["text"] for each in api.tool_results()[-2:])
    assert weather == "sunny, with [], alone"
    assert "a hook of a plugin" in shell
    assert "Greet in Latin." in shell
    for name in _SECRETS:
        assert f"not in the session: {plugins}/{name}: by " in ran.stderr
    for name in _PLAIN:
        assert name not in ran.stderr


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_no_credential_among_them_is_read_and_nothing_done_to_them_comes_out(human, kind, plugins):
    top = human.repository(f"src/closed-{kind}")
    script = (
        f"{_FIND}; cd ~/.claude/plugins && echo x > new && rm -rf cache known_marketplaces.json"
    )
    words = ("exec", *kind.flags, "--", "sh", "-c", script)
    assert human.clsecure(*words, cwd=top).stdout == ""
    kept = human.clsecure("exec", *kind.flags, "--", "ls", plugins, cwd=top).stdout.split()
    assert kept == ["installed_plugins.json", "marketplaces", "new"]
    assert not (plugins / "new").exists()
    assert (plugins / "cache/market/greeter/1.0.0/server.py").exists()
    # What runs on the way home is a worker's too.
    human.write(top / ".clsecure/on-cleanup", f"{_FIND} > found.txt; cat found.txt", mode=0o755)
    ended = human.clsecure("discard", "--yes", cwd=top)
    assert ".claude" not in ended.stdout + ended.stderr


def test_control_the_human_reads_them_all(human, plugins):
    found = human.run("sh", "-c", _FIND).stdout.split()
    assert {f"{plugins}/{name}" for name in _SECRETS} <= set(found)


def test_a_directory_of_links_is_followed_and_hide_keeps_it_outside(human, plugins):
    top = human.repository("src/linked")
    moved = human.home / "dotfiles/plugins"
    human.run("mkdir", "-p", moved.parent)
    human.run("mv", plugins, moved)
    human.run("ln", "-s", moved, plugins)
    try:
        look = ("--", "sh", "-c", "ls ~/.claude/plugins; cat ~/.claude/plugins/cache/*/*/*/.env")
        shown = human.clsecure("exec", "-s", "a", *look, cwd=top, code=None)
        assert "known_marketplaces.json" in shown.stdout
        assert "secret" not in shown.stdout
        hide = ("--hide", "~/.claude/plugins")
        hidden = human.clsecure("exec", "-s", "b", *hide, *look, cwd=top, code=None)
        assert hidden.stdout == ""
    finally:
        human.run("rm", plugins)
        human.run("mv", moved, plugins)
