"""`push = origin`: the agent fetches and pushes with the human's right, without their token."""

from __future__ import annotations

import pytest

from e2e.boxes import Kind
from world.githost import new_git_host

KINDS = [
    Kind("user", "none", "overlay"),
    Kind("namespace", "firejail", "overlay"),
    Kind("container", "podman", "overlay"),
    Kind("namespace", "firejail", "clone"),
]
WORK = "git switch -qc claude/work && echo work > made && git add made && git commit -qm Work"


@pytest.fixture(scope="module")
def host(human, internet, tmp_path_factory):
    with new_git_host(internet, human, tmp_path_factory.mktemp("githost")) as made:
        yield made


def in_box(human, project, script, *flags, code=0):
    words = ("exec", "--allow-push", *flags, "--", "bash", "-c", f"exec 2>&1; {script}")
    return human.clsecure(*words, cwd=project, code=code).stdout


@pytest.mark.parametrize("kind", KINDS, ids=str, indirect=True)
def test_the_agent_pushes_a_branch_and_fetches(human, host, kind):
    name = f"main-{kind}"
    project = host.project(human, name)
    human.agent(f"{WORK} && git push -u origin claude/work 2>&1; git fetch -q; git branch -r")
    ran = human.clsecure(*kind.flags, "--allow-push", "--on-exit", "keep", cwd=project)
    assert "origin/claude/work" in ran.stdout, ran
    assert set(host.refs(name)) == {"refs/heads/main", "refs/heads/claude/work"}
    assert host.git(name, "log", "-1", "--format=%s", "claude/work") == "Work"
    assert "the agent pushes by itself" in ran.stderr
    assert "pushed by the agent: origin claude/work" in ran.stderr
