"""What of a person's own Claude settings goes in, and that no secret of theirs does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clsecure import claudestate, endpoint

# Credentials in the shapes in which people have them, by where they may stand.
SECRETS = {
    "named": ("MY_API_KEY", "abc"),
    "token": ("GITHUB_TOKEN", "x"),
    "password": ("PGPASSWORD", "hunter2"),
    "anthropic": ("VALUE", "sk-ant-api03-0123456789"),
    "github": ("VALUE", "ghp_0123456789abcdef"),
    "fine-grained": ("VALUE", "github_pat_11AAAA"),
    "gitlab": ("VALUE", "glpat-abcdefgh"),
    "slack": ("VALUE", "xoxb-1-2-3"),
    "aws": ("VALUE", "AKIAIOSFODNN7EXAMPLE"),
    "jwt": ("VALUE", "eyJhbGciOiJIUzI1NiJ9.e30.x"),
    "address": ("VALUE", "postgres://me:secret@db/x"),
    "bearer": ("VALUE", "Bearer abc"),
    "query": ("VALUE", "https://example.org/mcp?api_key=abc"),
    "random": ("VALUE", "a8Kq29fLmZ0xY7bQ1wErT5uI3oPsD6gH"),
    "hexadecimal": ("VALUE", "0123456789abcdef" * 2),
}
HARMLESS = [
    ("NODE_ENV", "production"),
    ("LOG_LEVEL", "debug"),
    ("BASE_PATH", "/home/somebody/src/project/with/a/long/path"),
    ("API_KEY", "${API_KEY}"),
    ("API_KEY", ""),
    ("USE_TOKENS", "true"),
    ("URL", "https://example.org/mcp?page=2"),
    ("MAX_THINKING", "16000"),
]


@pytest.mark.parametrize("shape", SECRETS)
def test_credentials_are_told(shape):
    assert claudestate.is_secret(*SECRETS[shape])


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_what_is_none_is_kept(name, value):
    assert not claudestate.is_secret(name, value)


@pytest.mark.parametrize("shape", SECRETS)
def test_no_value_comes_through_in_any_place(shape):
    name, value = SECRETS[shape]
    secret = f"{value}"
    known = {
        "mcpServers": {
            "one": {"command": "x", "env": {name: secret, "PLAIN": "1"}},
            "two": {"url": "https://example.org", "headers": {"Authorization": secret}},
            "three": {"command": "x", "headersHelper": "print-it"},
        },
        "projects": {"/p": {"mcpServers": {"mine": {"command": "y", "env": {name: secret}}}}},
        "primaryApiKey": secret,
        "oauthAccount": {"emailAddress": secret},
    }
    kept, lacking = claudestate.state(known, (Path("/p"), Path("/p")))
    plugin = {"options": {name: secret, "colour": "red"}, "mcpServers": {"s": {name: secret}}}
    known = {"env": {name: secret}, "apiKeyHelper": secret, "pluginConfigs": {"p@m": plugin}}
    settings, also = claudestate.settings(known)
    said = json.dumps([kept, settings, lacking, also])
    if len(secret) > 3:
        assert secret not in said
    assert kept["mcpServers"]["one"]["env"] == {"PLAIN": "1"}
    assert kept["projects"]["/p"]["mcpServers"]["mine"]["env"] == {}
    assert settings["env"] == {}
    assert settings["pluginConfigs"] == {
        "p@m": {"options": {"colour": "red"}, "mcpServers": {"s": {}}}
    }
    assert len(lacking) == 4
    assert len(also) == 4


def test_a_credential_in_a_command_leaves_the_server_out():
    known = {"a": {"command": "x", "args": ["--key", "sk-ant-0123456789"]}, "b": {"command": "y"}}
    kept, lacking = claudestate.servers(known)
    assert list(kept) == ["b"]
    assert lacking == ["the MCP server a: a credential in its command or address"]


def test_servers_of_npx_ask_the_registry_last():
    servers = {"a": {"command": "npx"}, "b": {"command": "/usr/bin/npx", "env": {"A": "1"}}}
    servers |= {"c": {"command": "npx", "env": {"npm_config_prefer_offline": "false"}}}
    kept, lacking = claudestate.servers({**servers, "d": {"command": "uvx"}})
    first = {"npm_config_prefer_offline": "true"}
    environments = [kept[name].get("env") for name in "abcd"]
    assert environments == [first, {**first, "A": "1"}, servers["c"]["env"], None]
    assert lacking == []


def test_other_projects_stay_outside():
    known = {"projects": {"/other": {"mcpServers": {"x": {"command": "y"}}, "history": ["secret"]}}}
    assert claudestate.state(known, (Path("/p"),)) == ({}, [])


def test_settings_are_kept_but_for_what_asks_again():
    known = {
        "hooks": {"Stop": []},
        "statusLine": {"type": "command", "command": "~/.claude/statusline.sh"},
        "permissions": {"deny": ["Read(x)"], "disableBypassPermissionsMode": "disable"},
        "model": "opus",
    }
    kept, lacking = claudestate.settings(known)
    assert kept == {
        **known,
        "permissions": {"deny": ["Read(x)"]},
        "skipDangerousModePermissionPrompt": True,
        "skipWebFetchPreflight": True,
    }
    assert lacking == []


@pytest.mark.parametrize("odd", [None, [], "x", 3, {"env": 3}, {"env": {"A": None}}])
def test_odd_documents_are_borne(odd):
    claudestate.settings(odd if isinstance(odd, dict) else {"env": odd, "permissions": odd})
    claudestate.servers({"a": odd})
    claudestate.state({"mcpServers": odd, "projects": odd}, (Path("/p"),))
    claudestate.state({"projects": {"/p": odd}}, (Path("/p"),))


def test_variables_that_are_handed_over_are_neither_kept_nor_missing():
    known = {"env": {"ANTHROPIC_AUTH_TOKEN": "x", "ANTHROPIC_BASE_URL": "http://a", "PLAIN": "1"}}
    handed = {"ANTHROPIC_AUTH_TOKEN": "x", "ANTHROPIC_BASE_URL": "http://a"}
    kept, lacking = claudestate.settings(known, handed)
    assert kept["env"] == {"PLAIN": "1"}
    assert lacking == []


@pytest.mark.parametrize("content", ["", "[]", '{"env": 3}', '{"env": {"ANTHROPIC_MODEL": null}}'])
def test_settings_that_say_nothing_of_the_api(tmp_path, content):
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude/settings.json").write_text(content + " ANTHROPIC_MODEL" * (not content))
    assert endpoint.with_settings({"A": "1"}, tmp_path) == {"A": "1"}


def test_the_settings_gateway_wins_over_the_shells(tmp_path):
    (tmp_path / ".claude").mkdir()
    text = json.dumps({"env": {"ANTHROPIC_BASE_URL": "http://in.settings", "OTHER": "x"}})
    (tmp_path / ".claude/settings.json").write_text(text)
    found = endpoint.with_settings({"ANTHROPIC_BASE_URL": "http://in.shell"}, tmp_path)
    assert found == {"ANTHROPIC_BASE_URL": "http://in.settings"}


def test_files_that_people_write_are_there_and_programs_run(tmp_path):
    there = {
        "CLAUDE.md": 0o644,
        "statusline.sh": 0o755,
        "hooks/check.py": 0o755,
        "commands/deep/er.md": 0o644,
        "skills/one/SKILL.md": 0o644,
    }
    absent = (
        "history.jsonl",
        ".credentials.json",
        "projects/x/y.jsonl",
        "settings.json",
        "todos/x.md",
    )
    for name in (*there, *absent):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(there.get(name, 0o600))
    (tmp_path / "hooks/gone").symlink_to("nowhere")
    (tmp_path / "large.md").write_bytes(b"x" * (claudestate._MAX_FILE + 1))
    os.mkfifo(tmp_path / "pipe.sh")
    found, lacking = claudestate.files(tmp_path)
    assert lacking == ["~/.claude/large.md: it is larger than 1 MiB"]
    assert set(found) == {f".claude/{name}" for name in there}
    for name, mode in there.items():
        assert found[f".claude/{name}"].mode == (0o700 if mode & 0o100 else 0o600)


def test_no_directory_is_no_file(tmp_path):
    assert claudestate.files(tmp_path / "nowhere") == ({}, [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hooks/post.sh", "curl -H 'Authorization: Bearer ghp_0123456789abcdef0123'"),
        ("commands/ask.md", "use sk-ant-api03-0123456789abcdef"),
        ("scripts/key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("scripts/.env", "A=1"),
        ("bin/deploy.pem", "x"),
    ],
)
def test_a_file_with_a_credential_stays_outside_and_is_named(tmp_path, name, text):
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(text)
    (path.parent / "plain.md").write_text("use Bearer $TOKEN, as in sk-..., at https://a:b@host")
    found, lacking = claudestate.files(tmp_path)
    assert list(found) == [f".claude/{path.parent.name}/plain.md"]
    assert [line.partition(":")[0] for line in lacking] == [f"~/.claude/{name}"]
    assert text not in str(lacking)


def test_more_files_than_are_brought_are_told(tmp_path):
    (tmp_path / "commands").mkdir()
    for number in range(claudestate._MAX_FILES + 1):
        (tmp_path / f"commands/{number:04}.md").touch()
    found, lacking = claudestate.files(tmp_path)
    assert len(found) == claudestate._MAX_FILES
    assert len(lacking) == 1
    assert "0500.md and what comes after it" in lacking[0]


def test_a_credential_anywhere_in_settings_stays_outside():
    token = "ghp_0123456789abcdef0123"
    hook = {"hooks": [{"type": "command", "command": f"curl -H 'Authorization: {token}' x"}]}
    kept, lacking = claudestate.settings({"hooks": {"Stop": [hook]}, "model": "opus"})
    assert "hooks" not in kept
    assert kept["model"] == "opus"
    project = {"allowedTools": [f"Bash(curl {token})"], "enabledMcpjsonServers": ["a"]}
    state, also = claudestate.state({"projects": {"/p": project}}, (Path("/p"),))
    assert state["projects"]["/p"] == {"enabledMcpjsonServers": ["a"], "mcpServers": {}}
    assert token not in json.dumps([kept, state, lacking, also])
    assert len(lacking) == len(also) == 1
