"""`--writable`: what is changed in a container's system, by whom, and for how long it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.test_images import CONFIG, SMALL, archive
from world.ociimage import Entry, folder

SETUP = """
set -e
echo hello > /usr/local/bin/tool; chmod 755 /usr/local/bin/tool
echo set > /etc/something; mkdir -p /opt/thing /var/lib/thing; echo kept > /var/lib/thing/state
touch made; mkdir -p "/home/$CLSECURE_WORKER_USER/dir/of/roots"
""".strip().replace("\n", "; ")
LOOK = "cat /usr/local/bin/tool /etc/something /var/lib/thing/state; ls -d /opt/thing; id -u"
SEEN = ["hello", "set", "kept", "/opt/thing"]
ROOT = (*SMALL, folder("usr/local/bin"), folder("var/lib"), Entry("usr/of-the-image", b"1\n"))


@pytest.fixture(scope="module", params=["host", "image"])
def system(request, human):
    """What the container's root directory is, as flags."""
    if request.param == "host":
        return ()
    return ("--image", archive(human, "root.tar", ROOT, config=CONFIG))


def config(human, script=SETUP, *more):
    human.write(".config/clsecure/config", "\n".join([f"setup_script = {script}", *more, ""]))


@pytest.fixture
def top(human, request):
    human.agent("true")
    made = human.repository(f"writable-{abs(hash(request.node.name)) % 10**6}")
    yield made
    human.write(".config/clsecure/config", "")
    for session in ((), ("-s", "b")):
        human.clsecure("discard", *session, "--yes", cwd=made, code=None)


def container(*words, flags=()):
    return ("exec", "--mode", "container", *flags, "--", "sh", "-c", *words)


def test_what_set_up_changed_is_there_for_the_agent_and_again_on_resume(human, top, system):
    config(human)
    first = human.clsecure(*container(LOOK, flags=("--writable", *system)), cwd=top)
    *seen, uid = first.stdout.splitlines()
    assert "setup script, in the box, as root of the container" in first.stderr
    assert seen == SEEN
    assert int(uid) >= 66000
    resumed = human.clsecure(*container(LOOK, flags=system), cwd=top)
    assert resumed.stdout == first.stdout
    human.agent("cat /etc/something")
    ran = human.clsecure("--mode", "container", "--resume", *system, cwd=top)
    assert ran.stdout == "set\n"
    assert "its system: writable, kept with the session" in ran.stderr
    config(human, "true")
    other = container("cat /etc/something", flags=("-s", "b", "--writable", *system))
    assert human.clsecure(*other, cwd=top, code=1).stdout == ""
    assert not Path("/etc/something").exists()
    assert not Path("/usr/local/bin/tool").exists()
    worker = human.clsecure("exec", "--", "id", "-un", cwd=top).stdout.strip()
    human.clsecure("discard", "--yes", cwd=top)
    assert not Path("/var/lib/clsecure", worker).exists()


def test_ids_are_the_containers_and_the_workers_own_stays_the_workers(human, top, system):
    config(human, f"{SETUP}; chown 42:42 /etc/something")
    script = (
        "stat -c %u:%a /usr/local/bin/tool /etc/something / /usr; stat -c %u made . ~/dir/of/roots;"
        " rm -r made ~/dir; id -u"
    )
    ran = human.clsecure(*container(script, flags=("--writable", *system)), cwd=top)
    *system_files, made, here, home, uid = ran.stdout.split()
    assert system_files == ["0:755", "42:644", "0:755", "0:755"]
    assert {made, here, home} == {uid}


def test_without_it_a_setup_script_fails_and_says_what_to_do(human, top, system):
    config(human)
    ran = human.clsecure(*container("cat /etc/something", flags=system), cwd=top, code=1)
    assert "Read-only file system" in ran.stderr
    assert "setup script ended with code" in ran.stderr
    assert "a container's system is read-only: --writable lets the script change it" in ran.stderr


@pytest.mark.parametrize("mode", ["user", "namespace"])
def test_other_modes_have_no_system_of_their_own(human, top, mode):
    ended = human.clsecure("exec", "--mode", mode, "--writable", "--", "true", cwd=top, code=2)
    assert f"in {mode} mode the system is the host's" in ended.stderr
    assert "--mode container has one of its own" in ended.stderr
    config(human, "true", "writable = true")
    human.clsecure("exec", "--mode", mode, "--", "true", cwd=top, code=2)
    human.clsecure("exec", "--mode", mode, "--no-writable", "--", "true", cwd=top)


def test_a_session_can_become_writable_later(human, top, system):
    config(human, "true")
    human.clsecure(*container("true", flags=system), cwd=top)
    # Nobody is root there any more, but the directory belongs to the image's other users.
    script = "grep ' / overlay rw' /proc/mounts | wc -l"
    flags = ("--writable", *system)
    assert human.clsecure(*container(script, flags=flags), cwd=top).stdout == "1\n"
    assert human.clsecure(*container(script, flags=system), cwd=top).stdout == "1\n"


def test_it_counts_as_the_sessions_disk(human, top, system):
    config(human, "head -c 200000000 /dev/zero > /usr/local/large; ls -s /usr/local")
    flags = ("--writable", "--disk", "64M", *system)
    ran = human.clsecure(*container("true", flags=flags), cwd=top)
    assert "error" in ran.stderr or "No space left on device" in ran.stderr
    assert "disk: the limit of 64M was reached" in ran.stderr
