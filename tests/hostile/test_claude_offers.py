"""A worker offers files for the human's ~/.claude: no trick of its names or contents is taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clsecure.errors import UserError
from clsecure.helper.inside import offers as inside
from clsecure.homecoming import offers

pytestmark = pytest.mark.root

_TRICKS = r"""
import os
home = os.path.expanduser("~/.claude")
for name in ("commands", "agents", "skills/s/hooks", "skills/p/.claude-plugin", "hooks"):
    os.makedirs(f"{home}/{name}", exist_ok=True)
os.symlink("/etc/passwd", f"{home}/commands/passwd.md")
os.symlink("/etc", f"{home}/commands/etc")
os.mkfifo(f"{home}/commands/pipe.md")
def write(name, text="x"):
    with open(os.fsencode(f"{home}/") + name, "w") as file:
        file.write(text)
write(b"commands/\x1b[2Jclear.md")
write(b"commands/line\nbreak.md")
write(b"commands/\xff.md")
write("commands/\u202egnp.md".encode())
write(b"commands/huge.md", "x" * (2 << 20))
write(b"commands/program.sh")
write(b"settings.json", '{"hooks": {}}')
write(b"settings.local.json")
write(b"hooks/h.sh")
write(b"skills/s/hooks/hooks.json")
write(b"skills/s/settings.json")
write(b"skills/p/.claude-plugin/plugin.json")
write(b"skills/p/.mcp.json")
write(b".credentials.json")
write(b"agents/good.md", "\x1b]0;title\x07 \x1b[31m good\n")
os.makedirs(home + "/agents/deep" + "/d" * 20)
"""


@pytest.fixture
def top(human, request):
    made = human.repository(f"src/{request.node.name[5:20]}")
    human.run("rm", "-rf", human.home / ".claude")
    human.write(".claude/agents/mine.md", "mine\n")
    human.agent(f"exec python3 - <<'END'\n{_TRICKS}END")
    human.clsecure(cwd=made)
    yield made
    human.clsecure("discard", "--yes", cwd=made)


def test_only_plain_files_of_their_kinds_are_offered(human, top):
    ran = human.clsecure("import", "--json", "--take-settings", "*", cwd=top)
    assert json.loads(ran.stdout)["settings"] == [".claude/agents/good.md"]
    there = [path for path in (human.home / ".claude").rglob("*") if not path.is_dir()]
    assert {path.name for path in there} == {"good.md", "mine.md"}
    said = human.clsecure("show", cwd=top).stdout
    for words in (
        r"commands/\x1b[2Jclear.md: its name is too odd to be taken",
        r"commands/line\x0abreak.md: its name is too odd to be taken",
        r"commands/\xff.md: its name is too odd to be taken",
        r"commands/\u202egnp.md: its name is too odd to be taken",
        f"agents/deep{'/d' * 10}: it lies too deep",
        "commands/huge.md: it is larger than 1 MiB",
        "commands/passwd.md: it is no regular file",
        "commands/etc: it is no regular file",
        "commands/pipe.md: it is no regular file",
        "skills/p/.mcp.json: it would run by itself",
        "skills/s/hooks/hooks.json: it would run by itself",
    ):
        assert f"stays in the session: ~/.claude/{words}" in said
    assert "root:" not in said + ran.stdout + ran.stderr
    assert "\x1b" not in said + ran.stderr
    for never in (".claude/settings", ".claude/hooks", "credentials"):
        assert never not in said


def test_a_diff_is_escaped(human, top):
    human.write(".claude/agents/good.md", "before\n")
    ran = human.clsecure("import", "--take-settings", "agents/*", cwd=top)
    assert r"+\x1b]0;title\x07 \x1b[31m good" in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr


def test_no_link_of_the_persons_is_followed(human, top):
    human.run("mkdir", "-p", human.home / "elsewhere")
    human.run("mv", human.home / ".claude/agents", human.home / "elsewhere/agents")
    human.run("ln", "-s", human.home / "elsewhere/agents", human.home / ".claude/agents")
    ran = human.clsecure("import", "--take-settings", "*", cwd=top, code=6)
    assert "agents/good.md: a link, or something else of yours, is in its way" in ran.stdout
    assert not (human.home / "elsewhere/agents/good.md").exists()


class Liar:
    """A worker's side that writes what it likes."""

    def __init__(self, said: bytes) -> None:
        self.said = said

    def run_inside(self, _argv, *, stdout, **_):
        subprocess.run(
            [sys.executable, "-c", "import os, sys; os.write(1, sys.stdin.buffer.read())"],
            input=self.said, stdout=stdout, check=False,
        )  # fmt: skip
        return 0, b""


def _said(path, content=b"x", **more):
    document = {"path": path, "size": len(content), "program": False, **more}
    return json.dumps(document).encode() + b"\n" + content


_END = b'{"left": []}\n'
_LIES = {
    "upward": _said(".claude/commands/../../.bashrc"),
    "absolute": _said("/etc/cron.d/x.md"),
    "elsewhere": _said(".bashrc"),
    "another memory": _said(".claude/projects/-other/memory/x.md"),
    "a memory's name": _said(".claude/projects/-own/memory/../../x.md"),
    "settings": _said(".claude/settings.json"),
    "hooks": _said(".claude/hooks/x.md"),
    "servers": _said(".claude.json"),
    "empty parts": _said(".claude/commands//x.md"),
    "nothing behind": _said(".claude/commands/"),
    "the directory": _said(".claude/commands"),
    "below a file": _said(".claude/CLAUDE.md/x.md"),
    "a long name": _said(f".claude/commands/{'x' * 300}.md"),
    "a long path": _said(f".claude/commands/{'x/' * 600}.md"),
    "nul": _said(".claude/commands/x\0.md"),
    "no text": _said(3),
    "a size of text": _said(".claude/commands/x.md", size="9"),
    "a negative size": _said(".claude/commands/x.md", size=-1),
    "a larger size": _said(".claude/commands/x.md", size=99),
    "an enormous size": _said(".claude/commands/x.md", size=1 << 40),
    "no object": b"[]\n",
    "no JSON": b"\xff\xfe\n",
    "deep": b"[" * 60_000 + b"\n",
    "a long line": b'{"path": "' + b"x" * 200_000,
    "a plugin in a skill": _said(".claude/skills/x/.claude-plugin/plugin.json"),
    "twice": _said(".bashrc") * 2,
    "too many": b"".join(_said(f".bash{n}") for n in range(inside.MAX_FILES + 5)),
}


@pytest.mark.parametrize("lie", _LIES)
def test_no_lie_is_offered(tmp_path, lie):
    found = offers.look(Liar(_LIES[lie] + _END), tmp_path, (".claude/projects/-own/memory",))
    assert found.files == ()
    assert found.left
    assert all(line.isprintable() for line in found.left)


def test_what_never_ends_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(offers, "_MAX_STREAM", 1 << 20)
    found = offers.look(
        Liar(b"".join(_said(f".claude/agents/{n}.md") for n in range(1 << 15))), tmp_path, ()
    )
    assert len(found.files) <= inside.MAX_FILES
    assert found.left


def test_control_the_truth_is(tmp_path):
    names = (".claude/commands/x.md", ".claude/CLAUDE.md", ".claude/projects/-own/memory/x.md")
    said = b"".join(map(_said, names))
    found = offers.look(Liar(said + _END), tmp_path, (".claude/projects/-own/memory",))
    assert tuple(one.path for one in found.files) == names
    assert found.left == ()


@pytest.mark.parametrize("way", ["link", "dangling", "directory", "parent", "changed", "appeared"])
def test_what_is_put_in_the_way_is_not_written_through(tmp_path, way):
    home = tmp_path / "home"
    place = home / ".claude/commands/x.md"
    place.parent.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_text("as it was")
    before = b"shown" if way == "changed" else None
    offer = offers.Offer(".claude/commands/x.md", b"taken", before, is_program=False)
    if way == "link":
        place.symlink_to(outside)
    elif way == "dangling":
        place.symlink_to(tmp_path / "made")
    elif way == "directory":
        place.mkdir()
    elif way == "parent":
        place.parent.rmdir()
        place.parent.symlink_to(tmp_path)
    else:
        place.write_text("another")
    with pytest.raises(UserError) as refused:
        offers.take(offer, home)
    assert refused.value.code == 6
    assert outside.read_text() == "as it was"
    assert sorted(os.listdir(tmp_path)) == ["home", "outside"]
    if way in {"changed", "appeared"}:
        assert place.read_text() == "another"
    assert not list(Path(home).rglob("*clsecure*"))


def test_control_nothing_in_the_way(tmp_path):
    offers.take(offers.Offer(".claude/commands/x.md", b"taken", None, is_program=False), tmp_path)
    assert (tmp_path / ".claude/commands/x.md").read_bytes() == b"taken"
