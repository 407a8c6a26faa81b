"""`clsecure setup`: what it installs, for whom, what that allows, and how it goes away."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pexpect
import pytest
from hostview import host_view

from clsecure import ahead
from world.human import PROGRAM

pytestmark = pytest.mark.root

HELPER = f"{ahead.INSTALLED}/clsecure-helper"


@pytest.fixture(name="view")
def _view(human, tmp_path):
    with host_view(human, tmp_path) as made:
        yield made


@pytest.fixture(name="installed", scope="module")
def _installed(human, tmp_path_factory):
    """A view with the helper in it, for the tests that change nothing there."""
    with host_view(human, tmp_path_factory.mktemp("installed")) as made:
        made.root(PROGRAM, "setup", "--for", human.name)
        yield made


def listing(view, *places):
    """Mode, owner, kind and path of all that is there."""
    found = view.root("find", *places, "-printf", "%m %U:%G %y %p\n").stdout
    return [line.split(" ", 3) for line in found.splitlines()]


def test_everything_is_roots_and_readable(installed):
    names = list(ahead.modules())
    found = listing(installed, ahead.INSTALLED)
    for mode, owner, kind, path in found:
        assert owner == "0:0"
        expected = "755" if kind == "d" or path == str(HELPER) else "644"
        assert (mode, kind in "df") == (expected, True), path
    paths = {path for _, _, _, path in found}
    assert {f"{ahead.INSTALLED}/helper/{name}" for name in names} < paths
    assert not [path for path in paths if ".new" in path or ".old" in path]
    rules = listing(installed, "/etc/sudoers.d")[1:]
    uid = installed.human.account.pw_uid
    assert f"{ahead.INSTALLED}/users/{uid}" in paths
    assert rules == [["440", "0:0", "f", f"/etc/sudoers.d/zz-clsecure-{uid}"]]


def test_a_human_without_any_other_right_runs_a_session(installed):
    human = installed.human
    project = human.repository("src/after-setup")
    human.agent("id -un; echo new > new.txt; git add -A; git commit -qm 'agent commit'")
    ran = installed.run(PROGRAM, "--mode", "user", cwd=project)
    assert ran.stdout.startswith("claude-worker-after-setu")
    installed.run(PROGRAM, "import", "--branch", "work", "--yes", cwd=project)
    installed.run(PROGRAM, "cleanup", "--yes", cwd=project)
    assert human.run("git", "log", "-1", "--format=%s", "work", cwd=project).stdout == (
        "agent commit\n"
    )


def test_a_human_sets_up_with_their_password_and_is_not_asked_again(view):
    name = view.human.name
    view.root("sh", "-c", f"echo {name}:secret | chpasswd")
    rule = f"/etc/sudoers.d/{name}"
    view.root("sh", "-c", f"echo '{name} ALL=(root) ALL' > {rule}; chmod 440 {rule}")
    screen = view.terminal(PROGRAM, "setup")
    screen.expect("password for")
    screen.sendline("wrong")
    screen.expect("password for")
    screen.sendline("secret")
    screen.expect("installed: /usr/lib/clsecure")
    screen.expect("tried")
    screen.expect(pexpect.EOF)
    screen.wait()
    assert screen.exitstatus == 0
    assert "no sessions" in view.run(PROGRAM, "list").stderr


def test_a_rule_that_does_not_count_is_an_error(view):
    name = view.human.name
    rule = "/etc/sudoers.d/zzz"
    view.root("sh", "-c", f"echo '{name} ALL=(root) ALL' > {rule}; chmod 440 {rule}")
    refused = view.root(PROGRAM, "setup", "--for", name, code=4)
    assert "sudo does not let" in refused.stderr
    assert [row[3] for row in listing(view, "/etc/sudoers.d")[1:]] == [rule]


def test_without_setup_there_is_no_session_and_the_next_step_is_named(view):
    ended = view.run(PROGRAM, "list", code=4)
    assert "clsecure setup --for" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        [HELPER, "--help"],
        [HELPER, ""],
        ["/usr/bin/python3"],
        ["/usr/bin/python3", "-IS", f"{ahead.INSTALLED}/helper"],
        ["bin/clsecure-helper"],
        ["./clsecure-helper"],
        ["SUDO_UID=0", HELPER],
        ["-u", "nobody", HELPER],
        ["-g", "disk", HELPER],
        ["-D", "/etc", HELPER],
        ["-R", "/tmp", HELPER],
        ["-E", "PYTHONPATH=/tmp", HELPER],
        ["-s"],
        ["-e", HELPER],
    ],
    ids=lambda words: " ".join(Path(str(word)).name for word in words) or "nothing",
)
def test_the_rule_allows_nothing_else(installed, words):
    installed.human.write("bin/clsecure-helper", "#!/bin/sh\nid -u\n", mode=0o755)
    said = installed.run("sudo", "-n", *words, code=None)
    assert said.returncode == 1
    assert any(
        text in said.stderr
        for text in ("a password is required", "not allowed", "not permitted", "command not found")
    ), said.stderr
    # The control: the helper itself starts, and finds that it does not sit on a socket.
    control = installed.run("sudo", "-n", HELPER, code=2)
    assert "on a socket" in control.stderr


def test_another_human_has_no_right(installed):
    ended = installed.root(
        "runuser", "-u", "nobody", "--", "/usr/bin/sudo", "-n", HELPER, code=None
    )
    assert ended.returncode == 1


def test_a_package_that_differs_is_not_taken_for_the_installed_one(view):
    view.root(PROGRAM, "setup", "--for", view.human.name)
    look = "from clsecure import ahead as a; print(a.is_installed())"
    python = PROGRAM.parent / "python"
    assert view.run(python, "-c", look).stdout == "True\n"
    view.root("sh", "-c", f"echo >> {ahead.INSTALLED}/helper/loop.py")
    assert view.run(python, "-c", look).stdout == "False\n"
    view.root(PROGRAM, "setup")
    view.root("sed", "-i", "1s/./X/", f"{ahead.INSTALLED}/helper/loop.py")  # of the same size
    assert view.run(python, "-c", look).stdout == "False\n"
    view.root(PROGRAM, "setup")  # again, for nobody new: the rule stays
    assert view.run(python, "-c", look).stdout == "True\n"
    view.run("sudo", "-n", HELPER, code=2)


def test_a_rule_for_another_user_does_not_stand_in_the_way_of_a_password(view):
    project = view.human.repository("src/no-rule")
    look = "from clsecure import ahead as a; begun = a.begin({}, '.'); begun.close(); "
    look += "print(a.is_installed(), begun.helper, begun.listing is not None)"
    view.root(PROGRAM, "setup", "--for", "daemon")
    said = view.run(PROGRAM.parent / "python", "-c", look, cwd=project).stdout
    assert said == "True None True\n"


def test_remove_leaves_nothing(view):
    places = ("/usr/lib", "/etc/sudoers.d", "-maxdepth", "1")
    before = listing(view, *places)
    view.root(PROGRAM, "setup", "--for", view.human.name)
    assert listing(view, *places) != before
    removed = view.root(PROGRAM, "setup", "--remove", "--for", view.human.name)
    assert removed.stdout.splitlines() == ["removed: the sudo rule", "removed: /usr/lib/clsecure"]
    assert listing(view, *places) == before
    assert view.root(PROGRAM, "setup", "--remove").stdout == "nothing was installed\n"


def test_remove_leaves_what_another_user_has(view):
    view.root(PROGRAM, "setup", "--for", view.human.name)
    view.root(PROGRAM, "setup", "--for", "daemon")
    said = view.root(PROGRAM, "setup", "--remove", "--for", view.human.name).stdout
    assert "kept: /usr/lib/clsecure" in said
    view.run("sudo", "-n", HELPER, code=1)
    rules = [row[3] for row in listing(view, "/etc/sudoers.d")[1:]]
    assert rules == ["/etc/sudoers.d/zz-clsecure-1"]
    users = [row[3] for row in listing(view, f"{ahead.INSTALLED}/users")[1:]]
    assert users == [f"{ahead.INSTALLED}/users/1"]
    said = view.root(PROGRAM, "setup", "--remove").stdout
    assert said == "removed: the sudo rule\nremoved: /usr/lib/clsecure\n"


def test_who_called_sudo_gets_the_rule_and_a_root_who_did_not_gets_none(view):
    uid = str(view.human.account.pw_uid)
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    assert "no sudo rule" in view.root(PROGRAM, "setup", env=path).stdout
    assert listing(view, "/etc/sudoers.d")[1:] == []
    said = view.root(PROGRAM, "setup", env={**path, "SUDO_UID": uid}).stdout
    assert f"sudo rule: {view.human.name} may start" in said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("chmod o+w /usr/lib", "/usr/lib can be written by others than root"),
        ("chown nobody /usr/lib", "/usr/lib does not belong to root"),
        ("chmod g+w /etc/sudoers.d", "/etc/sudoers.d can be written by others than root"),
        ("mount --bind /bin/false /usr/sbin/visudo", "visudo refuses the rule"),
    ],
)
def test_it_refuses_where_others_could_write(view, spoil, said):
    view.root("sh", "-c", spoil)
    refused = view.root(PROGRAM, "setup", "--for", view.human.name, code=None)
    assert refused.returncode in (1, 3)
    assert said in refused.stderr
    assert listing(view, "/etc/sudoers.d")[1:] == []


def test_it_refuses_a_python_that_a_user_can_write(view, tmp_path):
    own = tmp_path / "python3"
    view.root("cp", "/usr/bin/python3", own)
    view.root("chmod", "755", own)
    view.root("chown", "nobody", own)
    view.root("mount", "--bind", own, os.path.realpath("/usr/bin/python3"))
    refused = view.root(PROGRAM, "setup", "--for", view.human.name, code=3)
    assert "does not belong to root" in refused.stderr


def test_links_in_the_way_lead_nowhere(view):
    victim = view.human.home / "victim"
    view.run("mkdir", "-m", "777", victim)
    view.root("ln", "-s", victim, ahead.INSTALLED)
    view.root("ln", "-s", victim, "/usr/lib/.clsecure.new")
    view.root(
        "ln", "-s", victim / "rule", f"/etc/sudoers.d/.clsecure-{view.human.account.pw_uid}.new"
    )
    view.root(PROGRAM, "setup", "--for", view.human.name)
    assert list(victim.iterdir()) == []
    assert stat.S_ISDIR(int(view.root("stat", "-c", "%f", ahead.INSTALLED).stdout, 16))
    view.run("sudo", "-n", HELPER, code=2)


def test_a_user_that_is_not_there_gets_no_rule(view):
    refused = view.root(PROGRAM, "setup", "--for", "nobody-of-that-name", code=2)
    assert "there is no user nobody-of-that-name" in refused.stderr


def test_a_worker_gets_no_rule(view):
    view.root("useradd", "--no-create-home", "claude-worker-nobody-000000")
    try:
        refused = view.root(PROGRAM, "setup", "--for", "claude-worker-nobody-000000", code=3)
    finally:
        view.root("userdel", "claude-worker-nobody-000000")
    assert "a worker may not start sessions" in refused.stderr
    assert listing(view, "/etc/sudoers.d")[1:] == []
