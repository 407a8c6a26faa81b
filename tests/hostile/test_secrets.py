"""Everything that can be read in the box is searched for the human's secrets, in every kind of box.

The controls are the same search by the human, who finds each of them, and a session that was given
its key, in which the search finds that one.
"""

from __future__ import annotations

import secrets
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from probe import BOXES, got, mode_options, script

from world.human import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

# Every secret begins so; the search has the word reversed, lest it find itself.
_MARK = f"clsecure-t-{secrets.token_hex(6)}-"
_HOME = {
    ".claude/.credentials.json": '{"claudeAiOauth": {"accessToken": "%s", "refreshToken": "%s2"}}',
    ".claude.json": '{"mcpServers": {"x": {"command": "true", "env": {"TOKEN": "%s"}}}}',
    ".claude/settings.json": '{"env": {"OTHER_API_KEY": "%s"}}',
    ".claude/history.jsonl": '{"display": "%s"}',
    ".claude/projects/-other/x.jsonl": '{"message": "%s"}',
    ".netrc": "machine x password %s",
    ".npmrc": "//registry.example/:_authToken=%s",
    ".git-credentials": "https://me:%s@git.example",
    ".ssh/id_ed25519": "%s",
    ".aws/credentials": "aws_secret_access_key = %s",
    ".config/gh/hosts.yml": "oauth_token: %s",
    ".config/clsecure/notes": "%s",
    ".cargo/credentials.toml": 'token = "%s"',
    ".docker/config.json": '{"auth": "%s"}',
    ".bash_history": "export KEY=%s",
    ".local/share/keyrings/login.keyring": "%s",
    "src/other/secret": "%s",
}
_PROJECT = {".env": "KEY=%s", "sub/.npmrc": "_authToken=%s", "key.pem": "%s"}
_SEARCH = r"""
import re
MARK = GIVEN["mark"][::-1].encode()
SKIPPED = tuple(GIVEN["skipped"])
FOUND, SEEN = {}, {"files": 0, "processes": 0, "sockets": 0}
def look(where, data):
    for one in re.findall(re.escape(MARK) + rb"[\w.-]*", data):
        FOUND.setdefault(one.decode(), where)
def files():
    for top, directories, names in os.walk("/"):
        directories[:] = [each for each in directories if not os.path.join(top, each).startswith(SKIPPED)]
        look(top, "/".join([top, *directories, *names]).encode("utf-8", "replace"))
        for name in names:
            path = os.path.join(top, name)
            try:
                if not stat.S_ISREG(os.lstat(path).st_mode): continue
                with open(path, "rb") as file:
                    while data := file.read(1 << 24): look(path, data)
                SEEN["files"] += 1
            except OSError: pass
def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            start, end = (int(each, 16) for each in line.split()[0].split("-"))
            if "r" not in line.split()[1] or end - start > 1 << 28: continue
            try:
                mem.seek(start)
                look(f"memory of {pid}", mem.read(end - start))
            except (OSError, ValueError, OverflowError): pass
    SEEN["processes"] += 1
def processes():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline", "comm"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file: look(f"{name} of {pid}", file.read())
            except OSError: pass
        if int(pid) != os.getpid():
            try: memory(pid)
            except OSError: pass
        try:
            for each in os.listdir(f"/proc/{pid}/fd"):
                if int(pid) != os.getpid() and os.path.isfile(f"/proc/{pid}/fd/{each}"):
                    with open(f"/proc/{pid}/fd/{each}", "rb") as file: look(f"descriptor of {pid}", file.read(1 << 24))
        except OSError: pass
def keyring():
    for name in ("/proc/keys", "/proc/key-users"):
        try:
            with open(name) as file: lines = file.read().splitlines()
        except OSError: continue
        for line in lines:
            buffer = ctypes.create_string_buffer(1 << 16)
            size = libc.syscall({"x86_64": 250}.get(os.uname().machine, 219), 11, int(line.split()[0], 16) if name.endswith("keys") else -3, buffer, 1 << 16)
            if size > 0: look("keyring", buffer.raw[:size])
def sockets():
    with open("/proc/net/unix") as file: names = [line.split()[-1] for line in file.readlines()[1:]]
    places = {name for name in names if name.startswith(("/", "@"))}
    for top, _, found in os.walk("/"):
        if not top.startswith(SKIPPED):
            for path in (os.path.join(top, each) for each in found):
                try:
                    if stat.S_ISSOCK(os.lstat(path).st_mode): places.add(path)
                except OSError: pass  # it has gone in the meantime
    places |= {("127.0.0.1", int(line.split()[1].split(":")[1], 16)) for line in open("/proc/net/tcp").readlines()[1:]}
    for place in places:
        kind = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
        with socket.socket(kind, socket.SOCK_STREAM) as asking:
            asking.settimeout(0.3)
            try:
                asking.connect(place.replace("@", "\0") if kind == socket.AF_UNIX else place)
                SEEN["sockets"] += 1
                for word in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b'{"do": "describe"}\n'):
                    asking.sendall(word)
                    look(f"socket {place}", asking.recv(1 << 16))
            except OSError: pass
@attempt
def found():
    look("environment", json.dumps(dict(os.environ)).encode())
    for search in (files, processes, keyring, sockets): search()
    return [FOUND, SEEN]
"""
_ELSEWHERE = ("remote", "tmp", "process", "keyring")
_ADD_KEY = """
import ctypes, os, sys
number = {"x86_64": 248}.get(os.uname().machine, 217)
text = sys.argv[1].encode()
made = ctypes.CDLL(None).syscall(number, b"user", b"clsecure-t", text, len(text), -4)
sys.exit(made < 0)
"""
# What a search of the system's own files would find is root's, who put nothing of the human's there.
_SKIPPED = [
    "/proc",
    "/sys",
    "/usr",
    "/lib",
    "/bin",
    "/sbin",
    "/opt",
    "/boot",
    "/var/lib/dpkg",
    "/run/rootfs",
]


def secret(name: str) -> str:
    return f"{_MARK}{name.replace('/', '-')}"


@contextmanager
def planted(human) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """A human's world full of secrets; yields what is to be found in it, and their variables."""
    top = human.repository("src/secrets", {"README": "hello\n"})
    for where, files in ((human.home, _HOME), (top, _PROJECT)):
        for name, text in files.items():
            whole = text.replace("%s2", secret(f"2-{name}")).replace("%s", secret(name))
            human.write(where / name, whole, mode=0o600)
    remote = f"https://me:{secret('remote')}@git.example/x.git"
    human.run("git", "remote", "add", "origin", remote, cwd=top)
    human.write("in-tmp", secret("tmp"), mode=0o644)
    human.run("cp", human.home / "in-tmp", f"/tmp/{human.name}-secret")
    human.run("cp", human.home / "in-tmp", f"/dev/shm/{human.name}-secret")
    human.run("rm", human.home / "in-tmp")
    variables = {
        "ANTHROPIC_API_KEY": secret("key"),
        "ANTHROPIC_CUSTOM_HEADERS": f"X-Gateway: {secret('header')}",
        "GH_TOKEN": secret("gh"),
        "SOME_VARIABLE": secret("variable"),
    }
    human.run("/usr/bin/python3", "-c", _ADD_KEY, secret("keyring"))
    argv = human.argv(("sleep", "600"), {"IN_PROCESS": secret("process")})
    running = subprocess.Popen(argv)
    try:
        yield {secret(name): "" for name in (*_HOME, *_PROJECT, *_ELSEWHERE)}, variables
    finally:
        subprocess.run(["pkill", "-KILL", "-P", str(running.pid)], check=False)
        running.wait()
        human.run("rm", "-f", f"/tmp/{human.name}-secret", f"/dev/shm/{human.name}-secret")
        human.run("rm", "-rf", *(human.home / name for name in _HOME))


@pytest.fixture(scope="module")
def world(human):
    with planted(human) as made:
        yield made


def search(human, prefix, env, *, skipped=()):
    """Run the search; what it finds, where, and how much it saw."""
    given = {"mark": _MARK[::-1], "skipped": [*_SKIPPED, *skipped]}
    path = human.write("search.py", script(_SEARCH, given))
    argv = human.argv([*prefix, "/usr/bin/python3", path], env)
    top = human.home / "src/secrets"
    ended = subprocess.run(argv, cwd=top, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended
    answer = got(ended.stdout)["found"]
    assert answer, ended.stderr
    found, seen = answer
    return found, seen


@pytest.mark.parametrize("box", BOXES)
def test_none_of_them_is_in_the_box(human, world, box):
    _, variables = world
    human.agent('shift; "$@"')
    words = (PROGRAM, *mode_options(box), "--expose", human.home / "search.py", "--fresh", "--yes")
    found, seen = search(human, (*words, "--"), variables)
    assert found == {}
    assert seen["files"] > 50
    assert seen["processes"] >= 1
    assert seen["sockets"] >= 3  # the doors


def test_the_human_finds_them_all(human, world):
    there, variables = world
    found, seen = search(human, (), variables, skipped=("/var", "/etc", "/work", "/root"))
    assert set(found) >= {*there, *map(secret, ("key", "header", "gh", "variable"))}
    assert seen["processes"] >= 1


def test_a_key_that_is_in_the_box_is_found(human, world):
    _, variables = world
    human.agent('shift; "$@"')
    words = ("--mode", "user", "--expose", human.home / "search.py", "--fresh", "--yes")
    found, _ = search(human, (PROGRAM, *words, "--credentials", "inside", "--"), variables)
    assert set(found) == {secret("key")}
