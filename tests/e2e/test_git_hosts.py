"""`push = origin`: the agent fetches and pushes with the human's right, without their token."""

from __future__ import annotations

import json
import re

import pytest

from clsecure.egress import log
from e2e.boxes import Kind
from world.githost import HOST, new_git_host
from world.internet import OTHER
from world.sshserver import new_ssh_server

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


def records(human, project):
    found = log.records(human.home / ".local/state/clsecure/net")
    return [each for each in found if each["project"] == str(project)]


def test_each_fetch_push_and_refusal_is_on_record(human, host):
    project = host.project(human, "log")
    script = f"{WORK}; git fetch -q; git push -q origin HEAD; git push -q origin HEAD:main; true"
    in_box(human, project, script)
    commit = host.refs("log")["refs/heads/claude/work"][:12]
    base = host.refs("log")["refs/heads/main"][:12]
    only = "a session pushes to claude/* only (push_branches)"
    opened = [each for each in records(human, project) if each["event"] == "open"]
    assert [(each["way"], each["verdict"], each["reason"]) for each in opened] == [
        ("git fetch", "allow", "origin"),
        ("git push", "allow", "origin"),
        ("git push", "allow", f"origin: refs/heads/claude/work new..{commit}"),
        ("git push", "allow", "origin"),
        ("git push", "deny", f"origin: refs/heads/main {base}..{commit}: {only}"),
    ]
    assert {(each["host"], each["port"]) for each in opened} == {("evil.test", 8418)}
    closed = {each["id"]: each for each in records(human, project) if each["event"] == "close"}
    connections = [closed[each["id"]] for each in opened if each["reason"] == "origin"]
    assert all(each["received"] > 100 for each in connections)
    assert connections[1]["sent"] > 300
    shown = human.clsecure("net", cwd=project).stdout
    assert re.search(r"passed +evil.test:8418 +git push .* origin: refs/heads/claude/work", shown)
    assert human.clsecure("net", "verify-log", cwd=project).stdout.endswith("none changed\n")


def test_what_the_remote_says_is_what_the_agent_sees(human, host):
    project = host.project(human, "said")
    said = in_box(human, project, f"{WORK}; git push origin HEAD:claude/protected", code=1)
    assert r"remote: GH006: Protected branch\x1b[31m update failed" in said


def test_what_others_pushed_meanwhile_is_not_lost(human, host):
    project = host.project(human, "behind")
    human.run("git", "switch", "-q", "--detach", cwd=project)
    human.run("git", "commit", "-q", "--allow-empty", "-m", "meanwhile", cwd=project)
    human.run("git", "push", "-q", "origin", "HEAD:refs/heads/claude/work", cwd=project)
    human.run("git", "switch", "-q", "main", cwd=project)
    said = in_box(human, project, f"{WORK}; git push origin HEAD", code=1)
    assert "! [rejected]        HEAD -> claude/work" in said
    in_box(human, project, "git pull -q --rebase origin claude/work && git push -q origin HEAD")
    subjects = host.git("behind", "log", "--format=%s", "claude/work").splitlines()
    assert subjects == ["Work", "meanwhile", "first"]


def test_a_host_that_refuses_the_human_refuses_the_agent(human, host):
    project = host.project(human, "refused")
    store = human.home / ".git-credentials"
    before = store.read_text()
    human.write(store, f"http://human:wrong@{HOST}\n", mode=0o600)
    try:
        said = in_box(human, project, "git fetch", code=128)
    finally:
        human.write(store, before, mode=0o600)
    assert "fatal: remote error: " in said
    assert f"Authentication failed for 'http://{HOST}/refused.git/'" in said
    in_box(human, project, "git fetch")  # the control


def test_more_may_be_allowed_in_ones_own_configuration(human, host):
    project = host.project(human, "more")
    human.write(".config/clsecure/config", "push_branches = wip/*\npush_force = true\n")
    script = f"{WORK}; git push -q origin HEAD:wip/a && git push -q origin HEAD:claude/a &&"
    script += " git commit -q --amend -m Other && git push -q --force origin HEAD:wip/a;"
    script += " git push -q origin HEAD:main && exit 7; exit 0"
    try:
        in_box(human, project, script)
    finally:
        (human.home / ".config/clsecure/config").unlink()
    assert set(host.refs("more")) == {f"refs/heads/{n}" for n in ("main", "wip/a", "claude/a")}
    assert host.git("more", "log", "-1", "--format=%s", "wip/a") == "Other"


def test_a_fork_is_pushed_to_where_the_human_pushes_to(human, host):
    project = host.project(human, "upstream")
    human.run("git", "remote", "set-url", "--push", "origin", host.make("fork"), cwd=project)
    in_box(human, project, f"{WORK}; git fetch -q && git push -q origin HEAD")
    assert set(host.refs("upstream")) == {"refs/heads/main"}
    assert set(host.refs("fork")) == {"refs/heads/claude/work"}


def test_by_ssh_with_the_humans_key(human, host, internet):
    served = human.home / "served/project.git"
    human.run("git", "init", "-q", "--bare", served)
    command = 'eval "exec $SSH_ORIGINAL_COMMAND"'
    with new_ssh_server(internet, (OTHER,), human, served, command) as server:
        human.write(".ssh/id_ed25519", server.key, mode=0o600)
        human.write(".ssh/known_hosts", f"evil.test {server.host_key}\n")
        project = human.repository("src/by-ssh")
        url = f"{server.user}@evil.test:served/project.git"
        human.run("git", "remote", "add", "origin", url, cwd=project)
        human.run("git", "push", "-q", "origin", "main", cwd=project)
        in_box(human, project, f"{WORK}; git push -q origin HEAD && git fetch -q origin")
        other = f"{server.user}@evil.test:served/other.git"
        human.run("git", "init", "-q", "--bare", human.home / "served/other.git")
        in_box(human, project, f"timeout 20 git ls-remote {other}", code=128)
        human.run("git", "ls-remote", other, cwd=project)  # the control
        human.run("rm", "-r", ".ssh/id_ed25519")
        said = in_box(human, project, "git fetch", code=128)
        assert "Permission denied" in said  # and nobody was asked for a password
    listed = human.run("git", "for-each-ref", "--format=%(refname)", cwd=served).stdout.split()
    assert listed == ["refs/heads/claude/work", "refs/heads/main"]


def test_a_shallow_repository_pushes_and_fetches(human, host):
    full = host.project(human, "shallow")
    for number in range(3):
        human.run("git", "commit", "-q", "--allow-empty", "-m", f"{number}", cwd=full)
    human.run("git", "push", "-q", "origin", "main", cwd=full)
    top = human.home / "src/shallow-clone"
    human.run("git", "clone", "-q", "--depth=1", host.url("shallow"), top)
    in_box(human, top, f"{WORK} && git fetch -q && git push -q origin HEAD")
    assert len(host.git("shallow", "rev-list", "claude/work").splitlines()) == 5


def test_a_kept_session_has_it_as_it_is_asked_for(human, host):
    project = host.project(human, "kept")
    human.clsecure("exec", "--", "sh", "-c", WORK, cwd=project)
    human.clsecure("exec", "--", "git", "push", "-q", "origin", "HEAD", cwd=project, code=128)
    in_box(human, project, "git push -q origin HEAD")
    human.clsecure("exec", "--", "git", "fetch", cwd=project, code=128)
    assert "refs/heads/claude/work" in host.refs("kept")
    asked = json.loads(human.clsecure("config", "--json", "--allow-push", cwd=project).stdout)
    assert asked["push"]["value"] == "origin"
