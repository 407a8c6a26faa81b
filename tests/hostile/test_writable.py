"""Root of a writable container: it has the session's own layers, and nothing of the host's."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import killing
import pytest
from caller import Caller, open_request, patched

from clsecure.helper.protocol import Failed, Opened

pytestmark = pytest.mark.root

HOST_PLACES = ("/usr", "/etc", "/opt", "/var/lib/dpkg", "/var/lib/apt")


@pytest.fixture(scope="module")
def top(human):
    return human.repository("layered")


@pytest.fixture(scope="module")
def sealed():
    """What of the host's programs and settings not every user may read."""
    argv = ["find", "/usr", "/opt", "/etc/ssl", "-xdev", "(", "-type", "d", "!", "-perm", "-005"]
    argv += ["-prune", "-o", "!", "-type", "l", "!", "-type", "d", "!", "-perm", "-004", ")"]
    found = subprocess.run([*argv, "-print0"], check=True, capture_output=True, text=True).stdout
    paths = [path for path in found.split("\0") if path]
    assert "/etc/ssl/private" in paths
    return paths


def as_root(human, top, script, *, package=None, then=None, **fields):
    """What a script says as root of a fresh container; `then`: what another says as the worker."""
    request = open_request(human, top, engine="podman", writable=True, **fields)
    options = {"package": package} if package else {}
    with Caller(human.account.pw_uid, **options) as caller:
        opened = caller.ask(request)
        assert isinstance(opened, Opened), opened
        ran = [caller.run("/bin/sh", "-c", script, rooted=True)]
        if then:
            ran.append(caller.run("/bin/sh", "-c", then))
        caller.discard(opened)
    return ran if then else ran[0]


def listing(paths):
    quoted = " ".join(f"'{path}'" for path in paths)
    return f'for path in {quoted}; do [ ! -e "$path" ] || echo "$path"; done'


def test_what_the_host_keeps_to_root_is_not_there(human, top, sealed):
    ran = as_root(human, top, f"id -u; ls -d /etc/ssl/certs; {listing(sealed)}")
    assert ran.output == "0\n/etc/ssl/certs\n"


def test_control_without_the_masks_it_is_read(human, top, sealed, tmp_path):
    change = ("withheld.py", "    return tuple(os.fsdecode", "    return () and tuple(os.fsdecode")
    package = patched(tmp_path, change)
    script = f"ls /etc/ssl/private >/dev/null && echo entered; {listing(sealed)}"
    ran = as_root(human, top, script, package=package)
    assert ran.output.splitlines() == ["entered", *sealed]


def test_nothing_of_the_host_is_written(human, top):
    def changes():
        return {
            place: os.stat(place).st_ctime_ns
            for place in ("/usr", "/usr/bin", "/usr/bin/env", "/opt")
        }

    marks = [f"{place}/made-by-a-test" for place in HOST_PLACES]
    before = changes()
    script = f"touch {' '.join(marks)} && ls {' '.join(marks)}; echo x >> /usr/bin/env; rm /usr/bin/ls; touch /made-by-a-test"
    ran = as_root(human, top, script)
    assert set(ran.output.split()) == set(marks)  # it did write there
    assert not [path for path in (*marks, "/made-by-a-test") if Path(path).exists()]
    assert changes() == before


ATTEMPTS = """
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name: got through"; else echo "$name: no"; fi; }
try layer touch /usr/made
try device mknod /usr/disk b DISK
try zero mknod /usr/zero c 1 5
try whiteout mknod /usr/whiteout c 0 0
try trusted python3 -c "import os; os.setxattr('/usr/share', 'trusted.overlay.opaque', b'y')"
try mounting mount -t tmpfs none /mnt
try remount mount -o remount,suid /usr
try namespace unshare --user true
try name hostname other
try sysctl sh -c "echo 1 > /proc/sys/kernel/panic"
try address ip address add 10.1.1.1/8 dev lo
try state ls /var/lib/clsecure
try inside touch /run/clsecure/made
try home ls HOME/.ssh
"""


def test_its_rights_end_at_its_own_files(human, top):
    human.run("mkdir", "-p", ".ssh")
    disk = os.stat("/").st_dev
    script = ATTEMPTS.replace("DISK", f"{os.major(disk)} {os.minor(disk)}")
    ran = as_root(human, top, script.replace("HOME", str(human.home)))
    said = dict(line.split(": ") for line in ran.output.splitlines())
    assert said.pop("layer") == "got through"
    assert said == dict.fromkeys(said, "no")
    assert len(said) == 13


def test_what_it_leaves_gives_the_worker_no_rights(human, top):
    leave = """
    cp /bin/cat /usr/local/bin/reader; chmod 4755 /usr/local/bin/reader
    cp /usr/bin/python3 /usr/local/bin/able
    # struct vfs_cap_data: effective, CAP_SETUID and CAP_DAC_OVERRIDE
    python3 -c 'import os, struct
os.setxattr("/usr/local/bin/able", "security.capability", struct.pack("<5I", 0x2000001, 0x82, 0, 0, 0))'
    echo secret > /usr/local/secret; chmod 600 /usr/local/secret
    ls -l /usr/local/bin/reader | cut -c1-10
    """
    use = """
    cat /usr/local/secret; /usr/local/bin/reader /usr/local/secret
    able -c 'print(open("/usr/local/secret").read())'; able -c 'import os; os.setuid(0)'
    touch /usr/made; id -u
    """.replace("able", "/usr/local/bin/able")
    left, used = as_root(human, top, leave, then=use)
    assert left.output == "-rwsr-xr-x\n"
    assert "secret\n" not in used.output.replace("/usr/local/secret", "")
    assert used.output.count("ermission denied") >= 4
    assert "not permitted" in used.output
    assert used.output.splitlines()[-1] != "0"


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"engine": "podman"}, {}),
        ({"engine": "podman", "writable": True}, {"confined": False}),
        ({"engine": "none"}, {}),
        ({"engine": "firejail"}, {}),
    ],
)
def test_nobody_is_root_elsewhere(human, top, fields, options):
    with Caller(human.account.pw_uid) as caller:
        opened = caller.ask(open_request(human, top, **fields))
        ran = caller.run("/usr/bin/id", rooted=True, **options)
        assert isinstance(ran.answer, Failed)
        assert "can be root there" in ran.answer.message
        caller.discard(opened)


def test_nobody_is_root_when_a_session_goes_on(human, top):
    request = open_request(human, top, engine="podman", writable=True)
    with Caller(human.account.pw_uid) as caller:
        assert isinstance(caller.ask(request), Opened)
        assert caller.run("/usr/bin/id", "-u", rooted=True).output == "0\n"
    with Caller(human.account.pw_uid) as caller:
        opened = caller.ask(request.replace(action="resume", workers=()))
        ran = caller.run("/usr/bin/id", rooted=True)
        assert isinstance(ran.answer, Failed)
        caller.discard(opened)


@pytest.mark.parametrize("engine", ["none", "firejail", "bubblewrap"])
def test_no_other_engine_has_a_writable_system(human, top, engine):
    with Caller(human.account.pw_uid) as caller:
        answer = caller.ask(open_request(human, top, engine=engine, writable=True))
    assert isinstance(answer, Failed)
    assert "only a container's root directory can be writable" in answer.message


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('*("--cap-drop=all", *kept,', "*(*kept,", "Cap"),
        ('    "SETFCAP": 31,\n', '    "SETFCAP": 31,\n    "SYS_ADMIN": 40,\n', "Cap"),
        ('"--user=0:0",', '"--user=1:1",', "Uid is 1"),
    ],
)
def test_more_rights_than_planned_are_noticed(human, top, tmp_path, old, new, fault):
    package = patched(tmp_path, ("engines.py", old, new))
    ran = as_root(human, top, "id", package=package)
    assert isinstance(ran.answer, Failed)
    assert fault in ran.answer.message


# What root of a container could leave for the next start of its session.
TRAPS = {
    "etc-is-a-link-to-the-home": "mv /etc /before; ln -s HOME /etc",
    "etc-is-a-link-upwards": "mv /etc /before; ln -s ../../../../../..HOME /etc",
    "var-is-a-link": "mv /var /before; ln -s HOME /var",
    "etc-is-gone": "mv /etc /before",
    "var-is-a-file": "mv /var /before; touch /var",
    "accounts-are-links": "rm /etc/passwd /etc/group; ln -s HOME/planted /etc/passwd; ln -s HOME/planted /etc/group",
    "mount-points-are-links": "rmdir /srv; ln -s HOME /srv; mv /root /r; ln -s HOME /root",
}


@pytest.mark.parametrize("trap", TRAPS)
def test_what_it_plants_leads_root_nowhere(human, top, trap):
    before = {path: path.lstat().st_mtime_ns for path in human.home.iterdir()}
    request = open_request(human, top, engine="podman", writable=True, session="trap")
    with Caller(human.account.pw_uid) as caller:
        assert isinstance(caller.ask(request), Opened)
        caller.run("/bin/sh", "-c", TRAPS[trap].replace("HOME", str(human.home)), rooted=True)
    with Caller(human.account.pw_uid) as caller:
        opened = caller.ask(request.replace(action="resume", workers=()))
        assert isinstance(opened, Opened), opened
        # The engine may refuse it; what brings work home does not need it.
        caller.run("/usr/bin/id")
        assert caller.run("/usr/bin/id", "-u", confined=False).code == 0
        caller.discard(opened)
    assert {path: path.lstat().st_mtime_ns for path in human.home.iterdir()} == before


def test_a_kill_loses_nothing_of_it(human, top):
    human.write(".config/clsecure/config", "setup_script = echo kept > /etc/kept\n")
    human.agent("true")
    flags = ("exec", "--mode", "container", "-s", "killed")
    words = (*flags, "--writable", "--", "sh", "-c", "cat /etc/kept; sleep 300")
    workers = killing.prefix("layered")
    with killing.Running(human, *words, cwd=top, on_terminal=False) as running:
        running.wait_for("kept\n")
        helper = running.helper(workers)
        os.kill(helper.pid, signal.SIGKILL)
        killing.assert_all_ends(human, workers, time.monotonic())
    seen = human.clsecure(*flags, "--", "cat", "/etc/kept", cwd=top)
    assert seen.stdout == "kept\n"
    human.clsecure("discard", "-s", "killed", "--yes", cwd=top)
    human.write(".config/clsecure/config", "")
