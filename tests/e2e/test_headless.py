"""The real client without a terminal: what it makes comes home, and nothing else is touched."""

from __future__ import annotations

import json

import pytest

from e2e.footprint import changes, footprint

pytestmark = pytest.mark.client

_SCENARIO = [
    {"text": "Writing.", "write": {"${cwd}/made/by tool.txt": "made\n"}},
    {
        "expect": "created|written|[Ww]rote",
        "bash": "git add -A && git commit -qm 'agent commit' && git rm -q doomed && "
        "echo more >> kept && echo loose > loose && id -un && pwd",
    },
    {"expect": "claude-worker-", "text": "the work is done"},
]


def test_the_real_client_works_in_every_box(human, kind, play):
    project = human.repository(
        f"src/real-{kind}", {"doomed": "x\n", "kept": "one\n", "build/out": "tracked\n"}
    )
    human.write(project / "mine", "not committed\n")
    human.run("git", "config", "core.hooksPath", "somewhere", cwd=project)
    before = footprint(project)
    api, variables = play(_SCENARIO)
    ran = human.clsecure(*kind.flags, "--", "-p", "go", cwd=project, env=variables)
    assert ran.stdout == "the work is done\n"
    assert not api.failed_expectations()
    assert str(project) in api.tool_results()[-1]["text"]
    assert changes(before, footprint(project)) == {}

    imported = human.clsecure("import", "--branch", "home", "--yes", "--json", cwd=project)
    assert json.loads(imported.stdout) == {
        "branch": "home",
        "commits": 2,
        "files": 5,
        "signed": 0,
        "pushed": None,
        "settings": [],
        "warnings": [],
    }
    top = str(project)
    assert set(changes(before, footprint(project))) == {
        f"{top}/.git/refs/heads/home",
        f"{top}/.git/logs/refs/heads/home",
    }
    listed = human.run("git", "diff", "--name-status", "main", "home", cwd=project).stdout
    assert sorted(listed.splitlines()) == [
        "A\tloose",
        "A\tmade/by tool.txt",
        "A\tmine",
        "D\tdoomed",
        "M\tkept",
    ]
    subjects = human.run("git", "log", "--format=%s by %an", "main..home", cwd=project).stdout
    assert "agent commit by A Human" in subjects
