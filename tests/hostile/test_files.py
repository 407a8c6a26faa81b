"""What a worker cannot read or write: attempts in the box, and the same by the human outside."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from caller import Caller, open_request, patched
from probe import BOXES, inside, outside

from clsecure.helper.protocol import Opened

pytestmark = pytest.mark.root

READ = """
def read(path):
    with open(path, "rb") as file:
        return file.read(1000).decode(errors="replace") or None

def listed(path, name):
    return name if name in os.listdir(path) else None

home, top, outer = GIVEN["home"], GIVEN["top"], GIVEN["outer"]

@attempt
def key(): return read(home + "/.ssh/id_ed25519")
@attempt
def key_in_the_list(): return listed(home, ".ssh")
@attempt
def document(): return read(home + "/notes.txt")
@attempt
def other_home(): return read(GIVEN["other"] + "/public.txt")
@attempt
def other_home_in_the_list(): return listed("/home", os.path.basename(GIVEN["other"]))
@attempt
def host_tmp(): return read("/tmp/" + outer)
@attempt
def host_shm(): return read("/dev/shm/" + outer)
@attempt
def host_run(): return read("/run/" + outer)
@attempt
def srv(): return read("/srv/" + outer)
@attempt
def sibling_project(): return read(home + "/src/beside/README")
@attempt
def env_file(): return read(top + "/.env")
@attempt
def env_in_a_directory(): return read(top + "/conf/.env.local")
@attempt
def env_through_the_process(): return read(f"/proc/{os.getpid()}/root{top}/.env")
@attempt
def env_through_a_link():
    os.symlink(".env", top + "/a-link")
    try:
        return read(top + "/a-link")
    finally:
        os.unlink(top + "/a-link")
@attempt
def env_through_a_hard_link():
    os.link(top + "/.env", top + "/b-link")
    try:
        return read(top + "/b-link")
    finally:
        os.unlink(top + "/b-link")
@attempt
def env_after_a_rename():
    os.rename(top + "/conf", top + "/conf-2")
    try:
        return read(top + "/conf-2/.env.local")
    finally:
        os.rename(top + "/conf-2", top + "/conf")
@attempt
def env_after_a_move_of_its_parent():
    os.rename(top + "/deep/er", top + "/deeper")
    try:
        return read(top + "/deeper/credentials.json")
    finally:
        os.rename(top + "/deeper", top + "/deep/er")
@attempt
def env_by_handle():
    # struct file_handle: the inode numbers of a lower layer would open the file behind the mask
    libc.syscall.restype = ctypes.c_long
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + b"\\0" * 128)
    mount = ctypes.c_int()
    path = (top + "/README").encode()
    syscall(303, -100, path, handle, ctypes.byref(mount), 0)
    descriptor = syscall(304, os.open(top, os.O_RDONLY), handle, os.O_RDONLY)
    return read(f"/proc/self/fd/{descriptor}")
@attempt
def human_hooks(): return read(top + "/.git/hooks/pre-commit")
@attempt
def human_git_config():
    said = read(top + "/.git/config")
    return said if "s3cret" in said else None
"""
BY_HUMAN = {
    "key",
    "key_in_the_list",
    "document",
    "other_home",
    "other_home_in_the_list",
    "host_tmp",
    "host_shm",
    "host_run",
    "srv",
    "sibling_project",
    "env_file",
    "env_in_a_directory",
    "env_through_the_process",
    "env_through_a_link",
    "env_through_a_hard_link",
    "env_after_a_rename",
    "env_after_a_move_of_its_parent",
    "human_hooks",
    "human_git_config",
}
NOBODY = {"env_by_handle"}  # needs a right that the human has not either

ROOTS = """
def listing(path): return os.listdir(path) or None
def reading(path):
    with open(path, "rb") as file:
        return repr(file.read(10))
@attempt
def shadow(): return reading("/etc/shadow")
@attempt
def sudoers(): return reading("/etc/sudoers")
@attempt
def root_home(): return listing("/root")
@attempt
def state(): return listing("/var/lib/clsecure")
@attempt
def state_of_another(): return reading(GIVEN["record"])
@attempt
def logs(): return listing("/var/log")
@attempt
def spool(): return listing("/var/spool")
@attempt
def boot(): return listing("/boot")
def of_root(read, path):
    "A container's first process is the worker's own."
    return None if os.stat("/proc/1").st_uid == os.getuid() else read(path)
@attempt
def init_root(): return of_root(listing, "/proc/1/root/")
@attempt
def init_files(): return of_root(listing, "/proc/1/fd")
@attempt
def init_memory(): return of_root(reading, "/proc/1/environ")
@attempt
def devices():
    known = "null zero full random urandom tty pts shm mqueue fd ptmx core".split()
    known += ["stdin", "stdout", "stderr"]
    return sorted(set(os.listdir("/dev")) - set(known)) or None
@attempt
def disk():
    os.mknod("/tmp/disk", 0o600 | stat.S_IFBLK, os.makedev(*GIVEN["disk"]))
    return reading("/tmp/disk")
@attempt
def memory():
    os.mknod("/tmp/memory", 0o600 | stat.S_IFCHR, os.makedev(1, 1))
    return reading("/tmp/memory")
"""

WRITE = """
def write(path, flags=os.O_WRONLY | os.O_APPEND):
    descriptor = os.open(path, flags, 0o644)
    os.write(descriptor, b"x")
    os.close(descriptor)
    return "written"

def create(directory):
    path = f"{directory}/made-{os.getpid()}"
    write(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.unlink(path)
    return "made"

def remount(path, flags=0x1020):  # MS_REMOUNT | MS_BIND, without MS_RDONLY
    if libc.mount(None, path.encode(), None, flags, None) < 0:
        raise OSError(ctypes.get_errno(), "mount")
    return create(path)

shown, objects = GIVEN["shown"], GIVEN["objects"]
@attempt
def shown_file(): return write(shown + "/tool")
@attempt
def shown_place(): return create(shown)
@attempt
def shown_mode(): return os.chmod(shown + "/tool", 0o777) or "changed"
@attempt
def shown_rename():
    os.rename(shown + "/tool", shown + "/tool2")
    os.rename(shown + "/tool2", shown + "/tool")
    return "renamed"
@attempt
def shown_single(): return write(GIVEN["single"])
@attempt
def objects_place(): return create(objects)
@attempt
def objects_file():
    found = [path for path in glob.glob(objects + "/??/*")]
    os.chmod(found[0], 0o644)
    return "changed"
@attempt
def shown_remounted(): return remount(shown)
@attempt
def objects_remounted(): return remount(objects)
@attempt
def system_remounted(): return remount("/usr")
@attempt
def by_firejail():
    ended = subprocess.run(["firejail", "--quiet", "--noprofile", f"--read-write={shown}", "--",
                            "touch", f"{shown}/made"], capture_output=True, timeout=20)
    return "made" if os.path.exists(f"{shown}/made") else None
@attempt
def by_a_namespace():
    syscall(272, 0x10020000)  # unshare(CLONE_NEWUSER | CLONE_NEWNS)
    return remount(shown)
@attempt
def through_the_root():
    return create(f"/proc/1/root{shown}")
"""
SYSTEM = """
def create(directory):
    path = f"{directory}/clsecure-made"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    return path
@attempt
def usr(): return create("/usr/local/bin")
@attempt
def etc(): return create("/etc")
@attempt
def top(): return create("/")
@attempt
def opt(): return create("/opt")
@attempt
def run(): return create("/run")
@attempt
def inside(): return create("/run/clsecure")
@attempt
def home(): return create("/home")
@attempt
def sysctl():
    with open("/proc/sys/kernel/core_pattern", "w") as file:
        file.write("|/tmp/x")
    return "written"
@attempt
def modules():
    with open("/sys/kernel/uevent_helper", "w") as file:
        file.write("/tmp/x")
    return "written"
"""

SOCKETS = """
def connect(path):
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(5)
        asking.connect(path)
        return "connected"
@attempt
def in_run(): return connect(GIVEN["run"])
@attempt
def in_tmp(): return connect(GIVEN["tmp"])
@attempt
def in_home(): return connect(GIVEN["home"])
@attempt
def in_project(): return connect(GIVEN["project"])
@attempt
def in_shown(): return connect(GIVEN["shown"])
@attempt
def in_opt(): return connect(GIVEN["opt"])
@attempt
def abstract(): return connect("\\0" + GIVEN["abstract"])
"""


@pytest.fixture(scope="module")
def planted(human, other):
    name = f"clsecure-t-{secrets.token_hex(4)}"
    top = human.repository(files={"README": "hello\n", "conf/plain": "x\n", "deep/er/plain": "x\n"})
    human.repository("src/beside")
    other.home.chmod(0o755)
    other.write("public.txt", "of another human")
    human.write(".ssh/id_ed25519", "PRIVATE KEY", mode=0o600)
    human.write("notes.txt", "a note")
    human.write(top / ".env", "TOKEN=1")
    human.write(top / "conf/.env.local", "TOKEN=2")
    human.write(top / "deep/er/credentials.json", "TOKEN=3")
    human.write(top / ".git/hooks/pre-commit", "#!/bin/sh\n")
    human.run("git", "config", "http.extraHeader", "Authorization: s3cret", cwd=top)
    human.write("tools/tool", "#!/bin/sh\n", mode=0o755)
    human.write("single.txt", "one file")
    human.write("outside/tool", "#!/bin/sh\n", mode=0o755)
    places = [Path(at, name) for at in ("/tmp", "/dev/shm", "/run", "/srv")]
    for path in places:
        path.write_text("of the host")
    Path("/opt", name).mkdir()
    yield {"top": top, "name": name, "human": human, "other": other}
    for path in places:
        path.unlink()
    shutil.rmtree(Path("/opt", name))


def look(planted, box, source, given, *options):
    return inside(planted["human"], planted["top"], box, source, given, *options)


def facts(planted):
    return {
        "home": planted["human"].home,
        "other": planted["other"].home,
        "top": planted["top"],
        "outer": planted["name"],
    }


def test_control_the_human_reads_all_of_it(planted):
    got = outside(planted["human"], READ, facts(planted))
    assert {name for name, value in got.items() if value} == BY_HUMAN
    assert set(got) - BY_HUMAN == NOBODY


@pytest.mark.parametrize(
    ("box", "workspace"), [*((box, "overlay") for box in BOXES), ("user", "clone")]
)
def test_a_worker_reads_none_of_it(planted, box, workspace):
    options = ("--workspace", workspace, "--session", f"read-{workspace}")
    got = look(planted, box, READ, facts(planted), *options)
    assert set(got) == BY_HUMAN | NOBODY
    assert {name: value for name, value in got.items() if value} == {}


@pytest.mark.parametrize("box", BOXES)
def test_a_worker_reads_nothing_of_roots(planted, box):
    status = os.stat("/")
    planted["human"].clsecure("exec", "--", "true", cwd=planted["top"])
    worker = planted["human"].workers()[0]
    given = {
        "record": f"/var/lib/clsecure/{worker}/record.json",
        "disk": [os.major(status.st_dev), os.minor(status.st_dev)],
    }
    assert os.path.exists(given["record"])
    got = look(planted, box, ROOTS, given)
    assert len(got) == ROOTS.count("@attempt")
    assert {name: value for name, value in got.items() if value} == {}


def writing(planted, **changed):
    home = planted["human"].home
    return {
        "shown": home / "tools",
        "single": home / "single.txt",
        "objects": "/run/clsecure/objects/0",
        **changed,
    }


def test_control_the_human_writes_there(planted):
    human, top = planted["human"], planted["top"]
    given = writing(planted, shown=human.home / "outside", objects=top / ".git/objects")
    got = outside(human, WRITE, given)
    wanted = {"shown_file", "shown_place", "shown_mode", "shown_rename", "shown_single"}
    assert {name for name, value in got.items() if value} >= wanted | {"objects_place"}


@pytest.mark.parametrize("box", BOXES)
def test_what_is_shown_cannot_be_written(planted, box):
    home = planted["human"].home
    before = (home / "tools/tool").stat(), (home / "single.txt").read_text()
    options = ("--expose", str(home / "tools"), "--expose", str(home / "single.txt"))
    got = look(planted, box, WRITE, writing(planted), *options)
    assert len(got) == WRITE.count("@attempt")
    assert {name: value for name, value in got.items() if value} == {}
    after = (home / "tools/tool").stat(), (home / "single.txt").read_text()
    assert after == before
    assert os.listdir(home / "tools") == ["tool"]


@pytest.mark.parametrize("box", BOXES)
def test_the_system_cannot_be_written(planted, box):
    got = look(planted, box, SYSTEM, {})
    assert len(got) == SYSTEM.count("@attempt")
    assert {name: value for name, value in got.items() if value} == {}


def test_control_a_plain_bind_is_undone_by_a_mount_call(planted, tmp_path):
    # As root with rights in the box, which no worker has: the bind gives way, the overlay does not.
    human, top = planted["human"], planted["top"]
    source = WRITE_AS_ROOT.format(shown=human.home / "outside")
    assert run_as_root(human, top, tmp_path / "a", source) == "read-only"
    plain = (
        "mounts.py",
        (
            '            return overlay((*above, tree, self._layer("empty")), None, None, (), '
            "_READ_ONLY)\n"
            "        except OSError as error:\n            if error.errno != errno.EINVAL:\n"
            "                raise\n        if mount.masks"
        ),
        (
            "            return tree\n        except OSError as error:\n            raise error\n"
            "        if mount.masks"
        ),
    )
    assert run_as_root(human, top, tmp_path / "b", source, plain) == "written"


# What firejail did for a worker once: remount, as root, in the box.
WRITE_AS_ROOT = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.mount(None, b"{shown}", None, 0x1020, None)
try:
    os.close(os.open("{shown}/by-root", os.O_WRONLY | os.O_CREAT))
    print("written")
except OSError as error:
    print("read-only" if error.errno == 30 else error)
"""


def run_as_root(human, top, directory, source, *changes):
    """Run Python in the box as root of it, by entering its namespaces from outside."""
    directory.mkdir()
    with Caller(human.account.pw_uid, package=patched(directory, *changes)) as caller:
        exposures = (str(human.home / "outside"),)
        answer = caller.ask(open_request(human, top, session="root", exposures=exposures))
        assert isinstance(answer, Opened), answer
        children = Path(f"/proc/{caller.process.pid}/task/{caller.process.pid}/children")
        init = children.read_text().split()[0]
        ended = subprocess.run(
            ["nsenter", "-t", init, "-m", "--", "/usr/bin/python3", "-IS", "-c", source],
            capture_output=True,
            text=True,
            check=True,
        )
        caller.discard(answer)
    (human.home / "outside/by-root").unlink(missing_ok=True)
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def listening(planted):
    human, top, name = planted["human"], planted["top"], planted["name"]
    human.run("mkdir", "-p", human.home / "sockets")
    paths = {
        "run": f"/run/{name}.sock",
        "tmp": f"/tmp/{name}.sock",
        "home": f"{human.home}/agent.sock",
        "project": f"{top}/server.sock",
        "shown": f"{human.home}/sockets/server.sock",
        "opt": f"/opt/{name}/server.sock",
    }
    with ExitStack() as stack:
        for path in paths.values():
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            os.chmod(path, 0o777)
            os.chown(path, human.account.pw_uid, human.account.pw_gid)
            listener.listen(64)
            stack.callback(os.unlink, path)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"\0{name}")
        listener.listen(64)
        yield {**paths, "abstract": name}


def test_control_the_human_reaches_every_socket(planted, listening):
    got = outside(planted["human"], SOCKETS, listening)
    assert set(got.values()) == {"connected"}


@pytest.mark.parametrize("box", BOXES)
def test_no_socket_of_the_host_answers(planted, listening, box):
    shown = str(Path(listening["shown"]).parent)
    got = look(planted, box, SOCKETS, listening, "--expose", shown)
    assert len(got) == SOCKETS.count("@attempt")
    assert {name: value for name, value in got.items() if value} == {}


def test_a_socket_itself_is_not_shown(planted, listening):
    human, top = planted["human"], planted["top"]
    ran = human.clsecure("exec", "--expose", listening["shown"], "--", "true", cwd=top, code=3)
    assert "neither a file nor a directory" in ran.stderr


@pytest.mark.parametrize(
    ("change", "place"),
    [
        pytest.param(
            ("layout.py", 'WITH_SERVICES = ("/opt", "/nix", "/gnu")', "WITH_SERVICES = ()"),
            "opt",
            id="system",
        ),
        pytest.param(
            (
                "layout.py",
                '        Mount(kind="tmpfs", at="/tmp", writable=True, options="mode=1777", size=large),\n',
                '        Mount(kind="system", at="/tmp", source="/tmp"),\n',
            ),
            "tmp",
            id="tmp",
        ),
    ],
)
def test_control_without_the_protection_it_answers(planted, listening, tmp_path, change, place):
    human, top = planted["human"], planted["top"]
    source = SOCKETS_ALONE.format(path=listening[place])
    with Caller(human.account.pw_uid, package=patched(tmp_path, change)) as caller:
        opened = caller.ask(open_request(human, top, session="open"))
        assert isinstance(opened, Opened), opened
        ran = caller.run("/usr/bin/python3", "-c", source)
        caller.discard(opened)
    assert "connected" in ran.output, ran


SOCKETS_ALONE = """
import socket
socket.socket(socket.AF_UNIX).connect("{path}")
print("connected")
"""


def test_control_without_masks_the_secret_is_read(planted):
    got = look(planted, "user", READ, facts(planted), "--session", "seen", "--show", ".env*")
    assert got["env_file"] == "TOKEN=1"
    assert got["env_after_a_rename"] == "TOKEN=2"
    assert got["env_after_a_move_of_its_parent"] is None
