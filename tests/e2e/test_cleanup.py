"""Cleaning up: the hook of each project is run, and nothing stands in the way of removal."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.root

HOOK = 'echo "hook $CLSECURE_CLEANUP_LEVEL as $(id -un)"\n'


def test_cleaning_all_runs_each_projects_hook_and_removes_every_worker(human):
    human.agent("echo x > x.txt")
    projects = [
        human.repository(f"src/all-{number}", {"a": "1\n", ".clsecure/on-cleanup": HOOK})
        for number in range(2)
    ]
    plain = human.repository("src/all-plain")
    for project in (*projects, plain):
        human.clsecure("--mode", "user", cwd=project)
    workers = human.workers()
    ended = human.clsecure("cleanup", "--all", "--yes", cwd=human.home)
    assert sorted(line for line in ended.stdout.splitlines()) == sorted(
        f"removed: {worker}" for worker in workers
    )
    assert ended.stderr.count("hook purge as claude-worker-all-") == len(projects)
    assert human.workers() == []


def test_a_hook_that_cannot_run_does_not_keep_a_worker(human):
    project = human.repository("src/nohook", {"a": "1\n", ".clsecure/on-cleanup": HOOK})
    human.agent("true")
    human.clsecure("--mode", "user", cwd=project)
    human.run("rm", "-rf", project / ".git/objects")
    ended = human.clsecure("cleanup", "--all", "--yes", cwd=human.home)
    assert "the cleanup hook was not run" in ended.stderr
    assert human.workers() == []


def test_a_command_in_the_box_finds_the_agent_and_only_a_shell_its_key(human):
    project = human.repository("src/find")
    human.agent('echo "agent with ${ANTHROPIC_API_KEY:-no key}"')
    env = {"ANTHROPIC_API_KEY": "key-of-a-test"}
    ended = human.clsecure("exec", "--", "claude", cwd=project, env=env)
    assert ended.stdout == "agent with no key\n"
    ended = human.clsecure("shell", cwd=project, env=env, stdin="claude\nexit\n")
    assert "agent with sk-clsecure-in-place-of-ANTHROPIC_API_KEY\n" in ended.stdout
