"""The door for git: attacks from the box on a real git host that asks for a token, and controls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import probe
import pytest

from clsecure.egress import log
from world.githost import HOST, new_git_host
from world.internet import inside, new_internet
from world.live import Live, until

BOXES = ("user", "firejail", "podman")
RAW = r"""
import hashlib
DOOR = ("127.0.0.1", 9418)

def line(text):
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return b"%04x" % (len(data) + 4) + data

def asked(data, seconds=15):
    "Say it to the door, and return all of the answer."
    with socket.create_connection(DOOR, timeout=seconds) as door:
        said = b""
        try:
            door.sendall(data)
            while more := door.recv(65536):
                said += more
                if more.endswith(b"0000"):
                    break
        except ConnectionResetError:
            said += b"<reset>"
    return said.decode("latin-1")

def pushed(*updates):
    "Push by hand: each update is (old, new, ref); returns what the host was made to say."
    with socket.create_connection(DOOR, timeout=30) as door:
        door.sendall(line("git-receive-pack /origin\0host=127.0.0.1\0"))
        said = b""
        while not said.endswith(b"0000"):
            said += door.recv(65536)
        capabilities = "\0report-status side-band-64k"
        for old, new, ref in updates:
            door.sendall(line(f"{old} {new} {ref}{capabilities}"))
            capabilities = ""
        pack = b"PACK" + (2).to_bytes(4, "big") + bytes(4)
        door.sendall(b"0000" + pack + hashlib.sha1(pack).digest())
        said = b""
        while more := door.recv(65536):
            said += more
    return said.decode("latin-1")

def git(*words):
    ran = subprocess.run(["git", *words], capture_output=True, text=True, timeout=60)
    return [ran.returncode, ran.stdout + ran.stderr]
"""


@pytest.fixture(scope="module")
def internet(human, tmp_path_factory):
    with new_internet(tmp_path_factory.mktemp("internet")) as made, inside(human, made):
        yield made


@pytest.fixture(scope="module")
def host(human, internet, tmp_path_factory):
    with new_git_host(internet, human, tmp_path_factory.mktemp("githost")) as made:
        made.make("secret")
        yield made


def try_in_box(human, project, source, box="user", **given):
    return probe.inside(human, project, box, RAW + source, given, "--allow-push")


def records(human, project):
    found = log.records(human.home / ".local/state/clsecure/net")
    return [each for each in found if each["project"] == str(project) and each["event"] == "open"]


def commit_in(human, project, name, *, parent="HEAD"):
    """Make a commit of the human's that is on no branch; returns its id."""
    human.run("git", "commit-tree", "-p", parent, "-m", name, "HEAD^{tree}", cwd=project)
    made = human.run("git", "commit-tree", "-p", parent, "-m", name, "HEAD^{tree}", cwd=project)
    return made.stdout.strip()


LINES = r"""
ODD = {
    "another repository": line("git-upload-pack /secret.git\0host=x\0"),
    "a path": line("git-upload-pack " + GIVEN["git_dir"] + "\0host=x\0"),
    "upwards": line("git-upload-pack /../secret\0host=x\0"),
    "upwards from one": line("git-upload-pack /origin/../1\0host=x\0"),
    "with a suffix": line("git-upload-pack /origin.git\0host=x\0"),
    "an option as name": line("git-upload-pack /--upload-pack=touch /tmp/x\0host=x\0"),
    "an option": line("git-upload-pack --strict /origin\0host=x\0"),
    "another program": line("git-upload-archive /origin\0host=x\0"),
    "a shell's": line("git-upload-pack;id /origin\0host=x\0"),
    "no name": line("git-upload-pack /\0host=x\0"),
    "an empty line": b"0000",
    "less than a length": b"0003",
    "a negative length": b"-001" + b"x" * 100,
    "no length": b"zzzz" + b"x" * 100,
    "a long line": b"fff0" + b"git-upload-pack /origin\0host=".ljust(0xFFEC, b"x"),
    "HTTP": b"GET /origin HTTP/1.1\r\nHost: x\r\n\r\n",
    "noise": bytes(range(256)) * 100,
}

def odd():
    return {name: asked(said) for name, said in ODD.items()}

def right():
    return asked(line("git-upload-pack /origin\0host=x\0"))

attempt(odd)
attempt(right)
"""


@pytest.mark.parametrize("box", BOXES)
def test_nothing_but_a_remote_of_the_project_is_served(human, host, box):
    project = host.project(human, f"lines-{box}")
    before = len(host.asked())
    got = try_in_box(human, project, LINES, box, git_dir=f"{project}/.git")
    assert len(got["odd"]) == 17
    for name, said in got["odd"].items():
        assert "ERR clsecure: " in said or said == "<reset>", (name, said)
        assert "refs/" not in said
    # The control: the door stands, and it alone was led to the host.
    assert "refs/heads/main" in got["right"]
    paths = {each["path"].split("/")[1] for each in host.asked()[before:]}
    assert paths == {f"lines-{box}.git"}
    verdicts = [each["verdict"] for each in records(human, project)]
    assert verdicts == ["deny"] * 17 + ["allow"]


PUSHES = r"""
def pushes():
    git("switch", "-qc", "claude/work", "HEAD")
    git("commit", "-qm", "Work", "--allow-empty")
    tries = {
        "main": ("HEAD:main",),
        "another": ("HEAD:work",),
        "nearly": ("HEAD:refs/heads/claudex/work",),
        "a tag": ("HEAD:refs/tags/claude/v1",),
        "a note": ("HEAD:refs/notes/claude/x",),
        "for review": ("HEAD:refs/for/claude/x",),
        "deleted": ("--delete", "claude/there"),
        "forced": ("--force", "HEAD~1:claude/ahead"),
        "forced with a plus": ("+HEAD~1:claude/ahead",),
        "with another": ("HEAD:claude/fine", "HEAD:main"),
        "protected": ("HEAD:claude/protected",),
    }
    return {name: git("push", "origin", *words) for name, words in tries.items()}

def right():
    return git("push", "origin", "HEAD:claude/work")

attempt(pushes)
attempt(right)
"""


@pytest.fixture
def ahead(human, host, request):
    """A project whose host has two branches of claude's, one of them with a commit more."""
    name = f"refs-{request.node.name.translate(str.maketrans('[]', '--'))}"
    project = host.project(human, name)
    made = commit_in(human, project, "ahead")
    specs = [f"{made}:refs/heads/claude/ahead", "main:refs/heads/claude/there"]
    human.run("git", "push", "-q", "origin", *specs, cwd=project)
    return name, project


@pytest.mark.parametrize("box", BOXES)
def test_only_claudes_branches_and_only_forward(human, host, ahead, box):
    name, project = ahead
    before = host.refs(name)
    got = try_in_box(human, project, PUSHES, box)
    for words, (code, said) in got["pushes"].items():
        assert code == 1, (words, said)
    said = {words: each[1] for words, each in got["pushes"].items()}
    for words in ("main", "another", "nearly", "with another"):
        assert "a session pushes to claude/* only (push_branches)" in said[words]
    for words in ("a tag", "a note", "for review"):
        assert "only branches are pushed from a session" in said[words]
    assert "branches are not deleted" in said["deleted"]
    for words in ("forced", "forced with a plus"):
        assert "only push_force = true allows that" in said[words]
    assert r"GH006: Protected branch\x1b[31m update failed" in said["protected"]
    assert got["right"][0] == 0
    after = host.refs(name)
    assert after.pop("refs/heads/claude/work")
    assert after == before


def test_control_the_human_may_do_all_of_it(human, host, ahead):
    name, project = ahead
    for words in (
        ("HEAD:work",),
        ("HEAD:refs/tags/claude/v1",),
        ("HEAD:refs/notes/claude/x",),
        ("--delete", "claude/there"),
        ("--force", "HEAD:claude/ahead"),
    ):
        human.run("git", "push", "-q", "origin", *words, cwd=project)
    assert "refs/heads/claude/there" not in host.refs(name)


FORGED = r"""
ZERO = "0" * 40
NAMES = [
    "refs/heads/claude/x:refs/heads/main",
    "refs/heads/claude/x:",
    "refs/heads/claude/*",
    "refs/heads/claude/../main",
    "refs/heads/claude/x y",
    "refs/heads/claude/x\x1b[31m",
    "refs/heads/claude/x.lock",
    "refs/heads/claude/^x",
    "refs/heads//claude/x",
    "refs/heads/-claude/x",
    "refs/heads/claude/" + "x" * 1000,
    "--receive-pack=touch /tmp/x",
    "+refs/heads/claude/x",
    "HEAD",
    "refs/heads/main",
]

def names():
    return {name: pushed((ZERO, GIVEN["commit"], name)) for name in NAMES}

def many():
    return pushed(*((ZERO, GIVEN["commit"], f"refs/heads/claude/{n}") for n in range(51)))

def parted():
    "A name that a refspec parts into a path in the commit, which is another commit, and main."
    git("update-index", "--add", "--cacheinfo", f"160000,{GIVEN['commit']},refs/heads/claude/x")
    git("commit", "-qm", "with a path")
    assert git("push", "origin", "HEAD:claude/parted")[0] == 0
    made = git("rev-parse", "HEAD")[1].strip()
    return pushed((ZERO, made, "refs/heads/claude/x:refs/heads/main"))

def no_commit():
    return pushed((ZERO, GIVEN["blob"], "refs/heads/claude/blob"))

def right():
    return pushed((ZERO, GIVEN["commit"], "refs/heads/claude/right"))

attempt(names)
attempt(parted)
attempt(many)
attempt(no_commit)
attempt(right)
"""


def test_names_that_git_in_the_box_would_not_send(human, host):
    project = host.project(human, "forged")
    commit = commit_in(human, project, "forged")
    blob = human.run("git", "rev-parse", "HEAD:README", cwd=project).stdout.strip()
    before = host.refs("forged")
    got = try_in_box(human, project, FORGED, commit=commit, blob=blob)
    assert len(got["names"]) == 15
    for name, said in got["names"].items():
        assert "ng " in said or "protocol error" in said or said == "", (name, said)
        assert "ok refs" not in said
        assert "\x1b" not in said.replace(name, "")
    assert "not a name for a branch" in got["parted"]
    assert "more than 50 refs at once" in got["many"]
    assert "a branch is made of commits" in got["no_commit"]
    assert "ok refs/heads/claude/right" in got["right"]  # the control: by hand it works, too
    after = host.refs("forged")
    assert after.pop("refs/heads/claude/parted")
    assert after == {**before, "refs/heads/claude/right": commit}


EVIL = r"""
def evil():
    blob = git("rev-parse", "HEAD:README")[1].strip()
    tree = subprocess.run(
        ["git", "hash-object", "-t", "tree", "--literally", "-w", "--stdin"],
        input=b"100644 .git\0" + bytes.fromhex(blob), capture_output=True, check=True,
    ).stdout.decode().strip()
    commit = git("commit-tree", "-m", "evil", "-p", "HEAD", tree)[1].strip()
    return git("push", "origin", commit + ":refs/heads/claude/evil")

attempt(evil)
"""


def test_objects_that_would_harm_a_checkout_are_refused(human, host):
    project = host.project(human, "evil")
    code, said = try_in_box(human, project, EVIL)["evil"]
    assert code == 1
    assert "hasDotgit" in said
    assert set(host.refs("evil")) == {"refs/heads/main"}
    # The control: the host itself takes it.
    script = "import json, subprocess, sys\nGOT = {}\n" + RAW.replace("DOOR", "_") + EVIL
    script = script.replace("attempt(evil)", "print(json.dumps(evil()))")
    ran = human.run("/usr/bin/python3", "-", cwd=project, stdin=script)
    assert json.loads(ran.stdout)[0] == 0, ran
    assert "refs/heads/claude/evil" in host.refs("evil")


SEARCH = r"""
def searched():
    "What of the box a program can read: variables, processes, files."
    found = {"environment": "\n".join(f"{name}={value}" for name, value in os.environ.items())}
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        try:
            found[path] = open(path, "rb").read().decode("latin-1")
        except OSError:
            pass
    for top in (os.environ["HOME"], GIVEN["top"], "/tmp", "/run", "/var/tmp"):
        for parent, _, names in os.walk(top):
            for name in names:
                path = os.path.join(parent, name)
                try:
                    if os.path.isfile(path):
                        found[path] = open(path, "rb").read(1 << 20).decode("latin-1")
                except OSError:
                    pass
    return sorted(path for path, text in found.items() if GIVEN["half"][::-1] in text)

def used():
    git("switch", "-qc", "claude/work", "HEAD")
    return [git("fetch", "origin"), git("push", "other", "HEAD"), git("fetch", "gone")]

def shown():
    return [git("remote", "-v"), git("config", "--list"), git("ls-remote", "other")]

attempt(used)
attempt(shown)
attempt(searched)
"""


def test_the_token_is_nowhere_in_the_box(human, host):
    project = host.project(human, "token")
    with_token = f"http://human:{host.token}@{HOST}"
    host.make("other")
    human.run("git", "remote", "add", "other", f"{with_token}/other.git", cwd=project)
    human.run("git", "remote", "add", "gone", f"{with_token}/gone.git", cwd=project)
    half = host.token[::-1]  # so that the probe itself does not hold it
    got = try_in_box(human, project, SEARCH, half=half, top=str(project))
    assert [code for code, _ in got["used"]] == [0, 0, 128]
    assert f"http://{HOST}/gone.git" in got["used"][2][1]  # what is said names the place
    assert got["shown"][2][0] == 0
    assert got["searched"] == []
    assert host.token not in json.dumps([got["used"], got["shown"]])
    # The control: the same search finds what the human has.
    source = probe.script(RAW + SEARCH, {"half": half, "top": str(project)})
    outside = probe.got(human.run("/usr/bin/python3", "-", cwd=project, stdin=source).stdout)
    assert str(human.home / ".git-credentials") in outside["searched"]
    assert f"{project}/.git/config" in outside["searched"]


OTHERS = r"""
def others():
    host = GIVEN["host"]
    config = f"url.git://127.0.0.1:9418/secret.insteadOf=http://{host}/secret.git"
    git("config", "remote.origin.url", f"http://{host}/secret.git")
    return {
        "by its address": git("ls-remote", f"http://{host}/secret.git"),
        "as origin": git("ls-remote", "origin"),
        "by a setting": git("-c", config, "ls-remote", f"http://{host}/secret.git"),
        "by the door": git("ls-remote", "git://127.0.0.1:9418/secret"),
        "by a path": git("ls-remote", f"git://127.0.0.1:9418/{host}/secret.git"),
    }

attempt(others)
"""


@pytest.mark.parametrize("box", BOXES)
def test_other_repositories_of_that_host_are_out_of_reach(human, host, box):
    project = host.project(human, f"others-{box}")
    got = try_in_box(human, project, OTHERS, box, host=HOST)
    assert {name: code for name, (code, _) in got["others"].items()} == dict.fromkeys(
        got["others"], 128
    )
    human.run("git", "ls-remote", host.url("secret"), cwd=project)  # the control


def test_without_it_there_is_no_door(human, host):
    project = host.project(human, "closed")
    for flags in ((), ("--no-push",), ("--allow-push", "--no-network")):
        words = ("exec", *flags, "--", "git", "ls-remote", "origin")
        human.clsecure(*words, cwd=project, code=128)
    human.clsecure("exec", "--allow-push", "--", "git", "ls-remote", "origin", cwd=project)
    alone = human.repository("src/no-remote")
    words = ("exec", "--allow-push", "--", "git", "ls-remote", "git://127.0.0.1:9418/origin")
    human.clsecure(*words, cwd=alone, code=128)


def test_a_project_cannot_open_it(human, host):
    project = host.project(human, "asks")
    human.write(project / ".clsecure/config", "push = origin\n")
    ran = human.clsecure("exec", "--", "git", "ls-remote", "origin", cwd=project, code=128)
    assert "a project cannot set push = origin; ignored" in ran.stderr
    human.write(project / ".clsecure/config", "push = never\n")
    human.write(".config/clsecure/config", "push = origin\n")
    try:
        human.clsecure("exec", "--", "git", "ls-remote", "origin", cwd=project, code=128)
        human.write(project / ".clsecure/config", "")
        human.clsecure("exec", "--", "git", "ls-remote", "origin", cwd=project)  # the control
    finally:
        (human.home / ".config/clsecure/config").unlink()


def test_the_humans_repository_has_no_part_in_it(human, host):
    """No hook, ref or setting of the human's is used, and none is changed."""
    project = host.project(human, "apart")
    ran = human.home / "hook-ran"
    for name in ("pre-push", "pre-receive", "post-update", "reference-transaction"):
        human.write(
            project / f".git/hooks/{name}", f"#!/bin/sh\necho {name} >> {ran}\n", mode=0o755
        )
    secret = commit_in(human, project, "of another session")
    human.run("git", "update-ref", "refs/clsecure/other/base", secret, cwd=project)
    ran.unlink()  # by what has just run: the control
    source = r"""
def pushed_one():
    git("switch", "-qc", "claude/work", "HEAD")
    git("commit", "-qm", "Work", "--allow-empty")
    return git("push", "--no-verify", "origin", "HEAD")

def listed():
    return asked(line("git-receive-pack /origin\0host=x\0"))

attempt(pushed_one)
attempt(listed)
"""
    list_refs = ("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads")
    before = human.run(*list_refs, cwd=project).stdout
    tracking = (*list_refs[:-1], "refs/remotes")
    tracked = human.run(*tracking, cwd=project).stdout
    got = try_in_box(human, project, source)
    assert got["pushed_one"][0] == 0, got
    assert "refs/clsecure" not in got["listed"]
    assert secret not in got["listed"]
    assert human.run(*list_refs, cwd=project).stdout == before
    assert human.run(*tracking, cwd=project).stdout == tracked
    assert not [line for line in _lines(ran) if "push" in line or "receive" in line]


def _lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_mirrors_go_with_their_session_however_it_ends(human, host):
    project = host.project(human, "ends")
    place = human.home / ".local/state/clsecure/git"
    with Live(human, project, "--allow-push") as live:
        live.do("git fetch origin")
        until(lambda: list(place.glob("*/*/HEAD")))
        (mirror,) = place.iterdir()
        for one in (place, mirror, *mirror.iterdir()):
            assert one.stat().st_mode & 0o077 == 0, one
            assert one.stat().st_uid == human.account.pw_uid
        live.end()
    assert list(place.iterdir()) == []
    with Live(human, project, "--allow-push", "--resume") as live:
        live.do("git fetch origin")
        until(lambda: list(place.glob("*/*/HEAD")))
        for pid in (live.service(), live.running.pid):
            os.kill(pid, signal.SIGKILL)
        live.running.wait()
    (left,) = place.iterdir()  # until the next one:
    time.sleep(0.5)
    human.clsecure("exec", "--allow-push", "--", "git", "ls-remote", "origin", cwd=project)
    assert not left.exists()
    assert list(place.iterdir()) == []


def test_programs_of_git_are_limited_in_memory(human, host):
    """What reads from the box may not take all of the machine's memory."""
    project = host.project(human, "memory")
    source = "\ndef held():\n    with socket.create_connection(DOOR) as door:\n"
    source += '        door.sendall(line("git-receive-pack /origin\\0host=x\\0"))\n'
    source += "        door.recv(65536)\n        print('held', file=sys.stderr, flush=True)\n"
    source += "        time.sleep(3)\n\nattempt(held)\n"
    argv = human.argv(
        ["clsecure", "exec", "--allow-push", "--mode", "user", "--", "/usr/bin/python3", "-"],
        {"PATH": os.environ["PATH"]},
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, cwd=project, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as running:
        running.stdin.write(probe.script(RAW + source, {}))
        running.stdin.close()
        while "held" not in running.stderr.readline():
            assert running.poll() is None
        uid = human.account.pw_uid
        limits = subprocess.run(
            ["pgrep", "-u", str(uid), "-f", "receive-pack /"], capture_output=True, text=True
        ).stdout.split()
        assert limits
        for pid in limits:
            text = open(f"/proc/{pid}/limits").read()
            (line,) = [one for one in text.splitlines() if one.startswith("Max data size")]
            assert str(4 << 30) in line
        running.wait()
