"""Rights: no set-uid program, namespace or capability gives a worker more than it has."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import pytest
from caller import Caller, open_request, patched
from probe import BOXES, got, inside, mode_options, outside, script

from clsecure.helper.protocol import Opened

pytestmark = pytest.mark.root

STATUS = """
with open("/proc/self/status") as file:
    lines = dict(line.rstrip("\\n").split(":\\t", 1) for line in file if ":\\t" in line)
@attempt
def status(): return lines
"""

SET_UID = """
def run(*words):
    options = {"capture_output": True, "text": True, "timeout": 20}
    return subprocess.run(words, stdin=subprocess.DEVNULL, **options)

@attempt
def planted_by_root():
    return run(GIVEN["program"], "-u").stdout.strip() == "0" or None
@attempt
def sudo(): return run("sudo", "-n", "id", "-u").stdout.strip() == "0" or None
@attempt
def su(): return run("su", "-c", "id -u").stdout.strip() == "0" or None
@attempt
def own_copy():
    # A set-uid copy of the worker's own gives nobody's rights to anybody.
    shutil_copy = open("/usr/bin/id", "rb").read()
    path = GIVEN["place"] + "/own-id"
    with open(path, "wb") as file:
        file.write(shutil_copy)
    os.chmod(path, 0o6755)
    return int(run(path, "-u").stdout) != os.getuid() or None
"""

MORE = """
@attempt
def user_namespace(): return syscall(272, 0x10000000) == 0 or None
@attempt
def user_namespace_by_program():
    return subprocess.run(["unshare", "-Ur", "true"], capture_output=True).returncode == 0 or None
@attempt
def user_namespace_by_clone():
    child = syscall(56, 0x10000000 | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child
@attempt
def user_namespace_by_clone3():
    fields = struct.pack("QQQQQ", 0x10000000, 0, 0, 0, 17) + b"\\0" * 48
    arguments = ctypes.create_string_buffer(fields)
    child = syscall(435, arguments, 88)
    if child == 0:
        os._exit(0)
    return child
@attempt
def mounting(): return libc.mount(b"t", b"/tmp", b"tmpfs", 0, None) == 0 or None
@attempt
def new_mount(): return syscall(430, b"tmpfs", 0)
@attempt
def tree(): return syscall(428, -100, b"/usr", 1)
@attempt
def chroot(): return os.chroot("/tmp") or "done"
@attempt
def clock(): return time.clock_settime(time.CLOCK_REALTIME, time.time()) or "set"
@attempt
def host_name(): return socket.sethostname("x") or "set"
@attempt
def nice(): return os.nice(-5)
@attempt
def other_user(): return os.setuid(0) or "root"
@attempt
def other_group(): return os.setgroups([0]) or "root"
@attempt
def firejail():
    words = ["firejail", "--noprofile", "--quiet", "id", "-u"]
    ended = subprocess.run(words, capture_output=True, timeout=20)
    return ended.stdout.strip() == b"0" or None
@attempt
def bubblewrap():
    words = ["bwrap", "--unshare-user", "--uid", "0", "--bind", "/", "/", "id", "-u"]
    return subprocess.run(words, capture_output=True, timeout=20).stdout.strip() == b"0" or None
@attempt
def newgrp():
    ended = subprocess.run(["newgrp", "disk"], input=b"id -gn", capture_output=True, timeout=20)
    return ended.stdout.strip() == b"disk" or None
@attempt
def nested():
    # A sandbox within is no way out of the filter: it is inherited.
    ended = subprocess.run(["sh", "-c", "unshare -U true && echo yes"], capture_output=True)
    return ended.stdout or None
"""


@pytest.fixture(scope="module")
def project(human):
    return human.repository()


@pytest.fixture(scope="module")
def programs(human):
    """A set-uid program of root's, which prints the effective user id."""
    directory = Path("/opt", f"clsecure-t-{secrets.token_hex(4)}")
    directory.mkdir()
    shutil.copy("/usr/bin/id", directory / "id")
    os.chmod(directory / "id", 0o4755)
    yield directory
    shutil.rmtree(directory)


def given(programs):
    return {"program": programs / "id", "place": "/tmp"}


def test_control_set_uid_works_outside(human, programs):
    found = outside(human, SET_UID, given(programs))
    assert found["planted_by_root"]
    assert found["sudo"]
    assert not found["own_copy"]
    Path("/tmp/own-id").unlink()


@pytest.mark.parametrize("place", ["/tmp", "project"])
@pytest.mark.parametrize("box", BOXES)
def test_set_uid_gives_nothing(human, project, programs, box, place):
    where = {**given(programs), "place": project if place == "project" else place}
    found = inside(human, project, box, SET_UID, where)
    assert len(found) == SET_UID.count("@attempt")
    assert {name for name, value in found.items() if value} == set()


BIT = """
@attempt
def bit():
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith("NoNewPrivs"))
"""


def test_control_without_the_gates_locks_the_bit_is_off(human, project, tmp_path):
    source = script(BIT, {})
    changes = [
        ("inside/gate.py", "        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),\n", ""),
        ("inside/gate.py", "        *_rights(plan),\n", ""),
        ("inside/gate.py", "(_PR_SET_SECCOMP, _FILTER, _ctypes.byref(filters), 0, 0),\n", ""),
        ("inside/gate.py", "        *_system_calls(),\n", ""),
    ]
    bits = []
    for number, change in enumerate(([], changes)):
        (tmp_path / str(number)).mkdir()
        with Caller(
            human.account.pw_uid, package=patched(tmp_path / str(number), *change)
        ) as caller:
            opened = caller.ask(open_request(human, project, session="bit"))
            assert isinstance(opened, Opened), opened
            bits.append(got(caller.run("/usr/bin/python3", "-c", source).output)["bit"])
            caller.discard(opened)
    assert bits == ["1", "0"]


@pytest.mark.parametrize("box", BOXES)
def test_no_right_is_left(human, project, box):
    status = inside(human, project, box, STATUS, {})["status"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert len(set(status["Uid"].split())) == 1
    assert int(status["Uid"].split()[0]) >= 66000


@pytest.mark.parametrize("box", BOXES)
def test_nothing_gives_more(human, project, box):
    words = ("exec", *mode_options(box), "--", "/usr/bin/python3", "-")
    ran = human.clsecure(*words, cwd=project, stdin=script(MORE, {}))
    found = got(ran.stdout)
    assert len(found) == MORE.count("@attempt")
    assert {name: value for name, value in found.items() if value} == {}


def test_control_a_user_namespace_can_be_made_outside(human):
    found = outside(human, MORE, {})
    assert found["user_namespace"] or found["user_namespace_by_program"]
