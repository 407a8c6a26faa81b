"""The helper distrusts its caller: whatever it is sent, it answers in a line, without effect."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from caller import PACKAGE, Caller, open_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clsecure.ahead import PYTHON
from clsecure.helper.protocol import (
    Exec,
    Failed,
    Find,
    Found,
    List,
    Listed,
    Listener,
    Note,
    Noted,
    Opened,
    Plant,
    Remove,
    Removed,
    Seed,
)
from clsecure.helper.wire import memory_file

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def project(human):
    return human.repository(files={"README": "hello\n", "sub/file": "x\n"})


@pytest.fixture
def caller(human):
    with Caller(human.account.pw_uid) as made:
        yield made


def states(human):
    """What root keeps for that human: other tests have sessions meanwhile."""
    found = []
    for state in Path("/var/lib/clsecure").glob("claude-worker-*"):
        human_of = None
        with contextlib.suppress(OSError, ValueError):
            human_of = int((state / "maker").read_text())
        with contextlib.suppress(OSError, ValueError):
            human_of = json.loads((state / "record.json").read_text())["human"]
        if human_of == human.account.pw_uid:
            found.append(state.name)
    return sorted(found)


def quiet(caller):
    """The helper has ended, and has written nothing."""
    caller.close()
    assert caller.said == ""


NONSENSE = {
    "empty": b"=",
    "no-json": b"=hello",
    "no-object": b"=[]",
    "no-verb": b"={}",
    "unknown-verb": b'={"verb":"Shell","argv":["sh"]}',
    "verb-of-an-answer": b'={"verb":"Opened"}',
    "verb-of-init": b'={"verb":"Ready"}',
    "verb-is-a-list": b'={"verb":[]}',
    "verb-is-an-object": b'={"verb":{}}',
    "verb-is-null": b'={"verb":null}',
    "missing-field": b'={"verb":"Find","project":"/x"}',
    "additional-field": b'={"verb":"List","uid":0}',
    "wrong-type": b'={"verb":"Find","project":[],"session":""}',
    "true-for-a-number": b'={"verb":"Note","commits":true,"changes":1}',
    "nul-in-a-text": b'={"verb":"Find","project":"/x\\u0000y","session":""}',
    "lone-surrogate": b'={"verb":"Find","project":"/\\ud800","session":""}',
    "not-utf-8": b'={"verb":"Find","project":"\xff\xfe","session":""}',
    "huge-number": b'={"verb":"Note","commits":' + b"9" * 9000 + b',"changes":0}',
    "not-a-number": b'={"verb":"Note","commits":NaN,"changes":0}',
    "deep": b"=" + b"[" * 30000,
    "deep-objects": b"=" + b'{"verb":' * 4000,
    "too-long": b"=" + b"x" * 40000,
    "memory-without-descriptor": b"@",
    "other-mark": b'!{"verb":"List"}',
}


@pytest.mark.parametrize("raw", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_answered_and_is_the_end(human, caller, raw):
    before = states(human)
    caller.say(raw)
    answer = caller.hear()
    assert isinstance(answer, (Failed, Listed)), answer
    if isinstance(answer, Failed):
        assert answer.code == 2
        assert "\n" not in answer.message
        assert len(answer.message) < 1000
        assert caller.hear() is None
    quiet(caller)
    assert states(human) == before


def pipe():
    ours, theirs = os.pipe()
    os.close(theirs)
    return ours


def large():
    file = memory_file(b"")
    os.truncate(file, 200 << 20)
    return file


ODD = {
    "pipe": pipe,
    "directory": lambda: os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY),
    "path": lambda: os.open("/etc/passwd", os.O_PATH),
    "write-only": lambda: os.open("/dev/null", os.O_WRONLY),
    "socket": lambda: socket.socket(socket.AF_UNIX).detach(),
    "endless": lambda: os.open("/dev/zero", os.O_RDONLY),
    "large": large,
    "garbage": lambda: memory_file(b"hello"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_descriptor_in_place_of_the_message(caller, kind):
    descriptor = ODD[kind]()
    caller.say(b"@", (descriptor,))
    os.close(descriptor)
    answer = caller.hear()
    assert isinstance(answer, Failed), answer
    assert answer.code == 2
    quiet(caller)


def test_a_great_many_descriptors(caller):
    null = os.open("/dev/null", os.O_RDONLY)
    with contextlib.suppress(OSError):
        caller.say(b'={"verb":"List"}', (null,) * 250)
    os.close(null)
    assert isinstance(caller.hear(), (Listed, Failed))
    quiet(caller)


def test_stray_descriptors_are_closed(human, caller):
    null = os.open("/dev/null", os.O_RDONLY)
    for _ in range(20):
        assert isinstance(caller.ask(List(), (null,) * 100), Listed)
    os.close(null)
    caller.ask(List())  # whoever answers again has closed what came before
    assert len(os.listdir(f"/proc/{caller.process.pid}/fd")) < 20
    quiet(caller)


ODD_FIELDS = {
    "unknown-mode": {"mode": "root"},
    "unknown-engine": {"engine": "docker", "mode": "namespace"},
    "mode-without-engine": {"mode": "namespace"},
    "engine-without-mode": {"engine": "bubblewrap", "mode": "user"},
    "unknown-action": {"action": "replace"},
    "unknown-network": {"network": "host"},
    "unknown-workspace": {"workspace": "bind"},
    "base-is-an-option": {"base": "--upload-pack=x"},
    "base-with-a-newline": {"base": "0" * 40 + "\n"},
    "worker-of-no-name": {"workers": ("root",)},
    "worker-with-a-path": {"workers": ("claude-worker-../../x",)},
    "worker-too-long": {"workers": ("claude-worker-" + "a" * 30,)},
    "no-worker": {"workers": ()},
    "session-with-a-slash": {"session": "../x"},
    "session-with-a-newline": {"session": "a\nb"},
    "session-too-long": {"session": "a" * 65},
    "session-is-an-option": {"session": "-x"},
    "relative-home": {"home": "home"},
    "home-is-the-root": {"home": "/"},
    "home-is-etc": {"home": "/etc"},
    "home-below-run": {"home": "/run/user/0"},
    "probe-upward": {"probe": "../../etc"},
    "probe-absolute": {"probe": "/etc"},
    "git-directory-in-etc": {"git_dir": "/etc/x"},
    "git-directory-in-state": {"git_dir": "/var/lib/clsecure/x"},
    "shows-etc": {"exposures": ("/etc",)},
    "shows-the-root": {"exposures": ("/",)},
    "shows-state": {"exposures": ("/var/lib/clsecure",)},
    "shows-var": {"exposures": ("/var",)},
    "shows-all-homes": {"exposures": ("/home",)},
    "shows-processes": {"exposures": ("/proc/1/root",)},
    "shows-a-device": {"exposures": ("/dev/sda",)},
    "shows-upward": {"exposures": ("/srv/../etc",)},
    "shows-nothing": {"exposures": ("/srv/clsecure-is-not-here",)},
    "objects-of-root": {"objects": ("/root",)},
    "objects-nowhere": {"objects": ("/srv/clsecure-is-not-here",)},
    "mask-upward": {"masks": ("../x",)},
    "mask-absolute": {"masks": ("/etc/passwd",)},
    "mask-empty": {"masks": ("",)},
    "listener-outside": {"listeners": (Listener(role="api", address="0.0.0.0", port=80),)},
    "listener-on-no-port": {"listeners": (Listener(role="api", address="127.0.0.1", port=0),)},
    "listener-on-a-large-port": {
        "listeners": (Listener(role="api", address="127.0.0.1", port=70000),)
    },
    "listener-of-no-role": {"listeners": (Listener(role="", address="127.0.0.1", port=80),)},
    "listener-with-a-newline": {
        "listeners": (Listener(role="api\n", address="127.0.0.1", port=80),)
    },
    "listener-without-a-network": {
        "network": "none",
        "listeners": (Listener(role="api", address="127.0.0.1", port=82),),
    },
    "broker-without-a-network": {"network": "none", "broker": True},
}


@pytest.mark.parametrize("fields", ODD_FIELDS.values(), ids=ODD_FIELDS)
def test_an_odd_request_makes_nothing(human, project, caller, fields):
    before = states(human)
    answer = caller.ask(open_request(human, project, **fields))
    assert isinstance(answer, Failed), answer
    assert answer.code in (2, 3, 5)
    assert "\n" not in answer.message.replace("\\n", "")
    assert isinstance(caller.ask(List()), Listed)  # it goes on
    quiet(caller)
    assert states(human) == before


def test_control_an_honest_request_makes_a_session(human, project, caller):
    answer = caller.ask(open_request(human, project, session="honest"))
    assert isinstance(answer, Opened), answer
    caller.discard(answer)
    quiet(caller)


def test_places_that_the_human_cannot_open(human, other, caller):
    other.home.chmod(0o700)
    theirs = other.repository("src/theirs")
    for fields in (
        {},
        {"home": str(other.home)},
        {"git_dir": f"{theirs}/.git", "objects": ()},
        {"objects": (f"{theirs}/.git/objects",), "lfs": ("",)},
    ):
        answer = caller.ask(open_request(human, theirs, **fields))
        assert isinstance(answer, Failed), answer
        assert answer.code == 3
    assert isinstance(caller.ask(open_request(human, "/root")), Failed)
    quiet(caller)


def test_stores_of_git_lfs_are_opened_as_the_human(human, other, project, caller):
    other.home.chmod(0o700)
    theirs = other.repository("src/large")
    own = f"{project}/.git/objects"
    for lfs, code in (((f"{theirs}/.git",), 3), (("/root",), 3), (("", ""), 2), ((own,), None)):
        answer = caller.ask(open_request(human, project, objects=(own,), lfs=lfs, session="lfs"))
        assert getattr(answer, "code", None) == code, answer


def test_a_home_of_somebody_else_is_refused(human, other, project, caller):
    other.home.chmod(0o755)
    answer = caller.ask(open_request(human, project, home=str(other.home)))
    other.home.chmod(0o700)
    assert isinstance(answer, Failed)
    assert "not your home directory" in answer.message


def test_a_link_on_the_way_is_not_followed(human, project, caller):
    link = human.home / "link"
    human.run("ln", "-s", project, link)
    answer = caller.ask(open_request(human, link))
    assert isinstance(answer, Failed)
    assert answer.code == 3


BAD_SEEDS = {
    "upward": Seed(area="home", path="../x", mode=0o644),
    "absolute": Seed(area="home", path="/etc/clsecure-x", mode=0o644),
    "empty": Seed(area="home", path="", mode=0o644),
    "hidden-upward": Seed(area="git", path="a/../../x", mode=0o644),
    "no-area": Seed(area="etc", path="x", mode=0o644),
}


@pytest.mark.parametrize("seed", BAD_SEEDS.values(), ids=BAD_SEEDS)
def test_seeds_stay_in_their_area(caller, seed):
    content = memory_file(b"x")
    answer = caller.ask(Plant(seeds=(seed,)), (content,))
    os.close(content)
    assert isinstance(answer, Failed)
    assert answer.code == 2
    assert not os.path.lexists("/etc/clsecure-x")
    quiet(caller)


def test_seeds_need_their_contents(caller):
    seed = Seed(area="home", path="x", mode=0o644)
    answer = caller.ask(Plant(seeds=(seed, seed)), (0,))
    assert isinstance(answer, Failed)
    assert isinstance(caller.ask(Plant(seeds=(), directories=("../x",))), Failed)
    quiet(caller)


@pytest.mark.parametrize("kind", ["pipe", "directory", "path", "write-only", "socket"])
def test_a_seed_of_an_odd_kind_makes_no_session(human, project, caller, kind):
    before = states(human)
    descriptor = ODD[kind]()
    seed = Seed(area="home", path="x", mode=0o6777)
    assert isinstance(caller.ask(Plant(seeds=(seed,)), (descriptor,)), Noted)
    os.close(descriptor)
    answer = caller.ask(open_request(human, project, session="odd"))
    if isinstance(answer, Opened):  # an empty pipe is an empty file
        ran = caller.run("/usr/bin/stat", "-c", "%a %s", f"{human.home}/x")
        assert ran.output == "755 0\n"
        caller.discard(answer)
    else:
        assert isinstance(answer, Failed)
        assert "first files" in answer.message
    quiet(caller)
    assert states(human) == before


def test_a_thousand_first_files(human, project, caller):
    content = memory_file(b"x")
    for start in range(0, 1500, 100):
        seeds = tuple(
            Seed(area="home", path=f"d{n % 7}/f{n}", mode=0o644) for n in range(start, start + 100)
        )
        assert isinstance(caller.ask(Plant(seeds=seeds), (content,) * 100), Noted)
    os.close(content)
    answer = caller.ask(open_request(human, project, session="many"))
    assert isinstance(answer, Opened), answer
    ran = caller.run("/bin/sh", "-c", f"ls {human.home}/d*/f* | wc -l; ulimit -n")
    assert ran.output.split()[0] == "1500"
    assert int(ran.output.split()[1]) <= 65536
    caller.discard(answer)
    quiet(caller)


ODD_COMMANDS = {
    "nothing": {"argv": ()},
    "no-assignment": {"environment": ("PATH",)},
    "negative-terminal": {"rows": -1},
    "huge-terminal": {"rows": 1, "columns": 10**9},
    "negative-time": {"timeout": -1},
    "endless-time": {"timeout": 10**30},
}


@pytest.mark.parametrize("fields", ODD_COMMANDS.values(), ids=ODD_COMMANDS)
def test_an_odd_command_is_refused_and_the_box_goes_on(human, project, caller, fields):
    opened = caller.ask(open_request(human, project, session="odd-command"))
    values = {"argv": ("/bin/true",), "environment": (), "cwd": "/", **fields}
    with tempfile.TemporaryFile() as file:
        descriptors = () if fields.get("rows") else (file.fileno(),) * 3
        answer = caller.ask(Exec(**values), descriptors)
    assert isinstance(answer, Failed), answer
    assert caller.run("/bin/true").code == 0
    caller.discard(opened)
    quiet(caller)


@pytest.mark.parametrize("count", [1, 2, 4, 100])
def test_a_command_with_other_descriptors_than_three(human, project, caller, count):
    opened = caller.ask(open_request(human, project, session="count"))
    with tempfile.TemporaryFile() as file:
        request = Exec(argv=("/bin/true",), environment=(), cwd="/")
        answer = caller.ask(request, (file.fileno(),) * count)
    assert isinstance(answer, Failed), answer
    caller.discard(opened)
    quiet(caller)


def test_requests_out_of_turn(human, project, caller):
    assert isinstance(caller.ask(Note(commits=1, changes=1)), Failed)
    assert isinstance(caller.run("/bin/true").answer, Failed)
    resume = open_request(human, project, action="resume", session="never-made")
    assert isinstance(caller.ask(resume), Failed)
    opened = caller.ask(open_request(human, project, session="turn"))
    assert isinstance(caller.ask(open_request(human, project, session="turn2")), Failed)
    stranger = Remove(worker="claude-worker-x-000000")
    assert isinstance(caller.ask(stranger), Failed)
    caller.discard(opened)
    assert isinstance(caller.ask(stranger), Failed)
    quiet(caller)


@pytest.mark.parametrize(
    "name", ["", "root", "claude-worker-", "claude-worker-/etc", "../claude-worker-x", "*"]
)
def test_only_a_worker_can_be_removed(caller, name):
    answer = caller.ask(Remove(worker=name))
    assert isinstance(answer, Failed)
    assert answer.code == 2
    quiet(caller)


def test_another_humans_session_is_out_of_reach(human, other, project, caller):
    opened = caller.ask(open_request(human, project, session="mine"))
    worker = opened.session.worker
    human.home.chmod(0o755)  # the other could even read the project
    with Caller(other.account.pw_uid) as theirs:
        assert theirs.ask(List()) == Listed(sessions=())
        assert theirs.ask(Find(project=str(project), session="mine")) == Found(session=None)
        for attempt in ("running", "kept"):
            answer = theirs.ask(Remove(worker=worker))
            assert isinstance(answer, Failed), attempt
            assert answer.code in (3, 5)
            for action in ("create", "resume"):
                answer = theirs.ask(
                    open_request(other, project, session="mine", action=action, workers=(worker,))
                )
                assert isinstance(answer, Failed), (attempt, action)
            if attempt == "running":
                caller.close()
    human.home.chmod(0o700)
    with Caller(human.account.pw_uid) as mine:
        answer = mine.ask(open_request(human, project, session="mine", action="resume"))
        assert isinstance(answer, Opened)
        mine.discard(answer)


def test_the_same_project_of_two_humans_is_two_sessions(human, other, project):
    human.home.chmod(0o755)
    with Caller(human.account.pw_uid) as mine, Caller(other.account.pw_uid) as theirs:
        first = mine.ask(open_request(human, project, session="both"))
        workers = open_request(human, project, session="both").workers
        # Both would have the same first name.
        request = open_request(other, project, session="both")
        second = theirs.ask(request.replace(workers=(workers[0], request.workers[1])))
        assert isinstance(second, Opened), second
        assert first.session.worker != second.session.worker
        theirs.discard(second)
        mine.discard(first)
    human.home.chmod(0o700)


def test_a_worker_cannot_be_the_caller(human, project, caller):
    opened = caller.ask(open_request(human, project, session="worker"))
    with Caller(opened.session.uid) as forged:
        answer = forged.hear()
        assert isinstance(answer, Failed)
        assert "worker" in answer.message
        assert forged.hear() is None
    caller.discard(opened)


def test_a_user_id_without_an_account_cannot_be_the_caller():
    with Caller(4_000_000) as nobody:
        answer = nobody.hear()
    assert isinstance(answer, Failed)
    assert answer.code == 4


def test_it_is_not_for_users_or_for_people(human):
    for words in ((PYTHON, "-IS", PACKAGE), ("sudo", PYTHON, "-IS", PACKAGE)):
        ran = human.run(*words, code=2)
        assert len(ran.stderr.splitlines()) == 1
    ran = human.run("sudo", PYTHON, "-IS", PACKAGE, "--help", code=2)
    assert "without arguments" in ran.stderr


def test_a_refused_start_says_so_once():
    # State that is not root's alone is not used.
    script = f"""
mount -t tmpfs -o mode=0777 t /var/lib/clsecure
exec {PYTHON} -IS {PACKAGE} <&3
"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    with ours, theirs:
        process = subprocess.Popen(
            ["unshare", "-m", "bash", "-c", script.replace("<&3", f"<&{theirs.fileno()}")],
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.PIPE,
        )
        said = json.loads(ours.recv(10000)[1:])
        assert process.wait(10) == 3
        assert process.stderr.read() == b""
    assert "not root's alone" in said["message"]


SHALLOW = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)
VERBS = st.sampled_from(["Find", "Open", "Plant", "Exec", "Signal", "Changes", "Note", "Remove"])
FIELDS = ["project", "session", "action", "mode", "engine", "seeds", "argv", "worker", "name"]
NAMES = st.sampled_from(FIELDS)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    verb=VERBS | SHALLOW, fields=st.dictionaries(NAMES | st.text(max_size=8), SHALLOW, max_size=5)
)
def test_no_message_has_an_effect_or_a_traceback(human, verb, fields):
    before = states(human)
    with Caller(human.account.pw_uid) as caller:
        caller.say(b"=" + json.dumps({**fields, "verb": verb}).encode()[:30000])
        answer = caller.hear()
        assert answer is None or isinstance(answer, (Failed, Found, Noted, Removed)), answer
        caller.close()
        assert caller.said == ""
    assert states(human) == before
