"""Of a person's Claude, a session sees this project's conversations and no other's."""

from __future__ import annotations

import json

import pytest
from caller import Caller, open_request

from clsecure.helper.protocol import Alias, Failed, Opened
from e2e.boxes import BOXES
from e2e.claudeworld import directory_of

pytestmark = pytest.mark.root

_OTHERS = (
    *("history.jsonl", "projects/-elsewhere/a.jsonl", "projects/-elsewhere/memory/MEMORY.md"),
    *("file-history/x/1@v1", "todos/x.json", "shell-snapshots/snapshot.sh", "telemetry/x.json"),
    *("paste-cache/x.txt", "debug/x.txt", "session-env/x", "sessions/1.json", "tasks/x/1.json"),
    *("plans/x.md", "backups/.claude.json.backup.1", "statsig/x", "ide/1.lock"),
)
_OTHER = "a" * 36
_SEARCH = "command grep -rls 'said elsewhere' /home /tmp /var /run/clsecure ~/.claude; true"
_KINDS = pytest.mark.parametrize("kind", BOXES[:4], ids=str)


@pytest.fixture(scope="module")
def top(human):
    """A project with a history, beside all that the person's Claude keeps of others."""
    made = human.repository("src/own")
    for name in _OTHERS:
        human.write(f".claude/{name}", "said elsewhere\n", mode=0o600)
    # A neighbour whose name begins as this project's does.
    human.write(f".claude/projects/{directory_of(made)}-2/a.jsonl", "said elsewhere\n")
    own = f".claude/projects/{directory_of(made)}"
    human.write(f"{own}/a.jsonl", _conversation(made, "said here"))
    human.write(f"{own}/{_OTHER}/subagents/x.jsonl", "said elsewhere\n")
    human.write(f"{own}/sessions-index.json", "said elsewhere\n")
    human.write(f"{own}/memory/MEMORY.md", "learnt here\n")
    for name, text in _neighbours(made).items():
        human.write(f"{own}/{name}.jsonl", text)
    return made


def _conversation(place, text):
    """A conversation as Claude keeps it: what was said, and then where."""
    asked = {"type": "queue-operation", "content": f'"cwd":"{place}" {text}'}
    said = {"type": "user", "message": {"content": text}, "cwd": str(place)}
    return f"{json.dumps(asked)}\n{json.dumps(said, separators=(',', ':'))}\n"


def _neighbours(place):
    """Of projects whose directories are called as this one's."""
    other = str(place.parent) + "-" + place.name  # .../src-own is called as .../src/own
    large = "said elsewhere " * 400_000
    return {
        _OTHER: _conversation(other, "said elsewhere"),
        "b" * 36: _conversation(f"{place.parent}/own".replace("/src/", "/src_"), "said elsewhere"),
        "c" * 36: "said elsewhere\n",
        "d" * 36: _conversation(other, large),
        "e" * 36: _conversation(str(place.parent) + "é" + place.name, "said elsewhere"),
    }


@_KINDS
def test_what_was_said_elsewhere_cannot_be_read(human, top, kind):
    words = ("exec", *kind.flags, "--", "sh", "-c")
    assert human.clsecure(*words, _SEARCH, cwd=top).stdout == ""
    own = f"cd ~/.claude/projects; ls; cd ./{directory_of(top)}; ls; command grep -c 'said here' *.jsonl"
    shown = human.clsecure(*words, own, cwd=top).stdout.split()
    assert shown == [directory_of(top), "a.jsonl", "memory", "2"]
    human.write(top / ".clsecure/on-cleanup", f"{_SEARCH} > found; cat found", mode=0o755)
    ended = human.clsecure("discard", "--yes", cwd=top)  # what runs then is a worker's, too
    human.run("rm", top / ".clsecure/on-cleanup")
    assert "projects" not in ended.stdout + ended.stderr


def test_control_the_human_reads_it(human, top):
    search = "command grep -rls 'said elsewhere' ~/.claude"
    found = human.run("sh", "-c", search).stdout.split()
    own = f"projects/{directory_of(top)}"
    names = [*_OTHERS, *(f"{own}/{name}.jsonl" for name in _neighbours(top))]
    assert {str(human.home / ".claude" / name) for name in names} <= set(found)


@_KINDS
def test_nothing_done_to_the_history_comes_out(human, top, kind):
    place = human.home / ".claude/projects" / directory_of(top)
    spoil = f"rm {place}/a.jsonl; echo x > {place}/b.jsonl; ln -s /etc/passwd {place}/c.jsonl"
    human.clsecure("exec", *kind.flags, "--", "sh", "-c", spoil, cwd=top, code=None)
    names = {"a.jsonl", "memory", "sessions-index.json", _OTHER}
    names |= {*(f"{name}.jsonl" for name in _neighbours(top))}
    assert {path.name for path in place.iterdir()} == names
    assert (place / "a.jsonl").read_text() == _conversation(top, "said here")


def test_root_takes_no_other_place_for_the_agents_state(human, top):
    home = str(human.home)
    own = f"{home}/.claude/projects/own"
    odd = (
        Alias(at=home, source=""),
        Alias(at="/etc", source=""),
        Alias(at="/home", source=""),
        Alias(at="/home/another", source=""),
        Alias(at="/srv/state", source=""),
        Alias(at=f"{home}/../x", source=""),
        Alias(at=str(top), source=""),
        Alias(at=f"{top}/.claude", source=""),
        Alias(at=f"{home}/{'x' * 300}", source=""),
        Alias(at=own, source="/root"),
        Alias(at=own, source="/etc"),
        Alias(at=own, source=home),
        Alias(at=own, source=f"{home}/nowhere"),
        Alias(at=own, source=str(top)),
        Alias(at=own, source="relative"),
    )
    with Caller(human.account.pw_uid) as caller:
        for number, one in enumerate(odd):
            answer = caller.ask(open_request(human, top, session=f"odd{number}", state=(one,)))
            assert isinstance(answer, Failed), one
            assert answer.code in (2, 3), one
        twice = (Alias(at=own, source=""), Alias(at=f"{own}/deeper", source=""))
        answer = caller.ask(open_request(human, top, session="twice", state=twice))
        assert isinstance(answer, Failed)
        overlaid = {"state": twice[:1], "exposures": (f"{home}/.claude",)}
        answer = caller.ask(open_request(human, top, session="overlaid", **overlaid))
        assert isinstance(answer, Failed)
        honest = caller.ask(open_request(human, top, session="honest", state=twice[:1]))
        assert isinstance(honest, Opened), honest
        caller.discard(honest)


def test_a_worker_cannot_name_what_its_agent_is_told(human, top):
    """Names in the session's layer are a worker's: only an id becomes the agent's argument."""
    human.agent('printf "%s\\n" "$@" > words.txt; cat words.txt')
    place = human.home / ".claude/projects" / directory_of(top)
    good = "01234567-89ab-cdef-0123-456789abcdef"
    odd = ("--help.jsonl", "x" * 36 + ".jsonl", f"{good}.jsonl.jsonl", f"-{good[1:]}.jsonl")
    names = " ".join(f"'{name}'" for name in odd)
    link = "a" * 36
    words = ("exec", "-s", "names", "--", "sh", "-c")
    script = (
        f"cd {place} && touch -- {names} && ln -s /etc/passwd {link}.jsonl; mkdir {link[1:]}b.jsonl"
    )
    human.clsecure(*words, script, cwd=top)
    ran = human.clsecure("-s", "names", "--", "-p", cwd=top)
    assert ran.stdout.split() == ["--dangerously-skip-permissions", "-p"]
    human.clsecure(*words, f"touch {place}/{good}.jsonl", cwd=top)
    ran = human.clsecure("-s", "names", "--", "-p", cwd=top)
    assert ran.stdout.split() == ["--dangerously-skip-permissions", "--resume", good, "-p"]
