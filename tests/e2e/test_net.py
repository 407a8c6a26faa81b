"""What passes at each level, and `clsecure net`, with real boxes on a small internet."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pexpect
import pytest

from world.human import PROGRAM
from world.internet import OTHER, UPSTREAM
from world.live import Live, until

README = Path(__file__).parents[2] / "README.md"
CURL = "curl -sS -f -m 8 -o /dev/null"
DIRECT = f"{CURL} --noproxy '*'"
# What the README's table says, and how it is tried: a command that succeeds where it passes.
ATTEMPTS = {
    "the agent's API": f"{CURL} http://cloud.test/",
    "a host of the allow-list": f"{CURL} http://allowed.test/",
    "any other public host": f"{CURL} http://evil.test/",
    "a public address without a name": f"{DIRECT} http://{OTHER}/",
    "any TCP port of a host that passes": "banner allowed.test 5432",
    "a private address of the allow-list": f"{CURL} http://10.9.9.9/",
    "a name for a private address": f"{CURL} http://private.test/",
    "a metadata address": f"{CURL} http://169.254.169.254/",
    "a server on the host's loopback": f"{DIRECT} http://127.0.0.1:8080/",
    "a name for the host's loopback": f"{CURL} http://loop.test:8080/",
    "UDP": "echoed evil.test 9953",
}
HELPERS = """
banner() { python3 -c '
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 8) as asking:
    sys.exit(asking.recv(20) != b"banner\\n")
' "$@"; }
echoed() { python3 -c '
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(3)
    asking.connect((sys.argv[1], int(sys.argv[2])))
    asking.send(b"?")
    sys.exit(asking.recv(20) != b"?")
' "$@"; }
"""


def readme_table():
    """What the README promises: attempt to {level: passes}."""
    lines = README.read_text().splitlines()
    start = lines.index("| reached from the box | `none` | `filtered` | `open` |")
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        levels = ("none", "filtered", "open")
        rows[name] = dict(zip(levels, (cell == "yes" for cell in cells), strict=True))
    return rows


def test_the_readmes_table_names_what_is_tried():
    assert list(readme_table()) == list(ATTEMPTS)


@pytest.mark.parametrize("mode", ["user", "namespace", "container"])
@pytest.mark.parametrize("level", ["none", "filtered", "open"])
def test_what_each_level_lets_through(human, internet, mode, level):
    project = human.repository(f"src/levels-{mode}-{level}")
    tries = [f"if {one}; then echo yes; else echo no; fi" for one in ATTEMPTS.values()]
    human.agent("\n".join([HELPERS, *tries]))
    flags = ("--network", level, "--mode", mode, "--allow", "allowed.test, 10.9.9.9:80")
    began = time.monotonic()
    env = {"ANTHROPIC_BASE_URL": "http://cloud.test"}
    ran = human.clsecure(*flags, "--fresh", "--yes", cwd=project, env=env)
    seconds = time.monotonic() - began
    passed = dict(zip(ATTEMPTS, (word == "yes" for word in ran.stdout.split()), strict=True))
    assert passed == {name: levels[level] for name, levels in readme_table().items()}
    assert seconds < 8, "what is blocked is refused at once, not by a time-out"


def test_control_outside_of_the_box_all_of_it_passes(human, internet):
    for command in ATTEMPTS.values():
        human.run("sh", "-c", HELPERS + command)


def test_hosts_are_allowed_and_denied_while_it_runs(human, internet):
    project = human.repository("src/live")
    with Live(human, project) as live:
        assert live.code("evil.test") == "403"
        allowed = human.clsecure("net", "allow", "EVIL.test.", cwd=project)
        assert allowed.stdout == "default: allow: evil.test\n"
        began = time.monotonic()
        assert live.code("evil.test") == "200"
        assert time.monotonic() - began < 1
        human.clsecure("net", "deny", "evil.test", cwd=project)
        assert live.code("evil.test") == "403"
        status = human.clsecure("net", "status", cwd=project).stdout
        assert status == "default: 1 host(s), 2 blocked (last: evil.test:80)\n"
        other = human.repository("src/live-other")
        refused = human.clsecure("net", "allow", "evil.test", cwd=other, code=2)
        assert "no session of this project is running" in refused.stderr
        said = live.end()
    assert "network: evil.test:80 (" in said
    assert "blocked: evil.test:80 (on the deny-list, 2 times)" in said
    table = human.clsecure("net", cwd=project).stdout.splitlines()
    assert [line.split()[3] for line in table[1:]] == ["blocked", "passed", "blocked"]
    blocked = json.loads(human.clsecure("net", "--blocked", "--json", cwd=project).stdout)
    assert [(each["host"], each["port"], each["reason"]) for each in blocked] == [
        ("evil.test", 80, "not on the allow-list"),
        ("evil.test", 80, "on the deny-list"),
    ]


def test_an_edited_log_is_told(human, internet):
    project = human.repository("src/log")
    human.agent("curl -s -m 8 http://evil.test/")
    human.clsecure(cwd=project)
    directory = human.home / ".local/state/clsecure/net"
    assert human.clsecure("net", "verify-log", cwd=project).stdout.endswith("none changed\n")
    log = directory / "egress.jsonl"
    log.write_text(log.read_text().replace('"deny"', '"allow"', 1))
    tampered = human.clsecure("net", "verify-log", cwd=project, code=3)
    assert "the chain is broken" in tampered.stdout
    for path in directory.iterdir():
        path.unlink()


def test_always_is_for_the_next_session_too(human, internet):
    project = human.repository("src/always")
    configuration = human.write(".config/clsecure/config", "mode = user")
    said = human.clsecure("net", "allow", "www.allowed.test:80", "--always", cwd=project)
    assert "it counts from the next on" in said.stderr
    assert configuration.read_text() == "mode = user\nallow = www.allowed.test:80\n"
    human.agent("curl -s -m 8 -o /dev/null -w '%{http_code}' http://www.allowed.test/")
    assert human.clsecure(cwd=project).stdout == "200"
    configuration.unlink()


def test_following(human, internet):
    project = human.repository("src/follow")
    argv = human.argv([PROGRAM, "net", "--follow", "--blocked"])
    pipe = subprocess.PIPE
    with (
        Live(human, project) as live,
        subprocess.Popen(argv, cwd=project, stdout=pipe, stderr=pipe, text=True) as following,
    ):
        assert "Ctrl-C ends it" in following.stderr.readline()
        live.code("evil.test")
        line = following.stdout.readline()
        following.terminate()
        live.end()
    assert re.search(r"default  blocked  evil\.test:80  http", line)


_ASK_TWICE = """
import http.client, os, time
asking = http.client.HTTPConnection("127.0.0.1", 3127)
for waits in (False, True):
    while waits and not os.path.exists("/tmp/go"):
        time.sleep(0.05)
    asking.request("GET", "/cloud.test/v1/models")
    answer = asking.getresponse()
    answer.read()
    print(answer.status, flush=True)
"""


def test_the_api_is_denied_while_its_connection_is_open(human, internet):
    project = human.repository("src/live-api", {"twice.py": _ASK_TWICE})
    env = {"ANTHROPIC_BASE_URL": "http://cloud.test", "ANTHROPIC_API_KEY": "sk-test-0123456789"}
    codes = "until [ $(wc -l < ~/codes) = %s ]; do sleep 0.05; done; tail -n 1 ~/codes"
    with Live(human, project, env=env) as live:
        live.do("touch ~/codes")
        assert live.do(f"python3 twice.py > ~/codes 2>&1 & {codes % 1}") == "200"
        human.clsecure("net", "deny", "cloud.test", cwd=project)
        assert live.do(f"touch /tmp/go; {codes % 2}") == "403"
        said = live.end()
    assert "blocked: cloud.test:80 (on the deny-list" in said


def fetched(human, port, host="127.0.0.1", *, codes=(0,)):
    told = human.run("curl", "-sS", "-m", "8", f"http://{host}:{port}/page.html", code=None)
    assert told.returncode in codes, told
    return told.stdout


def test_a_port_of_the_box_is_published(human, internet):
    project = human.repository("src/publish", {"page.html": "from the box\n"})
    with Live(human, project, "--publish", "3000", "--publish", "18080:3000") as live:
        live.serve(3000)
        for port in (3000, 18080):
            assert fetched(human, port) == "from the box\n"
        fetched(human, 3000, UPSTREAM, codes=(7,))  # refused: not there
        said = human.clsecure("net", "publish", "19090:3000", cwd=project).stdout
        assert said == "default: 127.0.0.1:19090 leads to port 3000 of the box\n"
        assert fetched(human, 19090) == "from the box\n"
        human.clsecure("net", "publish", "19091:3001", cwd=project)
        # Nobody listens there: it ends as soon as curl is connected, or a moment before.
        fetched(human, 19091, codes=(7, 56))
        taken = human.clsecure("--publish", "127.0.0.1:80:3000", "-s", "b", cwd=project, code=1)
        assert "127.0.0.1:80 cannot be used" in taken.stderr
        live.end()
    fetched(human, 3000, codes=(7,))


def test_what_brings_work_home_asks_for_no_host(human, internet):
    project = human.repository("src/asks-not", {".clsecure/config": "allow = evil.test\n"})
    human.agent("echo work > made")
    human.clsecure("--yes", cwd=project)
    for words in (("show",), ("diff",), ("import", "--branch", "home", "--yes")):
        screen = human.terminal(PROGRAM, *words, cwd=project)
        screen.expect(pexpect.EOF)
        assert "evil.test" not in screen.before, words
        screen.close()
        assert screen.exitstatus == 0
    asking = json.loads(human.clsecure("config", "--json", cwd=project).stdout)
    assert "evil.test" not in asking["allow"]["value"]


def test_a_desktop_is_told_of_a_blocked_host(human, internet):
    project = human.repository("src/desktop")
    noted = human.home / "noted"
    notify = human.write(
        "bin/notify-send", f'#!/bin/sh\nprintf "%s|" "$@" >> {noted}\n', mode=0o755
    )
    with Live(human, project, env={"DISPLAY": ":77"}) as live:
        assert live.code("evil.test") == "403"
        assert live.code("evil.test") == "403"
        until(noted.exists)
        live.end()
    notify.unlink()
    assert noted.read_text() == (
        "--app-name=clsecure|--|clsecure blocked a connection|evil.test:80: not on the allow-list|"
    )


def test_a_project_only_asks(human, internet):
    project = human.repository("src/asks", {".clsecure/config": "allow = evil.test\n"})
    human.agent("curl -s -m 8 -o /dev/null -w 'code %{http_code}\\n' http://evil.test/")
    asked = human.clsecure("--yes", cwd=project)
    assert asked.stdout == "code 403\n"
    assert "the project asks to reach evil.test; `clsecure config trust` allows it" in asked.stderr
    for answer, code in (("n", "403"), ("y", "200")):
        screen = human.terminal(cwd=project)
        screen.expect_exact("This project asks to reach evil.test. Allow it")
        screen.sendline(answer)
        screen.expect("There is a kept session")
        screen.sendline("r")
        screen.expect_exact(f"code {code}")
        screen.expect("made no changes")
        screen.wait()
        screen.close()
    assert human.clsecure(cwd=project).stdout == "code 200\n"  # remembered
    human.write(project / ".clsecure/config", "allow = evil.test, more.test\n")
    assert human.clsecure(cwd=project).stdout == "code 403\n"
    trusted = human.clsecure("config", "trust", cwd=project).stdout
    assert "trusted: allow = evil.test, more.test" in trusted
    assert human.clsecure(cwd=project).stdout == "code 200\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--allow", "*"), "--allow: "),
        (("--allow", "0x7f.1"), "--allow: "),
        (("--allow", "@nobody"), "--allow: "),
        (("--publish", "x"), "not a port to publish: x"),
        (("net", "allow", "a b"), ""),
        (("net", "allow"), "net allow needs a HOST"),
        (("net", "frobnicate"), "net does not take frobnicate"),
        (("net", "deny", "a.test", "--always"), "--always goes with allow"),
    ],
)
def test_bad_words_are_one_line(human, internet, words, said):
    project = human.repository(f"src/words-{abs(hash(words))}")
    human.agent("echo started")
    ended = human.clsecure(*words, cwd=project, code=2)
    assert ended.stdout == ""
    first, *rest = ended.stderr.splitlines()
    assert first.startswith(f"clsecure: {said}")
    assert len(rest) == 1
    assert rest[0].startswith("hint: ")


def test_a_gateway_at_a_port_that_the_box_needs(human, internet):
    project = human.repository("src/gateway")
    human.agent("echo started")
    env = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:3128"}
    ended = human.clsecure(cwd=project, env=env, code=2)
    assert "the box needs port 3128" in ended.stderr


def test_a_bad_host_in_a_file_is_named(human, internet):
    project = human.repository("src/bad-file")
    configuration = human.write(".config/clsecure/config", "mode = user\nallow = a..b\n")
    ended = human.clsecure(cwd=project, code=2)
    assert f"{configuration}:2: " in ended.stderr
    configuration.unlink()


def test_the_control_socket_is_gone_with_its_session(human, internet):
    project = human.repository("src/gone")
    with Live(human, project) as live:
        control = live.control
        assert live.service() > 0
        live.end()
    assert not control.exists()
