"""Processes: none of the host's is in sight or reach, nothing is handed down, nothing survives."""

from __future__ import annotations

import ctypes
import secrets
import subprocess
import time
from pathlib import Path

import pytest
from caller import ENGINES, Caller, open_request, patched
from probe import BOXES, got, inside, mode_options, outside, script

from world.human import PROGRAM

pytestmark = pytest.mark.root

PROBE = """
def processes():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    yield int(entry), file.read().decode(errors="replace")
            except OSError:
                continue

pid = GIVEN["pid"]
@attempt
def argv(): return [line for _, line in processes() if GIVEN["secret"] in line] or None
@attempt
def directory():
    os.listdir(f"/proc/{pid}/task")
    return GIVEN["secret"] in open(f"/proc/{pid}/cmdline").read() or None
@attempt
def signalled():
    if GIVEN["secret"] not in open(f"/proc/{pid}/cmdline").read():
        return None
    os.kill(pid, 0)
    return "signalled"
@attempt
def by_handle():
    if GIVEN["secret"] not in open(f"/proc/{pid}/cmdline").read():
        return None
    return os.pidfd_open(pid) and "opened"
@attempt
def traced():
    if GIVEN["secret"] not in open(f"/proc/{pid}/cmdline").read():
        return None
    if libc.ptrace(16, pid, 0, 0) < 0:  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0)
    libc.ptrace(17, pid, 0, 0)
    return "traced"
@attempt
def environment():
    said = open(f"/proc/{pid}/environ").read()
    return said if GIVEN["secret"] in said else None
@attempt
def shared_memory():
    identifier = libc.shmget(GIVEN["key"], 0, 0)
    return identifier if identifier >= 0 else None
@attempt
def host_name_of_the_box():
    return None if os.uname().nodename else "none"
"""
# What the human can do to a process of their own.
BY_HUMAN = {
    "argv",
    "directory",
    "signalled",
    "by_handle",
    "traced",
    "environment",
    "shared_memory",
}

OWN = """
@attempt
def descriptors():
    kept = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            kept[entry] = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
    return {number: kind for number, kind in kept.items()
            if int(number) > 2 and not kind.startswith("/proc/")}
@attempt
def standard():
    return [os.readlink(f"/proc/self/fd/{number}").split(":")[0] for number in (0, 1, 2)]
@attempt
def groups(): return sorted(set(os.getgroups()) - {os.getgid()})
@attempt
def mask():
    old = os.umask(0)
    return old
@attempt
def core():
    import resource
    return list(resource.getrlimit(resource.RLIMIT_CORE))
@attempt
def controlling_terminal():
    return os.open("/dev/tty", os.O_RDWR)
@attempt
def blocked():
    with open("/proc/self/status") as file:
        return [int(line.split()[1], 16) for line in file if line.startswith("SigBlk")][0]
@attempt
def variables():
    return sorted(name for name in os.environ if "SUDO" in name or name in GIVEN["secrets"])
@attempt
def processes(): return [entry for entry in os.listdir("/proc") if entry.isdigit()]
@attempt
def keys():
    with open("/proc/keys") as file:
        return [line for line in file if GIVEN["key"] in line]
@attempt
def keyring():
    return syscall(250, 10, -3, b"user", GIVEN["key"].encode(), 0)  # KEYCTL_SEARCH, session
"""

# With a key in the session keyring, become the program of the arguments.
WITH_KEY = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(250, 1, None) > 0  # KEYCTL_JOIN_SESSION_KEYRING
name = sys.argv[1].encode()
assert libc.syscall(248, b"user", name, b"secret", 6, -3) > 0  # add_key
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def project(human):
    return human.repository()


@pytest.fixture(scope="module")
def secret(human):
    """A process of the human's with a secret in argv and environment, and a piece of memory."""
    name = f"s3cret-{secrets.token_hex(6)}"
    key = secrets.randbelow(1 << 30) + 1
    libc = ctypes.CDLL(None)
    identifier = libc.shmget(key, 4096, 0o1666)
    words = ["sh", "-c", "sleep 600; true", name]
    process = subprocess.Popen(human.argv(words, {"TOKEN": name}), stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    pid = ""
    while not pid and time.monotonic() < deadline:
        uid = str(human.account.pw_uid)
        found = subprocess.run(
            ["pgrep", "-u", uid, "-f", name], capture_output=True, text=True, check=False
        )
        pids = [one for one in found.stdout.split() if comm(one) == "sh"]
        pid = pids[0] if pids else ""
    yield {"secret": name, "pid": int(pid), "key": key}
    libc.shmctl(identifier, 0, None)
    subprocess.run(["pkill", "-u", str(human.account.pw_uid), "-f", name], check=False)
    process.kill()
    process.wait()


def comm(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_control_the_human_reaches_their_process(human, secret):
    found = outside(human, PROBE, secret)
    assert {name for name, value in found.items() if value is not None} == BY_HUMAN


@pytest.mark.parametrize("box", BOXES)
def test_no_process_of_the_host_is_in_reach(human, project, secret, box):
    found = inside(human, project, box, PROBE, secret)
    assert set(found) >= BY_HUMAN
    assert {name: value for name, value in found.items() if value is not None} == {}


@pytest.mark.parametrize("box", BOXES)
def test_nothing_is_handed_down(human, project, box):
    key = f"clsecure-t-{secrets.token_hex(4)}"
    words = ("exec", *mode_options(box), "--", "/usr/bin/python3", "-")
    start = ("/usr/bin/python3", "-c", WITH_KEY, key, PROGRAM, *words)
    given = {"key": key, "secrets": ["ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY"]}
    env = {"ANTHROPIC_API_KEY": "k", "AWS_SECRET_ACCESS_KEY": "k"}
    # A descriptor of the caller's that nobody has asked to be handed on.
    with open("/etc/shadow") as shadow:
        ran = subprocess.run(
            human.argv(start, env),
            cwd=project,
            input=script(OWN, given),
            capture_output=True,
            text=True,
            pass_fds=(shadow.fileno(),),
            check=True,
        )
    found = got(ran.stdout)
    assert found["descriptors"] == {}
    assert found["standard"] == ["pipe", "pipe", "pipe"]
    assert found["groups"] == []
    assert found["mask"] == 0o022
    assert found["core"] == [0, 0]
    assert found["controlling_terminal"] is None
    assert found["blocked"] == 0
    assert found["variables"] == []
    assert len(found["processes"]) <= 6
    assert found["keys"] == []
    assert found["keyring"] is None


KEYS_ALONE = "print([line for line in open('/proc/keys') if 'KEY' in line])"


@pytest.mark.parametrize("protected", [True, False])
def test_the_session_keyring_is_a_new_one(human, project, tmp_path, protected):
    key = f"clsecure-t-{secrets.token_hex(4)}"
    change = ("descent.py", "    sc.new_session_keyring()\n", "")
    package = patched(tmp_path, *([] if protected else [change]))
    prefix = ("/usr/bin/python3", "-c", WITH_KEY, key)
    with Caller(human.account.pw_uid, package=package, prefix=prefix) as caller:
        opened = caller.ask(open_request(human, project, session="keys"))
        ran = caller.run("/usr/bin/python3", "-c", KEYS_ALONE.replace("KEY", key))
        caller.discard(opened)
    assert (ran.output.strip() == "[]") is protected, ran


@pytest.mark.parametrize("protected", [True, False])
def test_no_core_is_dumped(human, project, tmp_path, protected):
    change = ("descent.py", "    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n", "")
    package = patched(tmp_path, *([] if protected else [change]))
    prefix = ("prlimit", "--core=unlimited:unlimited", "--")
    with Caller(human.account.pw_uid, package=package, prefix=prefix) as caller:
        opened = caller.ask(open_request(human, project, session="core"))
        ran = caller.run("/bin/sh", "-c", "ulimit -Hc")
        caller.discard(opened)
    assert (ran.output.strip() == "0") is protected, ran


DAEMONS = """
import os, signal, subprocess, sys, time
for how in ("fork", "nohup", "session", "stubborn"):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            if how == "stubborn":
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
            null = os.open("/dev/null", os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            words = {"nohup": ["nohup"], "session": ["setsid"]}.get(how, [])
            os.execvp((words or ["sleep"])[0], [*words, "sleep", GIVEN])
        os._exit(0)
    os.wait()
time.sleep(0.3)
print(subprocess.run(["pgrep", "-fc", "sleep " + GIVEN], capture_output=True, text=True).stdout)
"""


def alive(seconds):
    words = ["pgrep", "-f", f"sleep {seconds}"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_control_daemons_of_the_human_live_on(human):
    seconds = str(secrets.randbelow(10**6) + 10**6)
    human.run("/usr/bin/python3", "-", stdin=DAEMONS.replace("GIVEN", repr(seconds)))
    assert len(alive(seconds)) >= 4
    words = ["pkill", "-u", str(human.account.pw_uid), "-f", f"sleep {seconds}"]
    subprocess.run(words, check=True)


@pytest.mark.parametrize("box", BOXES)
def test_no_daemon_survives_its_command(human, project, box):
    seconds = str(secrets.randbelow(10**6) + 10**6)
    source = DAEMONS.replace("GIVEN", repr(seconds))
    words = ("exec", *mode_options(box), "--", "/usr/bin/python3", "-")
    ran = human.clsecure(*words, cwd=project, stdin=source)
    assert int(ran.stdout.split()[-1]) >= 4  # they did live
    assert alive(seconds) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_the_next_command_of_a_box_finds_none_of_the_last(human, project, engine):
    seconds = str(secrets.randbelow(10**6) + 10**6)
    with Caller(human.account.pw_uid) as caller:
        opened = caller.ask(open_request(human, project, engine=engine, session="next"))
        first = caller.run("/usr/bin/python3", "-c", DAEMONS.replace("GIVEN", repr(seconds)))
        left = alive(seconds)
        second = caller.run("/usr/bin/pgrep", "-f", f"sleep {seconds}", confined=False)
        caller.discard(opened)
    assert int(first.output.split()[-1]) >= 4, first
    assert left == []
    assert second.code == 1


def test_a_time_limit_ends_what_ignores_it(human, project):
    source = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    with Caller(human.account.pw_uid) as caller:
        opened = caller.ask(open_request(human, project, session="limit"))
        start = time.monotonic()
        ran = caller.run("/usr/bin/python3", "-c", source, timeout=1)
        caller.discard(opened)
    assert ran.answer.timed_out
    assert time.monotonic() - start < 10


def test_a_forged_exit_code_is_no_lie_about_the_box(human, project):
    # The gate has the command's user: the command can write on the gate's own socket.
    source = """
import os, glob, socket
gate = os.getppid()
for entry in os.listdir(f"/proc/{gate}/fd"):
    if os.readlink(f"/proc/{gate}/fd/{entry}").startswith("socket:"):
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        taken = libc.syscall(438, os.pidfd_open(gate), int(entry), 0)
        if taken >= 0:
            print("sent", flush=True)
            os.write(taken, b"the box\\nis a lie")
import time; time.sleep(5)
"""
    with Caller(human.account.pw_uid) as caller:
        request = open_request(human, project, session="forge", engine="bubblewrap")
        opened = caller.ask(request)
        ran = caller.run("/usr/bin/python3", "-c", source)
        caller.discard(opened)
    assert "sent" in ran.output, ran
    assert ran.refused is None, ran
    assert ran.code == 255


TYPE = """
import fcntl, os, sys
try:
    for byte in b"touch typed-by-the-worker\\n":
        fcntl.ioctl(0, 0x5412, bytes([byte]))  # TIOCSTI
    print("TYPED")
except OSError as error:
    print("REFUSED", error.errno)
print("DONE")
"""


def test_control_typing_into_a_terminal_works_here(human):
    if Path("/proc/sys/dev/tty/legacy_tiocsti").read_text().strip() == "0":
        pytest.skip("this kernel refuses it to everybody")
    human.write("type.py", TYPE)
    terminal = human.terminal("/usr/bin/python3", human.home / "type.py", cwd=human.home)
    terminal.expect("TYPED")
    terminal.close(force=True)


@pytest.mark.parametrize("box", BOXES)
def test_a_worker_cannot_type_into_the_humans_terminal(human, project, box):
    words = [PROGRAM, "exec", *mode_options(box), "--", "/usr/bin/python3", "-c", TYPE]
    terminal = human.terminal(*words, cwd=project)
    terminal.expect("REFUSED 1\\b")
    terminal.expect("DONE")
    terminal.wait()
    assert not (project / "typed-by-the-worker").exists()


OPEN_TERMINAL = """
import os
try:
    os.open("/dev/tty", os.O_RDWR)
    print("OPENED")
except OSError as error:
    print("REFUSED", error.errno)
"""


def test_control_a_piped_program_reaches_the_humans_terminal(human):
    human.write("open.py", OPEN_TERMINAL)
    words = ("sh", "-c", "/usr/bin/python3 open.py </dev/null 2>&1 | cat")
    terminal = human.terminal(*words, cwd=human.home)
    terminal.expect("OPENED")
    terminal.close(force=True)


@pytest.mark.parametrize("box", BOXES)
def test_a_piped_command_does_not_reach_the_humans_terminal(human, project, box):
    human.write(project / "open.py", OPEN_TERMINAL)
    options = " ".join(mode_options(box))
    run = f"{PROGRAM} exec {options} -- /usr/bin/python3 open.py </dev/null 2>&1 | cat"
    terminal = human.terminal("sh", "-c", run, cwd=project)
    terminal.expect(r"REFUSED 6\b")  # ENXIO: it has none
    terminal.close(force=True)


@pytest.mark.parametrize("box", BOXES)
def test_what_runs_later_cannot_be_ordered(human, project, box):
    source = """
@attempt
def crontab():
    done = subprocess.run(["crontab", "-"], input=b"* * * * * true\\n", capture_output=True)
    return done.returncode == 0 or None
@attempt
def at():
    done = subprocess.run(["at", "now"], input=b"true", capture_output=True)
    return done.returncode == 0 or None
@attempt
def spool(): return os.listdir("/var/spool/cron") or "there"
@attempt
def timers():
    words = ["systemd-run", "--user", "true"]
    return subprocess.run(words, capture_output=True).returncode == 0 or None
@attempt
def linger():
    words = ["loginctl", "enable-linger"]
    return subprocess.run(words, capture_output=True).returncode == 0 or None
"""
    found = inside(human, project, box, source, {})
    assert {name: value for name, value in found.items() if value} == {}
    assert len(found) == 5
