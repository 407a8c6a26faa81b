"""What the agent wrote into its own settings is offered at import: never taken unasked."""

from __future__ import annotations

import json

import pytest

from e2e.claudeworld import directory_of

_WROTE = """\
mkdir -p ~/.claude/commands/deep ~/.claude/skills/fish/scripts ~/.claude/projects/{own}/memory
echo 'Say it in Greek.' > ~/.claude/commands/greek.md
echo 'Always in Latin.' > ~/.claude/commands/latin.md
echo 'Run: !`make`' > ~/.claude/commands/deep/runs.md
printf '#!/bin/sh\\n' > ~/.claude/skills/fish/scripts/gut.sh; chmod +x ~/.claude/skills/fish/*/*
echo '# fish' > ~/.claude/skills/fish/SKILL.md
echo 'Porto has bridges.' > ~/.claude/projects/{own}/memory/porto.md
echo 'changed' >> ~/.claude/projects/{own}/memory/MEMORY.md
touch work.txt
"""
_NEW = {
    "commands/deep/runs.md": "Run: !`make`\n",
    "commands/greek.md": "Say it in Greek.\n",
    "skills/fish/SKILL.md": "# fish\n",
    "skills/fish/scripts/gut.sh": "#!/bin/sh\n",
}


@pytest.fixture
def wrote(human, request):
    """A session whose agent wrote into its settings; what the person has is as before."""
    name = f"src/{request.node.name[5:20]}"
    top = human.repository(name)
    own = directory_of(top)
    claude = human.home / ".claude"
    human.run("rm", "-rf", claude)
    human.write(claude / "commands/latin.md", "Say it in Latin.\n", mode=0o644)
    human.write(claude / "commands/kept.md", "As it was.\n")
    human.write(claude / "CLAUDE.md", "Be brief.\n")
    human.write(claude / f"projects/{own}/memory/MEMORY.md", "Lisbon is sunny.\n")
    human.agent(_WROTE.format(own=own))
    human.clsecure(cwd=top)
    human.write(claude / "commands/kept.md", "The person changed it meanwhile.\n")
    return top, claude, own


def _files(claude):
    return {
        str(path.relative_to(claude)): path.read_text()
        for path in claude.rglob("*")
        if path.is_file()
    }


def test_without_a_terminal_they_are_named_and_stay(human, wrote):
    top, claude, own = wrote
    before = _files(claude)
    for words in (("show",), ("import", "--yes"), ("import", "--branch", "b")):
        ran = human.clsecure(*words, cwd=top, code=None)
        said = ran.stdout + ran.stderr
        for name in _NEW:
            assert f"  A ~/.claude/{name}" in said
        assert "  M ~/.claude/commands/latin.md" in said
        assert f"  A ~/.claude/projects/{own}/memory/porto.md" in said
        assert f"  M ~/.claude/projects/{own}/memory/MEMORY.md" in said
        assert "kept.md" not in said
        assert "CLAUDE.md" not in said
        assert "! ~/.claude/commands/deep/runs.md: it runs commands when it is called" in said
        assert "! ~/.claude/skills/fish/scripts/gut.sh: it is a program" in said
    assert "stay in the session (7 to be had): `clsecure import --take-settings GLOB`" in ran.stderr
    shown = json.loads(human.clsecure("show", "--json", cwd=top).stdout)
    assert len(shown["settings"]) == 7
    assert _files(claude) == before


def test_what_is_named_is_taken_and_no_more(human, wrote):
    top, claude, own = wrote
    before = _files(claude)
    words = ("import", "--take-settings", "skills/*", "--take-settings", "~/.claude/*/latin.md")
    ran = human.clsecure(*words, cwd=top)
    assert "-Say it in Latin.\n+Always in Latin.\n" in ran.stdout  # seen, before it was taken
    assert "taken: ~/.claude/skills/fish/SKILL.md\n" in ran.stdout
    taken = {name: text for name, text in _NEW.items() if name.startswith("skills")}
    assert _files(claude) == {**before, **taken, "commands/latin.md": "Always in Latin.\n"}
    assert (claude / "skills/fish/scripts/gut.sh").stat().st_mode & 0o777 == 0o700
    assert (claude / "skills/fish/SKILL.md").stat().st_mode & 0o777 == 0o600
    assert (claude / "commands/latin.md").stat().st_mode & 0o777 == 0o644
    assert (claude / "skills/fish").stat().st_uid == human.account.pw_uid
    left = human.clsecure("show", cwd=top).stdout
    assert "latin.md" not in left
    assert "greek.md" in left
    # Work that was imported already is no reason not to take the rest.
    human.clsecure("import", "--json", "--branch", "x", "--take-settings", "projects/*", cwd=top)
    assert (claude / f"projects/{own}/memory/porto.md").read_text() == "Porto has bridges.\n"


def test_each_is_asked_for_at_a_terminal(human, wrote):
    top, claude, _ = wrote
    before = _files(claude)
    there = human.terminal(*_program("import", "--branch", "asked"), cwd=top)
    there.expect("Commit the uncommitted work too")
    there.sendline("y")
    there.expect("Message:")
    there.sendline("")
    there.expect(r"Take ~/.claude/commands/deep/runs.md \(new\)\?")
    there.sendline("")
    there.expect(r"Take ~/.claude/commands/greek.md \(new\)\?")
    there.sendline("d")
    there.expect("[+]Say it in Greek")
    there.expect("Take ~/.claude/commands/greek.md")
    there.sendline("y")
    there.expect("taken: ~/.claude/commands/greek.md")
    there.expect("-Say it in Latin.\r\n[+]Always in Latin")
    there.expect(r"Take ~/.claude/commands/latin.md \(changed\)\?")
    there.sendline("q")
    there.expect("Switch to asked")
    there.sendline("")
    there.expect("Remove the worker")
    there.sendline("y")
    there.expect("removed: ")
    there.wait()
    assert _files(claude) == {**before, "commands/greek.md": "Say it in Greek.\n"}


def _program(*words):
    from world.human import PROGRAM

    return (PROGRAM, *words)


def test_settings_alone_can_be_taken(human):
    top = human.repository("src/alone")
    human.agent("mkdir -p ~/.claude/agents; echo '# x' > ~/.claude/agents/x.md")
    said = human.clsecure(cwd=top)
    assert "  A ~/.claude/agents/x.md" in said.stderr
    human.clsecure("import", cwd=top, code=6)  # there is nothing else
    human.clsecure("import", "--take-settings", "agents/*", cwd=top)
    assert (human.home / ".claude/agents/x.md").read_text() == "# x\n"
    human.run("rm", human.home / ".claude/agents/x.md")
    ended = ("--on-exit", "import", "--take-settings", "*.md")
    assert "taken: ~/.claude/agents/x.md" in human.clsecure(*ended, cwd=top).stderr
    assert (human.home / ".claude/agents/x.md").exists()
