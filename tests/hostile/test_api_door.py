"""The door of the agent's API from inside the box: no key comes in, nobody else's gets out by it.

The API says back what it is sent; the controls show that it does so where no door is.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from echoapi import echo_api
from egressworld import BOXES, HELPERS, World, new_world
from probe import got, mode_options, script

from world.human import PROGRAM
from world.internet import API

pytestmark = pytest.mark.root

KEY = "sk-ant-real-0123456789abcdefghijklmnopqrstuvwxyz"
STRANGER = "sk-ant-attackers-0123456789abcdefghijklmnopq"
STAND_IN = "sk-clsecure-in-place-of-ANTHROPIC_API_KEY"
CUSTOM = "gateway-secret-0123456789"
PROBE = r"""
DOOR, KEY, STRANGER = ("127.0.0.1", 3127), GIVEN["stand_in"], GIVEN["stranger"]
def ask(line, body=b"", more=b"", key=None, seconds=6):
    who = b"x-api-key: %s\r\n" % (key or KEY).encode() if key != "" else b""
    head = b"%s HTTP/1.1\r\nHost: x\r\n%s%s" % (line.encode("latin-1"), who, more)
    if body:
        head += b"Content-Length: %d\r\n" % len(body)
    return say(DOOR, head + b"Connection: close\r\n\r\n" + body, seconds=seconds)
def status(said): return said[9:12]
MESSAGES = "POST /api.test/v1/messages?beta=true"
def post(body, **more): return ask(MESSAGES, body if isinstance(body, bytes) else json.dumps(body).encode(), **more)
"""
WORKS = r"""
@attempt
def works(): return status(post({"tools": [{"name": "Bash"}, {"type": "custom", "name": "x"}]}))
"""


@pytest.fixture(scope="module")
def world(human, tmp_path_factory):
    with new_world(human, tmp_path_factory.mktemp("internet")) as made:
        yield made


@pytest.fixture
def api(world):
    with echo_api(world.internet.listen(API, 443), world.internet.directory) as server:
        yield server


def inside(world: World, box: str, source: str, *options: str) -> dict[str, Any]:
    """What a probe gets in a box whose human has a key."""
    env = {
        "ANTHROPIC_BASE_URL": "https://api.test",
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_CUSTOM_HEADERS": f"X-Gateway: {CUSTOM}",
        "NODE_EXTRA_CA_CERTS": str(world.project / "ca.pem.txt"),
    }
    words = ("exec", *mode_options(box), *options, "--", "/usr/bin/python3", "-")
    given = {"stand_in": STAND_IN, "stranger": STRANGER, "real": KEY}
    ended = subprocess.run(
        world.human.argv([PROGRAM, *words], env),
        cwd=world.project,
        input=script(HELPERS + PROBE + source, given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended
    return got(ended.stdout)


@pytest.mark.parametrize("box", BOXES)
def test_the_key_is_put_in_outside(world, box, api):
    found = inside(world, box, WORKS)
    assert found == {"works": "200"}
    (heard,) = api.heard
    assert heard["path"] == "/v1/messages?beta=true"
    assert heard["headers"]["x-api-key"] == KEY
    assert heard["headers"]["x-gateway"] == CUSTOM
    assert heard["headers"]["host"] == "api.test"
    records = [each for each in world.records() if each.get("way") == "api"][-1:]
    assert [(each["verdict"], each["host"]) for each in records] == [("allow", "api.test")]


_STRANGERS = r"""
import base64
BASIC = base64.b64encode(b"user:" + STRANGER.encode()).decode()
@attempt
def strangers(): return {
    "key": status(post({}, key=STRANGER)),
    "bearer": status(post({}, key="", more=f"Authorization: Bearer {STRANGER}\r\n".encode())),
    "bearer beside": status(post({}, more=f"Authorization: Bearer {STRANGER}\r\n".encode())),
    "basic": status(post({}, key="", more=f"Authorization: Basic {BASIC}\r\n".encode())),
    "no scheme": status(post({}, key="", more=f"Authorization: {STRANGER}\r\n".encode())),
    "other scheme": status(post({}, key="", more=f"Authorization: Token {STRANGER}\r\n".encode())),
    "second field": status(post({}, more=f"x-api-key: {STRANGER}\r\n".encode())),
    "of google": status(post({}, key="", more=f"x-goog-api-key: {STRANGER}\r\n".encode())),
    "query": status(ask(f"POST /api.test/v1/messages?key={STRANGER}", b"{}")),
    "part of it": status(post({}, key=KEY[:-1])),
    "more than it": status(post({}, key=KEY + "x")),
}
@attempt
def cookie(): return status(post({}, more=b"Cookie: sessionKey=" + STRANGER.encode() + b"\r\n"))
"""


def test_no_other_credential_gets_out(world, api):
    found = inside(world, "user", _STRANGERS)
    assert set(found["strangers"].values()) == {"403"}, found
    assert found["cookie"] == "200"
    (heard,) = api.heard
    assert "cookie" not in heard["headers"]
    assert STRANGER not in str(api.heard)


_DIRECT = r"""
REQUEST = b"GET /v1/models/quiet HTTP/1.1\r\nHost: api.test\r\nx-api-key: %s\r\nConnection: close\r\n\r\n" % STRANGER.encode()
def secure(asking):
    context = ssl.create_default_context(cafile="ca.pem.txt")
    with context.wrap_socket(asking, server_hostname="api.test") as secured:
        secured.sendall(REQUEST)
        return until_end(secured)[:12]
@attempt
def by_proxy():
    asking = dial(*PROXY)
    asking.sendall(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
    said = until_end(asking, enough=b"\r\n\r\n")
    return secure(asking) if said.startswith("HTTP/1.1 200") else said[:12]
@attempt
def by_name(): return secure(dial("api.test", 443))
@attempt
def by_address(): return secure(dial("11.0.0.4", 443))
@attempt
def by_socks(): return socks("api.test", 443)
"""


@pytest.mark.parametrize("box", BOXES)
def test_the_door_is_the_only_way_to_the_api(world, box, api):
    found = inside(world, box, _DIRECT)
    assert found == {
        "by_proxy": "HTTP/1.1 403",
        "by_name": None,
        "by_address": None,
        "by_socks": "refused 2",
    }
    assert api.heard == []
    without = inside(world, box, _DIRECT, "--credentials", "inside")  # the control
    assert without["by_proxy"] == without["by_name"] == "HTTP/1.1 200"
    assert STRANGER in str(api.heard)


def test_in_an_open_network_the_api_is_a_host_like_others(world, api):
    found = inside(world, "user", _DIRECT, "--network", "open")
    assert found["by_proxy"] == found["by_name"] == "HTTP/1.1 200"


_TOOLS = r"""
WEB = {"type": "web_search_20250305", "name": "web_search"}
def tools(*many): return json.dumps({"model": "m", "tools": list(many)}).encode()
import gzip
@attempt
def refused(): return {
    "web search": post(tools(WEB)),
    "behind others": post(tools({"name": "Bash"}, WEB)),
    "web fetch": post(tools({"type": "web_fetch_20250910"})),
    "code": post(tools({"type": "code_execution_20250825"})),
    "connector": post({"mcp_servers": [{"url": "https://evil.test"}]}),
    "connector's tools": post(tools({"type": "mcp_toolset"})),
    "container": post({"container": {"skills": []}}),
    "unknown": post(tools({"type": "telepathy_20991231"})),
    "no text": post(tools({"type": ["web_search_20250305"]})),
    "spelled otherwise": post(tools(WEB).replace(b"web_", b"\\u0077eb_")),
    "name spelled otherwise": post(tools(WEB).replace(b'"tools"', b'"\\u0074ools"')),
    "twice": post(b'{"tools": [], "tools": [{"type": "web_search_20250305"}]}'),
    "twice, the other way": post(b'{"tools": [{"type": "web_search_20250305"}], "tools": []}'),
    "in another alphabet": post(tools(WEB).decode().encode("utf-16")),
    "behind a mark": post(b"\xef\xbb\xbf" + tools(WEB)),
    "compressed": post(gzip.compress(tools(WEB)), more=b"Content-Encoding: gzip\r\n"),
    "not a list": post({"tools": {"0": WEB}}),
    "counted": ask("POST /api.test/v1/messages/count_tokens", tools(WEB)),
    "as the parent": post(tools({"type": "custom"}) .replace(b"[", b'[[' ).replace(b"]", b"]]")),
    "no JSON": post(b"tools=web_search"),
}
"""


def test_no_tool_that_the_apis_own_servers_run(world, api):
    found = inside(world, "user", _TOOLS)["refused"]
    assert {said[9:12] for said in found.values()} <= {"400", "403"}, found
    assert "web_tools = true" in found["web search"]
    assert json.loads(found["code"].partition("\r\n\r\n")[2])["error"]["type"] == "permission_error"
    assert api.heard == []
    control = inside(world, "user", _TOOLS, "--web-tools")["refused"]
    assert control["web search"][9:12] == "200"
    assert b"web_search_20250305" in api.heard[0]["body"]


_ROUTES = r"""
@attempt
def refused(): return {line: status(ask(line)) for line in (
    "GET /api.test/v1/files", "POST /api.test/v1/files", "GET /api.test/v1/organizations/me",
    "GET /api.test/v1/models/../files", "GET /api.test/v1/models/%2e%2e/files",
    "GET /api.test/v1//files", "GET /api.test/v1/models/x;/../../files", "PUT /api.test/v1/models",
    "DELETE /api.test/v1/models/x", "POST /api.test/v1/messages/batches", "GET /api.test/api/oauth/profile",
    "GET /evil.test/v1/models", "GET /api.test.evil.test/v1/models", "GET /api.testx/v1/models",
    "GET http://evil.test/v1/models", "GET https://api.test/v1/models", "GET //evil.test/v1/models",
    "GET /v1/models", "CONNECT evil.test:443", "GET /api.test/v1/models\\..\\files",
    "GET /api.test@evil.test/v1/models", "GET /api.test:80/v1/models",
)}
@attempt
def hosts():
    said = say(DOOR, b"GET /api.test/v1/models/quiet HTTP/1.1\r\nHost: evil.test\r\nX-Forwarded-Host: evil.test\r\nConnection: close\r\n\r\n")
    return status(said)
@attempt
def second():
    first = b"GET /api.test/v1/models/quiet HTTP/1.1\r\nHost: x\r\n\r\n"
    bad = b"GET /api.test/v1/files HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return say(DOOR, first + bad).count("HTTP/1.1 "), say(DOOR, first + bad).count("HTTP/1.1 403")
POST = b"POST /api.test/v1/messages HTTP/1.1\r\nHost: x\r\n"
BAD = b"GET /api.test/v1/files HTTP/1.1\r\nHost: x\r\n\r\n"
@attempt
def smuggled(): return [say(DOOR, each) for each in (
    POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + BAD,
    POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + BAD,
    POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + BAD,
    POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + BAD,
    POST + b"X: y\r\n Content-Length: 44\r\n\r\n" + BAD,
    b"GET /api.test/v1/models HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    b"GET /api.test/v1/models HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"\x16\x03\x01\x02\x00", b"\0" * 70000, b"GET / HTTP/2.0\r\n\r\n",
)]
"""


def test_only_what_an_agent_needs_passes(world, api):
    found = inside(world, "user", _ROUTES)
    assert set(found["refused"].values()) <= {"400", "403", "404"}, found["refused"]
    assert found["hosts"] == "200"
    assert found["second"] == [2, 1]
    asked = {each["path"] for each in api.heard}
    assert asked <= {"/v1/models/quiet", "/v1/messages"}
    assert {each["headers"]["host"] for each in api.heard} == {"api.test"}
    # What has two readings for others has one here: the second is a request of its own, and judged.
    assert all(said.count("HTTP/1.1 200") <= 1 for said in found["smuggled"]), found["smuggled"]
    assert not any("HTTP/1.1 200" in said for said in found["smuggled"][5:]), found["smuggled"]


_ANSWERS = r"""
@attempt
def answers(): return {name: ask(f"GET /api.test/v1/models/{name}") for name in ("headers", "pieces", "coded", "field")}
@attempt
def small(): return [ask("GET /api.test/v1/models/quiet") for _ in range(2)][-1][-12:]
"""
_ANSWERS_OUTSIDE = r"""
import urllib.request
CONTEXT = ssl.create_default_context(cafile="ca.pem.txt")
def fetch(name):
    asking = urllib.request.Request(f"https://api.test/v1/models/{name}", headers={"x-api-key": GIVEN["real"]})
    with urllib.request.urlopen(asking, context=CONTEXT) as answer:
        return str(answer.headers) + answer.read().decode("latin-1")
@attempt
def answers(): return {name: fetch(name) for name in ("headers", "pieces", "coded", "field")}
"""


def test_an_answer_brings_no_credential_in(world, api):
    found = inside(world, "user", _ANSWERS)
    assert len(api.heard) == 6
    assert all(each["headers"]["x-api-key"] == KEY for each in api.heard)
    said = json.dumps(found)
    assert KEY not in said
    assert CUSTOM not in said
    assert found["small"] == '{"ok": true}'
    assert KEY not in said.replace('", "', "")
    outside = world.outside(_ANSWERS_OUTSIDE, given={"real": KEY}).got["answers"]
    assert all(KEY in outside[name] for name in ("headers", "pieces", "field"))


_GREEDY = r"""
@attempt
def large():
    head = b"POST /api.test/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (65 << 20)
    return status(say(DOOR, head + b"x" * (65 << 20), seconds=20))
@attempt
def many():
    held = []
    for _ in range(40):
        asking = dial(*DOOR)
        asking.sendall(b"POST /api.test/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (16 << 20))
        asking.settimeout(0.2)
        try:
            asking.sendall(b"x" * (8 << 20))
        except OSError:
            pass
        held.append(asking)
    said = status(post({}))
    for asking in held: asking.close()
    time.sleep(1)
    return said, status(post({}))
"""


_SLOW = r"""
@attempt
def slow():
    held = [dial(*DOOR) for _ in range(60)]
    for number, asking in enumerate(held):
        asking.sendall((b"POST /api.test/v1/messages HTTP/1.1\r\nHost: x\r\n", b"P", b"GET /" + b"a" * 5000)[number % 3])
    began = time.monotonic()
    said = status(post({}))
    quick, ended = time.monotonic() - began, 0
    for asking in held:
        asking.settimeout(14)
        try:
            ended += asking.recv(100) == b""
        except ConnectionResetError:
            ended += 1
    return said, quick < 3, ended, 8 < time.monotonic() - began < 14
"""


def test_slow_requests_end_and_hold_nobody_up(world, api):
    assert inside(world, "user", _SLOW)["slow"] == ["200", True, 60, True]


def test_large_requests_end(world, api):
    found = inside(world, "user", _GREEDY)
    assert found["large"] == "413"
    assert found["many"] == ["503", "200"]
    assert all(len(each["body"]) < 1000 for each in api.heard)
