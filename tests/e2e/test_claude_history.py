"""A project's own conversations and memory are in its sessions; what happens there stays there.

The fake API answers with the number of the turn, which tells which conversation went on.
"""

from __future__ import annotations

import pytest

from e2e.boxes import BOXES, CLONE
from e2e.claudeworld import directory_of

pytestmark = pytest.mark.client

_KINDS = pytest.mark.parametrize("kind", [*BOXES[:4], CLONE], ids=str, indirect=True)
_TURNS = [f"turn {number}" for number in range(9)]


class Talk:
    """Speaks with the real client about one project, outside and in a session."""

    def __init__(self, human, client, top, variables, flags=()):
        self.human, self.client, self.top = human, client, top
        self.variables, self.flags = variables, flags
        self.place = human.home / ".claude/projects" / directory_of(top)

    def outside(self, *words):
        quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", **self.variables}
        said = self.human.run(self.client, *words, "-p", "go", cwd=self.top, env=quiet)
        return said.stdout.strip()

    def inside(self, *words, options=()):
        words = (*self.flags, *options, "--", *words, "-p", "go")
        return self.human.clsecure(*words, cwd=self.top, env=self.variables).stdout.strip()

    def files(self):
        return {path.name: path.read_bytes() for path in self.place.rglob("*") if path.is_file()}


@pytest.fixture
def talk(human, client, play, request):
    """The person's conversation about a project of its own: two turns."""
    kind = getattr(request.node, "callspec", None)
    kind = kind.params["kind"] if kind and "kind" in kind.params else None
    _, variables = play({"turns": _TURNS})
    name = f"src/{request.node.originalname[5:25]}-{kind}"
    made = Talk(human, client, human.repository(name), variables, kind.flags if kind else ())
    assert made.outside() == "turn 0"
    assert made.outside("--continue") == "turn 1"
    return made


@_KINDS
def test_a_session_has_its_own_conversation_unless_the_persons_is_asked_for(talk, kind):
    assert talk.inside() == "turn 0"  # a fresh one, although there is a conversation to go on with
    assert talk.inside() == "turn 1"  # its own
    assert talk.outside("--continue") == "turn 2"  # the person's, now the newer one
    assert talk.inside() == "turn 2"  # its own still
    before = talk.files()
    assert talk.inside("--continue", options=("-s", "beside")) == "turn 3"  # the person's
    assert talk.inside(options=("-s", "beside")) == "turn 4"  # which is this session's now
    assert talk.files() == before
    assert talk.outside("--continue") == "turn 3"


def test_the_person_chooses_in_a_kept_session_too(talk):
    (mine,) = (path.stem for path in talk.place.glob("*.jsonl"))
    assert talk.inside() == "turn 0"
    assert talk.inside("--resume", mine) == "turn 2"
    assert talk.inside("--continue") == "turn 3"
    (own,) = {path for path in _listed(talk) if path != mine}
    assert talk.inside("--resume", own) == "turn 1"
    assert [path.stem for path in talk.place.glob("*.jsonl")] == [mine]


def _listed(talk):
    ran = talk.human.clsecure("exec", "--", "ls", talk.place, cwd=talk.top)
    return [name.removesuffix(".jsonl") for name in ran.stdout.split() if name.endswith(".jsonl")]


def test_a_history_that_begins_later_hides_none_of_the_sessions(human, client, play):
    _, variables = play({"turns": _TURNS})
    talk = Talk(human, client, human.repository("src/later"), variables)
    assert talk.inside() == "turn 0"
    assert not talk.place.exists()
    assert talk.outside() == "turn 0"
    assert talk.inside() == "turn 1"
    assert len(_listed(talk)) == 2
    hidden = ("--hide", "~/.claude/projects")
    assert talk.inside("--continue", options=(*hidden, "-s", "x")) != "turn 1"


@_KINDS
def test_memory_is_there_and_what_is_learnt_stays_inside(human, talk, kind):
    human.write(talk.place / "memory/MEMORY.md", "Lisbon is sunny.\n")
    note = f"cat {talk.place}/memory/MEMORY.md; echo Porto >> {talk.place}/memory/MEMORY.md"
    words = ("exec", *talk.flags, "--", "sh", "-c", note)
    assert human.clsecure(*words, cwd=talk.top).stdout == "Lisbon is sunny.\n"
    assert human.clsecure(*words, cwd=talk.top).stdout == "Lisbon is sunny.\nPorto\n"
    assert (talk.place / "memory/MEMORY.md").read_text() == "Lisbon is sunny.\n"


def test_what_a_session_made_where_none_was_shown_stays_in_sight(human, play):
    top = human.repository("src/former")
    place = f"~/.claude/projects/{directory_of(top)}"
    human.write(place.replace("~", str(human.home)) + "/mine.jsonl", f'{{"cwd":"{top}"}}\n')
    former = ("--agent", "codex", "--", "sh", "-c", f"mkdir -p {place}; echo a > {place}/a.jsonl")
    human.clsecure("exec", *former, cwd=top)
    human.agent('printf "%s " "$@"; ls ' + place)
    said = human.clsecure(cwd=top).stdout
    assert said == "--dangerously-skip-permissions --continue a.jsonl\n"
    fresh = human.clsecure("-s", "fresh", cwd=top).stdout
    assert fresh == "--dangerously-skip-permissions mine.jsonl\n"


def test_what_was_moved_here_with_the_project_is_there(human, talk):
    (mine,) = talk.place.glob("*.jsonl")
    moved = talk.top.with_name("moved")
    human.run("mv", talk.top, moved)
    human.run("mv", talk.place, talk.place.with_name(directory_of(moved)))
    talk.top, talk.place = moved, talk.place.with_name(directory_of(moved))
    assert _listed(talk) == [mine.stem]
