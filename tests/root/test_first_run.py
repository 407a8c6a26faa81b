"""The shortest story: an agent works in its box, and its work comes home as a branch."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.root


@pytest.mark.parametrize("mode", ["user", "namespace", "container"])
def test_work_comes_home_as_a_branch(human, mode):
    project = human.repository(f"src/first-{mode}")
    human.agent(
        "id -un; echo new > new.txt; git add -A; git commit -qm 'agent commit'; echo x > loose.txt"
    )
    ran = human.clsecure("--mode", mode, cwd=project)
    assert ran.stdout.startswith("claude-worker-first-")
    imported = human.clsecure("import", "--branch", "work", "--yes", "--json", cwd=project)
    assert json.loads(imported.stdout) == {
        "branch": "work",
        "commits": 2,
        "files": 2,
        "signed": 0,
        "pushed": None,
        "settings": [],
        "warnings": [],
    }
    tree = human.run("git", "ls-tree", "--name-only", "work", cwd=project).stdout.split()
    assert tree == ["README", "loose.txt", "new.txt"]
    assert human.run("git", "status", "--porcelain", cwd=project).stdout == ""
