"""Which programs a person's Claude starts, read from settings of every shape."""

from __future__ import annotations

import json
import os

import pytest

from clsecure import agents, claudeplugins, claudeprograms
from clsecure.agents import arguments
from clsecure.choices import AgentName
from clsecure.claudeprograms import Program


def words(line, tmp_path):
    """The program of a hook with that line."""
    hook = {"hooks": [{"type": "command", "command": line}]}
    (tmp_path / ".claude").mkdir(exist_ok=True)
    text = json.dumps({"hooks": {"Stop": [hook]}})
    (tmp_path / ".claude/settings.json").write_text(text)
    return [(one.command, *one.arguments) for one in find(tmp_path)]


def find(tmp_path):
    return claudeprograms.find(str(tmp_path), str(tmp_path / "project"), str(tmp_path / "project"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jq -r .a", ("jq", "-r", ".a")),
        ("A=1 B=2 tool x", ("tool", "x")),
        ("~/bin/tool", ("HOME/bin/tool",)),
        ("$HOME/bin/tool", ("HOME/bin/tool",)),
        ("'/opt/tool' --x", ("/opt/tool", "--x")),
        ("python3 ~/x.py | tee log", ("python3", "HOME/x.py")),
        ("node a.js > log", ("node", "a.js")),
        ('echo "hello world"', None),
        ("if true; then x; fi", None),
        ("[ -e x ] && y", None),
        ('"$CLAUDE_PROJECT_DIR"/hook.sh', None),
        ("$(which x) y", None),
        ('"a b" c', None),
        ("A=1", None),
        ("| x", None),
        ("", None),
    ],
)
def test_the_program_of_a_shells_line(tmp_path, line, expected):
    found = [
        tuple(word.replace(str(tmp_path), "HOME") for word in one) for one in words(line, tmp_path)
    ]
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("command", "given", "paths", "others"),
    [
        ("/opt/x", (), ["/opt/x"], []),
        ("node", ("/d/a.js", "/d"), ["/d/a.js"], ["/d"]),
        ("node", ("--import", "tsx", "/d/a.ts"), ["/d/a.ts"], []),
        ("python3", ("-m", "server", "--config=/d/x.json"), [], ["/d/x.json"]),
        ("uv", ("--directory", "/d", "run", "a.py"), ["/d"], []),
        ("uv", ("run", "--project=/d", "a.py"), ["/d"], []),
        ("npx", ("-y", "file:/d/a.tgz"), ["/d/a.tgz"], []),
        ("npx", ("-y", "server-filesystem", "/d"), [], ["/d"]),
        ("sh", ("/d/plain",), ["/d/plain"], []),
        ("python3", ("/d/gone.py", "/d/gone.txt"), ["/d/gone.py"], []),
    ],
)
def test_paths_of_a_program(tmp_path, command, given, paths, others):
    for name in ("a.js", "a.ts", "x.json", "a.tgz", "plain"):
        (tmp_path / name).touch()
    here = str(tmp_path)
    one = Program("x", command, tuple(word.replace("/d", here) for word in given))
    assert [path.replace(here, "/d") for path in one.paths()] == paths
    assert [path.replace(here, "/d") for path in one.others()] == others


def test_servers_of_each_scope_and_whose_they_are(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    server = {"command": "x"}
    state = {
        "mcpServers": {"mine": server, "remote": {"type": "http", "url": "https://example.org"}},
        "projects": {
            str(project): {"mcpServers": {"local": server}, "disabledMcpjsonServers": ["no"]},
            "/other": {"mcpServers": {"others": server}},
        },
    }
    (tmp_path / ".claude.json").write_text(json.dumps(state, ensure_ascii=False) + "\n")
    (project / ".mcp.json").write_text(json.dumps({"mcpServers": {"shared": server, "no": server}}))
    found = {one.whose: one.is_mine for one in find(tmp_path)}
    assert found == {
        "the MCP server mine": True,
        "the MCP server local": True,
        "the MCP server shared": False,
    }
    named = state["mcpServers"] | {"größer": server}
    text = json.dumps({**state, "mcpServers": named}, ensure_ascii=False)
    (tmp_path / ".claude.json").write_text(text)
    assert "the MCP server größer" in {one.whose for one in find(tmp_path)}


@pytest.mark.parametrize("way", ["link", "pipe", "directory", "device"])
def test_a_projects_file_leads_nowhere(tmp_path, way):
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "other.json").write_text('{"mcpServers": {"x": {"command": "x"}}}')
    place = project / ".mcp.json"
    if way == "link":
        place.symlink_to(tmp_path / "other.json")
    elif way == "device":
        place.symlink_to("/dev/zero")
    elif way == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    assert find(tmp_path) == ()


@pytest.mark.parametrize("odd", [None, [], "x", 3, {"command": 3}, {"command": None, "args": 3}])
def test_odd_documents_are_borne(tmp_path, odd):
    (tmp_path / ".claude").mkdir()
    sign = {"and": '"command"', "x": {"command": ""}}
    for document in ({"mcpServers": odd}, {"mcpServers": {"a": odd}}, {"projects": odd}, odd):
        text = json.dumps({**document, **sign} if isinstance(document, dict) else [document, sign])
        (tmp_path / ".claude.json").write_text(text)
        assert all(isinstance(one.command, str) for one in find(tmp_path))
    for document in ({"hooks": odd}, {"hooks": {"Stop": odd}}, {"hooks": {"Stop": [odd]}}):
        (tmp_path / ".claude/settings.json").write_text(json.dumps({**document, **sign}))
        find(tmp_path)
    for text in ('{"command"', "[" * 100_000 + '"command"', '"command"', "\xff"):
        (tmp_path / ".claude.json").write_text(text)
        assert find(tmp_path) == ()


def test_marketplaces_elsewhere(tmp_path):
    top, market = tmp_path / "plugins", tmp_path / "market"
    (market / ".claude-plugin").mkdir(parents=True)
    (market / ".claude-plugin/marketplace.json").touch()
    top.mkdir()
    places = {"mine": market, "inside": top / "marketplaces/x", "gone": "/nowhere", "odd": 3}
    known = {
        name: {"source": {"source": "directory"}, "installLocation": str(place)}
        for name, place in places.items()
    }
    listed = top / "known_marketplaces.json"
    listed.write_text(json.dumps({**known, "none": None}))
    assert list(claudeplugins.marketplaces(str(top))) == [("mine", str(market))]
    for text in ("", "[]", '["directory"]', '"directory"', '{"directory"'):
        listed.write_text(text)
        assert list(claudeplugins.marketplaces(str(top))) == []


def test_a_session_goes_on_with_its_conversation_by_name_unless_the_person_chose():
    agent = agents.declared(AgentName.CLAUDE)
    said = arguments(agent, ("-p", "x"), resumes=True, conversation="an-id")
    assert said == (*agent.no_prompts, "--resume", "an-id", "-p", "x")
    assert arguments(agent, (), resumes=False, conversation="an-id") == agent.no_prompts
    for words in (("--continue",), ("-c",), ("--resume",), ("-r", "x"), ("--resume=x",)):
        said = arguments(agent, words, resumes=True, conversation="an-id")
        assert said == (*agent.no_prompts, *words)
