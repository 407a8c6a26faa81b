"""Wearing the network's proxy out, ending it, filling its log, and getting at other sessions'.

What a box does to its own proxy may harm its own session, and nothing else; it never opens a way.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager

import pytest
from egressworld import BOXES, new_world
from probe import mode_options

from clsecure.egress import log
from world.human import PROGRAM
from world.internet import UPSTREAM
from world.live import Live, control_socket, served_by, until

pytestmark = pytest.mark.root

ALLOWED = ("--allow", "allowed.test")
in_boxes = pytest.mark.parametrize("box", BOXES)


@pytest.fixture(scope="module")
def world(human, tmp_path_factory):
    with new_world(human, tmp_path_factory.mktemp("internet")) as made:
        yield made


# Each of these keeps a byte coming; HEAD_SECONDS, 10, is what there is for a whole head.
SLOW = r"""
FIRST = {
    "request": b"GET /slow HTTP/1.1\r\nX: ",
    "connect": b"CONNECT allowed.test:80 HTTP/1.1\r\nX: ",
    "socks": b"\5\x20",
    "silent": b"",
    "blank": b"\r\n",
    "tls": b"\x16\3\1\2\0\1\0\1\xfc\3\3",
    "long": b"GET /" + b"a" * 60000,
    "message": b"\0\xff",
}
def begin(address, name, tunnel=False):
    one = dial(*address)
    if tunnel:
        one.sendall(b"CONNECT allowed.test:443 HTTP/1.1\r\n\r\n")
        one.recv(100)
    one.sendall(FIRST[name])
    one.settimeout(0)
    return one
def state(one):
    try:
        return one.recv(1000)[:12].decode("latin-1") or "ended"
    except BlockingIOError:
        return "open"
    except OSError:
        return "ended"
def honest():
    begin = time.monotonic()
    said = say(GIVEN["honest"], b"GET http://allowed.test/honest HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n")
    return [said[:12], time.monotonic() - begin]
def trickle(held):
    longest, answers, end = 0, set(), time.monotonic() + GIVEN["seconds"]
    while time.monotonic() < end:
        for ones in held.values():
            for one in ones:
                try:
                    one.send(b"a")
                except OSError:
                    pass
        said, seconds = honest()
        answers.add(said)
        longest = max(longest, seconds)
        time.sleep(0.5)
    states = {name: sorted({state(one) for one in ones}) for name, ones in held.items()}
    return {"states": states, "longest": longest, "answers": sorted(answers)}
"""
SLOW_IN_THE_BOX = r"""
@attempt
def slow():
    held = {f"proxy {name}": [begin(PROXY, name) for _ in range(60)] for name in ("request", "connect", "socks", "silent", "long")}
    for name in ("request", "blank", "long"):
        held[f"transparent {name}"] = [begin(("allowed.test", 80), name) for _ in range(60)]
    held["transparent tls"] = [begin(("allowed.test", 443), "tls") for _ in range(60)]
    held["tunnel tls"] = [begin(PROXY, "tls", tunnel=True) for _ in range(60)]
    held["resolver"] = [begin(("127.0.0.1", 53), "message") for _ in range(60)]
    return trickle(held)
"""
SLOW_OUTSIDE = r"""
@attempt
def slow():
    return trickle({"request": [begin(("allowed.test", 80), "request") for _ in range(60)]})
"""


@in_boxes
def test_slow_heads_in_number_hold_nobody_up_and_end(world, box):
    given = {"seconds": 13, "honest": ("127.0.0.1", 3128)}
    slow = world.inside(box, SLOW + SLOW_IN_THE_BOX, *ALLOWED, given=given).got["slow"]
    assert slow["answers"] == ["HTTP/1.1 200"]
    assert slow["longest"] < 2
    still_open = {name for name, states in slow["states"].items() if "open" in states}
    assert still_open == set()


def test_control_a_server_bears_slow_heads(world):
    given = {"seconds": 13, "honest": (UPSTREAM, 80)}
    slow = world.outside(SLOW + SLOW_OUTSIDE, given=given).got["slow"]
    assert slow["states"] == {"request": ["open"]}


FLOOD = r"""
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
REQUEST = b"GET http://allowed.test/flood HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n"
def alive(one):
    one.settimeout(0)
    try:
        return bool(one.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False
@attempt
def flood():
    held = []
    for _ in range(GIVEN["number"]):
        try:
            held.append(dial(*GIVEN["address"]))
        except ConnectionResetError:  # it came as soon as the connection stood
            pass
    time.sleep(1)
    number = sum(alive(one) for one in held)
    for one in held:
        one.close()
    end, said = time.monotonic() + 5, ""
    while not said.startswith("HTTP/1.1 200") and time.monotonic() < end:
        said = say(GIVEN["address"], REQUEST)
    return [number, said[:12]]
"""


@in_boxes
def test_a_flood_of_connections_is_cut_off_and_forgotten(world, box):
    given = {"number": 2400, "address": ("127.0.0.1", 3128)}
    tried = world.inside(box, FLOOD, *ALLOWED, given=given)
    assert tried.got["flood"], tried.said
    number, said = tried.got["flood"]
    assert 1900 < number <= 2000
    assert said == "HTTP/1.1 200"


def test_control_nobody_counts_a_humans_connections(world):
    given = {"number": 2400, "address": (UPSTREAM, 8000)}
    assert world.outside(FLOOD, given=given).got["flood"] == [2400, "HTTP/1.1 200"]


USE_UP = r"""
@attempt
def names():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.connect(("127.0.0.1", 53))
        def ask(name):
            asking.send(query(name))
            said = asking.recv(512)
            return said[3] & 15, socket.inet_ntoa(said[-4:])
        first = ask("allowed.test")
        codes = {}
        for number in range(66000):
            code, _ = ask(f"n{number}.evil.test")
            codes[code] = codes.get(code, 0) + 1
        return {"codes": codes, "same": ask("allowed.test") == first, "more": ask("www.allowed.test")[0]}
GET = b"GET /names HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
@attempt
def known_name(): return say(("allowed.test", 80), GET % b"allowed.test")[:12]
@attempt
def by_proxy(): return connect("www.allowed.test:80", GET % b"www.allowed.test")[39:51]
@attempt
def blocked(): return connect("evil.test:80")[:12]
"""


def test_names_are_used_up_and_nothing_opens(world):
    tried = world.inside("user", USE_UP, *ALLOWED, "--allow", "www.allowed.test")
    codes = tried.got["names"]["codes"]
    assert codes == {"0": 65535, "2": 66000 - 65535}  # no error, SERVFAIL
    assert tried.got["names"]["same"]
    assert tried.got["names"]["more"] == 2
    assert tried.got["known_name"] == tried.got["by_proxy"] == "HTTP/1.1 200"
    assert tried.got["blocked"] == "HTTP/1.1 403"


@in_boxes
def test_without_its_proxy_a_box_has_no_network_and_the_person_is_told(world, box):
    with Live(world.human, world.project, *mode_options(box), *ALLOWED, "--fresh", "--yes") as live:
        assert live.code("allowed.test") == "200"
        os.kill(live.service(), signal.SIGKILL)
        until(lambda: live.code("allowed.test") == "000", 5)
        for proxy in ("", "--noproxy '*'"):  # refused at once, and not by a time-out
            refused = f"curl -s {proxy} -m 8 http://{UPSTREAM}/; printf %s $?"
            assert live.do(refused) == "7"
        live.do("echo work > made-without-a-network")
        said = live.end()
    assert "the network's proxy has ended early" in said
    kept = world.human.clsecure("show", cwd=world.project).stdout
    assert "made-without-a-network" in kept
    world.human.clsecure("discard", "--yes", cwd=world.project)


def test_a_script_is_told_too_that_the_proxy_ended(world):
    argv = world.human.argv(
        [PROGRAM, "exec", *ALLOWED, "--", "sh", "-c", "echo ready; read -r line"]
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, cwd=world.project, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as running:
        assert running.stdout.readline() == "ready\n"
        control = control_socket(world.human.home / ".local/state")
        os.kill(served_by(control), signal.SIGKILL)
        _, said = running.communicate("\n", timeout=30)
    assert running.returncode == 0
    assert "the network's proxy has ended early" in said


@contextmanager
def small_disk(human):
    """A file system of the human's with room for little, at a place for state."""
    place = human.home / "small"
    human.run("mkdir", place)
    owner = f"uid={human.account.pw_uid},gid={human.account.pw_gid},mode=700"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=256k,{owner}", "clsecure-t", place], check=True
    )
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        place.rmdir()


def test_what_cannot_be_logged_does_not_happen(world):
    human = world.human
    with small_disk(human) as disk:
        env = {"XDG_STATE_HOME": str(disk)}
        with Live(human, world.project, *ALLOWED, "--fresh", "--yes", env=env) as live:
            assert live.code("allowed.test") == "200"
            filler = disk / "filler"
            human.run("sh", "-c", f"cat /dev/zero > {filler} 2>/dev/null; true")
            written = list(log.records(disk / "clsecure/net"))
            passed = len(world.internet.asked())
            # The rest of the last page holds a few records, so not the first attempt is the one.
            until(lambda: live.code("allowed.test") == "403", 10)
            said = live.do("curl -s -m 8 http://allowed.test/")
            assert "the decision cannot be logged: No space left on device" in said
            allowed = [
                each
                for each in list(log.records(disk / "clsecure/net"))[len(written) :]
                if each["event"] == "open" and each["verdict"] == "allow"
            ]
            assert len(world.internet.asked()) - passed == len(allowed)
            filler.unlink()
            assert live.code("allowed.test") == "200"
            told = live.end()
        checked = human.clsecure("net", "verify-log", cwd=world.project, env=env)
        assert "none changed" in checked.stdout
    assert "records could not be written to its log" in told
    assert len(told.split("of the network's records")) == 2
    human.clsecure("discard", "--yes", cwd=world.project)


OTHERS = r"""
GET = b"GET /others HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
@attempt
def by_doors():
    found = {}
    for host in GIVEN["hosts"]:
        for port in (3128, GIVEN["published"]):
            try:
                with dial(host, port, 2) as asking:
                    asking.sendall(b"GET http://evil.test/others HTTP/1.1\r\nHost: evil.test\r\n\r\n")
                    found[f"{host}:{port}"] = until_end(asking, seconds=2)[:30]
            except OSError as error:
                found[f"{host}:{port}"] = errno.errorcode.get(error.errno, str(error))
    return found
@attempt
def by_control():
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(2)
        asking.connect(GIVEN["control"])
        asking.sendall(b'{"do": "allow", "host": "evil.test"}\n')
        return asking.recv(1000).decode()
@attempt
def log_file():
    with open(GIVEN["log"], "a") as file:
        return file.tell()
@attempt
def sockets_listed():
    with open("/proc/net/unix") as file:
        return [line for line in file if "claude-worker-" in line] or None
def named(number):
    try:
        with open(f"/proc/{number}/comm") as file:
            return file.read().strip()
    except OSError:  # it has ended
        return ""
@attempt
def processes():
    return [one for one in os.listdir("/proc") if one.isdigit() and "clsecure" in named(one)] or None
@attempt
def descriptors():
    found = []
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if "clsecure/net" in target:
            found.append(target)
    return found or None
"""


@in_boxes
def test_another_sessions_doors_and_controls_are_out_of_reach(world, box):
    human = world.human
    other = human.home / "src/others"
    if not other.exists():
        human.repository("src/others", {"README": "hello\n"})
    flags = (*mode_options(box), "--allow", "evil.test", "--publish", "18081:3000")
    with Live(human, other, *flags, "--fresh", "--yes") as live:
        live.serve(3000)
        assert live.code("evil.test") == "200"
        given = {
            "hosts": ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::ffff:127.0.0.1", "11.0.0.1"],
            "published": 18081,
            "control": str(live.control),
            "log": f"{world.logs}/egress.jsonl",
        }
        outside = world.outside(OTHERS, given=given).got  # the control
        assert outside["by_doors"]["127.0.0.1:18081"].startswith("HTTP/1.0 ")
        assert '"said"' in outside["by_control"]
        assert outside["log_file"] is not None
        assert outside["sockets_listed"]
        assert outside["processes"]
        assert outside["descriptors"]
        before = len(world.internet.asked())
        tried = world.inside(box, OTHERS, *ALLOWED, given=given)
        doors = tried.got.pop("by_doors")
        blocked = "HTTP/1.1 403 Blocked by clsec"
        assert {said[:29] for said in doors.values()} <= {blocked, "ECONNREFUSED", "<reset>"}
        assert doors["127.0.0.1:3128"].startswith(blocked)  # its own proxy, with its own rules
        assert tried.got == dict.fromkeys(tried.got)
        assert len(world.internet.asked()) == before
        live.end()
    human.clsecure("discard", "--yes", cwd=other)
