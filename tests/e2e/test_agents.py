"""Other agents than claude: real ones against the scripted API, and what each record says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clsecure import agents
from clsecure.choices import AgentName
from e2e.boxes import BOXES, OVERLAY
from testkit import Running

_OTHERS = [name for name in AgentName if name is not AgentName.CLAUDE]
_SHOW = 'printf "%s\\n" "$0" "$@"; env | sort\n'


@pytest.fixture(scope="module")
def installed():
    """Where the real agents are."""
    named = os.environ.get("CLSECURE_TEST_AGENTS")
    path = Path(named) if named else Path(__file__).parents[2] / ".cache/agents/bin"
    if not all(os.access(path / name.value, os.X_OK) for name in _OTHERS):
        pytest.skip("needs the real agents: scripts/setup --dev installs them")
    return path


@pytest.fixture
def scripted(human):
    """Put a script in an agent's place, and take it away again."""
    made = []

    def script(name):
        made.append(human.write(f"bin/{name}", f"#!/bin/sh\n{_SHOW}", mode=0o755))
        return made[-1]

    yield script
    human.run("rm", "-f", *made)


_WORK = "id -un; git add -A; git commit -qm 'agent commit'; echo loose > loose"


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_the_real_opencode_works_in_every_box(human, kind, installed):
    top = human.repository(f"src/opencode-{kind}")
    turns = [
        {"write": {"${cwd}/made": "made\n"}},
        {"bash": _WORK},
        {"expect": "claude-worker-", "text": "the work is done"},
    ]
    with Running(turns, show_credentials=True) as api:
        env = {
            "PATH": f"{installed}:{human.environment['PATH']}",
            "ANTHROPIC_BASE_URL": f"{api.url}/v1",
            "ANTHROPIC_API_KEY": "sk-test",
        }
        words = ("run", "-m", "anthropic/claude-sonnet-4-5", "do it")
        ran = human.clsecure(
            "--agent", "opencode", *kind.flags, "--", *words, cwd=top, env=env, seconds=100
        )
        assert "the work is done" in ran.stdout
        assert not api.failed_expectations()
        assert {each["headers"].get("x-api-key") for each in api.requests} == {"sk-test"}
    assert " · opencode as claude-worker-" in ran.stderr
    human.clsecure("import", "--branch", "home", "--yes", cwd=top)
    listed = human.run("git", "diff", "--name-only", "main", "home", cwd=top).stdout
    assert sorted(listed.split()) == ["loose", "made"]


@pytest.mark.parametrize("kind", [OVERLAY, BOXES[3]], ids=str, indirect=True)
def test_the_real_codex_works(human, kind, installed):
    top = human.repository(f"src/codex-{kind}")
    call = {"name": "exec_command", "input": {"cmd": f"echo made > made; {_WORK}"}}
    turns = [{"tool": call}, {"expect": "claude-worker-", "text": "the work is done"}]
    with Running(turns, show_credentials=True) as api:
        env = {
            "PATH": f"{installed}:{human.environment['PATH']}",
            "OPENAI_BASE_URL": f"{api.url}/v1",
            "OPENAI_API_KEY": "sk-test",
            "CODEX_API_KEY": "sk-test",
        }
        words = ("exec", "-m", "gpt-5.1-codex", "do it")
        ran = human.clsecure(
            "--agent", "codex", *kind.flags, "--", *words, cwd=top, env=env, seconds=100
        )
        assert ran.stdout == "the work is done\n"
        assert not api.failed_expectations()
        assert {each["headers"].get("authorization") for each in api.requests} == {"Bearer sk-test"}
    human.clsecure("import", "--branch", "home", "--yes", cwd=top)
    listed = human.run("git", "diff", "--name-only", "main", "home", cwd=top).stdout
    assert sorted(listed.split()) == ["loose", "made"]


_EDIT = "made\n```\nmade\n```\n"


@pytest.mark.parametrize("kind", [OVERLAY, BOXES[3]], ids=str, indirect=True)
def test_the_real_aider_works(human, kind, installed):
    top = human.repository(f"src/aider-{kind}")
    with Running({"turns": [], "side": {"text": _EDIT}}, show_credentials=True) as api:
        env = {
            "PATH": f"{installed}:{human.environment['PATH']}",
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "sk-test",
        }
        model = ("--model", "anthropic/claude-sonnet-4-5", "--edit-format", "whole")
        words = (*model, "--message", "do it")
        ran = human.clsecure(
            "--agent", "aider", *kind.flags, "--", *words, cwd=top, env=env, seconds=200
        )
        assert "Applied edit to made" in ran.stdout
        assert {each["headers"].get("x-api-key") for each in api.requests} == {"sk-test"}
    human.clsecure("import", "--branch", "home", "--yes", cwd=top)
    assert human.run("git", "show", "home:made", cwd=top).stdout == "made\n"


@pytest.mark.parametrize("name", [AgentName.GEMINI, AgentName.AMP], ids=str)
def test_the_real_programs_start(human, name, installed):
    top = human.repository(f"src/version-{name.value}")
    path = f"{installed}:{human.environment['PATH']}"
    outside = human.run(name.value, "--version", env={"PATH": path}).stdout
    assert outside[0].isdigit()
    words = ("--agent", name.value, "--", "--version")
    inside = human.clsecure(*words, cwd=top, env={"PATH": path}, seconds=100).stdout
    assert inside == outside


@pytest.mark.parametrize("name", _OTHERS, ids=str)
def test_each_record_is_what_is_run(human, name, scripted):
    record = agents.declared(name)
    top = human.repository(f"src/record-{name.value}")
    scripted(record.program)
    key = record.apis[0].keys[0]
    env = {key: "sk-test", "OTHER_KEY": "x", record.apis[0].variable: "https://gw.example.org/v1"}
    words = ("--agent", name.value, "--", *record.headless, "do it")
    ran = human.clsecure(*words, cwd=top, env=env)
    program, *said = ran.stdout.splitlines()
    assert program == f"{human.home}/bin/{record.program}"
    assert set(record.no_prompts) <= set(said)
    assert "do it" in said
    assert f"{key}=sk-clsecure-in-place-of-{key}" in said
    assert f"{record.apis[0].variable}=http://127.0.0.1:3127/gw.example.org/v1" in said
    assert "sk-test" not in ran.stdout
    assert not [line for line in said if line.startswith("OTHER_KEY")]
    assert " gw.example.org:443" in ran.stderr.replace("(", " ")
    for path, text in record.answers.items():
        assert human.clsecure("exec", "--", "cat", f"{human.home}/{path}", cwd=top).stdout == text
    if record.history and record.resume:
        made = f"mkdir -p ~/{record.history}/x"
        human.clsecure("exec", "--", "sh", "-c", made, cwd=top)
        resumed = human.clsecure("--agent", name.value, cwd=top, env=env).stdout.splitlines()
        assert resumed[1 : 1 + len(record.no_prompts)] == list(record.no_prompts)
        assert set(record.resume) <= set(resumed)


def test_any_program_can_be_the_agent(human, scripted):
    top = human.repository("src/any")
    program = scripted("my tool")
    settings = human.write(".clsecurerc", f'agent_command = \'"{program}" --go "a b"\'\n')
    try:
        ran = human.clsecure("--", "more", cwd=top, env={"ANTHROPIC_API_KEY": "sk-test"})
        shown = json.loads(human.clsecure("info", "--json", cwd=top).stdout)
        human.write(".clsecurerc", "agent_command = 'a \"'\n")
        broken = human.clsecure(cwd=top, code=2)
        human.write(".clsecurerc", "agent_command = nowhere --go\n")
        missing = human.clsecure(cwd=top, code=4)
    finally:
        human.run("rm", settings)
    assert ran.stdout.splitlines()[:4] == [str(program), "--go", "a b", "more"]
    assert "ANTHROPIC_API_KEY=sk-clsecure-in-place-of-ANTHROPIC_API_KEY" in ran.stdout
    assert " · my tool as claude-worker-any-" in ran.stderr
    assert shown["agent"] == f"my tool ({program})"
    assert broken.stderr.startswith("clsecure: agent_command is not a command\n")
    assert missing.stderr.splitlines()[1] == "hint: change agent_command"


def test_a_session_goes_on_with_another_agent(human, scripted):
    top = human.repository("src/change")
    scripted("codex"), scripted("claude")
    first = human.clsecure("--agent", "codex", cwd=top)
    assert "not the last agent" not in first.stderr
    human.clsecure("exec", "--", "sh", "-c", "echo x > kept", cwd=top)
    again = human.clsecure("--agent", "codex", cwd=top)
    assert "not the last agent" not in again.stderr
    other = human.clsecure(cwd=top)
    assert "claude was not the last agent here: it has a conversation of its own" in other.stderr
    assert "--continue" not in other.stdout
    assert human.clsecure("exec", "--", "cat", "kept", cwd=top).stdout == "x\n"
    settings = human.clsecure("exec", "--", "cat", f"{human.home}/.claude/settings.json", cwd=top)
    assert "skipDangerousModePermissionPrompt" in settings.stdout
    back = human.clsecure("--agent", "codex", cwd=top)
    assert "codex was not the last agent here" in back.stderr


def test_settings_of_another_agent_come_without_secrets(human, scripted):
    top = human.repository("src/settings")
    scripted("opencode")
    human.write(".config/opencode/opencode.json", '{"theme": "system"}\n')
    human.write(".config/opencode/AGENTS.md", "Be brief.\n")
    human.write(".config/opencode/agent/x.md", "apiKey: sk-secret\n")
    human.run("ln", "-s", "/root/far.md", ".config/opencode/agent/far.md")
    human.write(".local/share/opencode/auth.json", '{"anthropic": {"key": "sk-secret"}}\n')
    ran = human.clsecure("--agent", "opencode", cwd=top)
    assert "~/.config/opencode/agent/x.md stays outside: it may hold a secret" in ran.stderr
    script = (
        "cd; cat .config/opencode/opencode.json .config/opencode/AGENTS.md; grep -rl sk-secret ."
    )
    inside = human.clsecure("exec", "--", "sh", "-c", script, cwd=top, code=1)
    assert inside.stdout == '{"theme": "system"}\nBe brief.\n'


def test_what_cannot_be_is_one_line_with_a_hint(human):
    top = human.repository("src/cannot")
    missing = human.clsecure("--agent", "codex", cwd=top, code=4).stderr.splitlines()
    assert missing[0].startswith("clsecure: codex is not installed: it is neither on your PATH")
    assert missing[1] == "hint: npm install -g @openai/codex"
    kimi = human.clsecure("--agent", "codex", "--provider", "kimi", cwd=top, code=2)
    assert kimi.stderr.startswith("clsecure: provider kimi is one for claude, not for codex\nhint")
    nobody = human.clsecure("--agent", "nobody", cwd=top, code=2)
    assert "allowed: claude, codex, gemini, opencode, amp, aider" in nobody.stderr
    url = {"OPENAI_BASE_URL": "gateway"}
    wrong = human.clsecure("--agent", "codex", cwd=top, env=url, code=2)
    assert wrong.stderr.startswith("clsecure: OPENAI_BASE_URL is not an http or https URL")
    said = human.clsecure("doctor", "--agent", "codex", cwd=top, code=None).stdout
    assert "missing  agent: no codex" in said
