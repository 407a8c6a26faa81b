"""`clsecure doctor` on hosts that lack something: really, in a view of the host."""

from __future__ import annotations

import json
import os

import pytest
from hostview import host_view

from world.human import PROGRAM

pytestmark = pytest.mark.root

NAMES = (
    "python", "root", "git", "kernel", "user namespaces", "seccomp", "cgroup v2",
    "limits", "disk limit", "engine", "containers", "users", "room", "tools", "images", "agent",
    "terminal",
)  # fmt: skip


@pytest.fixture(name="view")
def _view(human, tmp_path):
    human.agent("true")
    with host_view(human, tmp_path) as made:
        yield made


def look(view, *, code):
    """The document of `doctor --json`, by the name of the check."""
    document = json.loads(view.run(PROGRAM, "doctor", "--json", code=code).stdout)
    assert all(set(row) == {"check", "status", "for", "found", "mend"} for row in document)
    return {row["check"]: row for row in document}


def test_a_whole_host_is_found_whole(view):
    view.root(PROGRAM, "setup", "--for", view.human.name)
    rows = look(view, code=0)
    assert tuple(rows) == NAMES
    ok = {name for name, row in rows.items() if row["status"] == "ok"}
    assert ok == set(NAMES) - {"terminal"}
    assert "sudo rule" in rows["root"]["found"]
    assert rows["agent"]["found"] == f"claude: {view.human.home}/bin/claude"
    assert all(row["mend"] is None for row in rows.values() if row["status"] == "ok")
    said = view.run(PROGRAM, "doctor").stdout
    assert said.endswith("a session can run here in the default mode\n")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ("hide /usr/bin/firejail /usr/bin/bwrap", ("engine", "neither", "firejail")),
        ("drop u-s /usr/bin/firejail; hide /usr/bin/bwrap", ("engine", "set-uid", "firejail")),
        ("hide /usr/sbin/useradd", ("users", "no useradd", "install passwd")),
        ("hide /usr/bin/tar", ("tools", "no tar", "install tar")),
        ("say 'git version 2.20.1' /usr/bin/git", ("git", "2.31 is needed", "install git")),
        ("hide /usr/bin/git", ("git", "no git", "install git")),
        ("hide /usr/bin/sudo /bin/sudo", ("root", "no sudo", "install sudo")),
        ("own /usr/bin/python3.11", ("python", "does not belong to root", "chown root")),
        ("rm -f $HOME/bin/claude", ("agent", "no claude", "npm install")),
        (
            "mount -t tmpfs -o size=1m none /var/lib",
            ("room", "0.0 GiB free, tmpfs", "make room"),
        ),
    ],
)
def test_what_is_missing_is_named_with_its_cure(view, tmp_path, spoil, expected):
    check, found, mend = expected
    script = f"""
    hide() {{ for path; do mount --bind /dev/null "$path"; done; }}
    copy() {{ cp -p "$1" {tmp_path}/copy; mount --bind {tmp_path}/copy "$1"; }}
    say() {{ printf '#!/bin/sh\\necho %s\\n' "$1" > {tmp_path}/said; chmod 755 {tmp_path}/said;
             mount --bind {tmp_path}/said "$2"; }}
    own() {{ copy "$1"; chown nobody "$1"; }}
    drop() {{ copy "$2"; chmod "$1" "$2"; }}
    HOME={view.human.home}
    {spoil}
    """
    view.root("sh", "-ec", script)
    rows = look(view, code=4)
    assert rows[check]["status"] == "missing"
    assert found in rows[check]["found"]
    assert mend in rows[check]["mend"]
    assert [name for name in rows if rows[name]["status"] == "missing"] == [check]
    assert view.run(PROGRAM, "doctor", code=4).stdout.splitlines()[-1] == (
        f"no session can run here in the default mode: {check}"
    )


def test_a_sudo_that_asks_is_weak_and_setup_mends_it(view):
    row = look(view, code=0)["root"]
    assert row["status"] == "weak"
    assert view.run(PROGRAM, "doctor").stderr == ""
    assert row["mend"].startswith("clsecure setup")


def test_one_engine_is_enough(view):
    view.root("mount", "--bind", "/dev/null", "/usr/bin/firejail")
    row = look(view, code=0)["engine"]
    assert row["status"] == "ok"
    assert row["found"].startswith("bubblewrap ")


@pytest.mark.parametrize(
    ("programs", "part"),
    [
        ("/usr/bin/podman", "podman"),
        ("/usr/bin/crun", "crun"),
        ("/usr/bin/newuidmap", "uidmap"),
    ],
)
def test_container_mode_is_wanted_by_some(view, programs, part):
    view.root("sh", "-ec", f"for each in {programs}; do mount --bind /dev/null $each; done")
    row = look(view, code=0)["containers"]
    assert (row["status"], row["found"]) == ("weak", f"no {part}")
    assert f"install {part}" in row["mend"]


@pytest.mark.parametrize(
    ("program", "said", "found"),
    [
        ("podman", "podman version 3.4.4", "podman 3.4.4, crun 1"),
        ("podman", "podman version 3.4.4", "podman 4.0 is needed"),
        ("crun", "crun version 0.17", "crun 1.8 is needed"),
    ],
)
def test_versions_that_are_too_old_for_containers_are_named(view, tmp_path, program, said, found):
    script = f"""printf '#!/bin/sh\\necho {said}\\n' > {tmp_path}/said; chmod 755 {tmp_path}/said
    mount --bind {tmp_path}/said /usr/bin/{program}"""
    view.root("sh", "-ec", script)
    row = look(view, code=0)["containers"]
    assert row["status"] == "weak"
    assert found in row["found"]
    assert f"install {program}" in row["mend"]


def test_a_terminal_is_seen(human):
    screen = human.terminal(PROGRAM, "doctor", cwd=human.home, size=(40, 80))
    screen.expect("terminal: xterm-256color")
    screen.wait()
    assert os.WIFEXITED(screen.status)
