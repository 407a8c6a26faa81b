"""The fake API itself: turns, streaming, errors, and that it drives the real client."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path

import pytest

from testkit import Running
from testkit.scenario import Scenario, content, expand, load
from testkit.server import FakeAPI

TESTS = Path(__file__).parents[1]
TOOLS = [
    {"name": "Bash", "input_schema": {"properties": {"command": {}}}},
    {"name": "Write", "input_schema": {"properties": {"file_path": {}, "content": {}}}},
]


def request(*replies, prompt="do it", tools=TOOLS, **more):
    """Build a request in which the assistant has spoken len(replies) times already."""
    messages = [{"role": "user", "content": prompt}]
    for reply in replies:
        messages.append({"role": "assistant", "content": "called a tool"})
        result = {"type": "tool_result", "tool_use_id": "x", "content": reply}
        messages.append({"role": "user", "content": [result]})
    return {"model": "m", "messages": messages, "tools": tools, **more}


def post(api, body, path="/v1/messages", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    connection.request("POST", path, json.dumps(body), headers)
    return connection.getresponse()


def test_the_turn_is_the_number_of_replies():
    scenario = Scenario("s", {"turns": ["one", "two"], "after": "over", "side": "title"})
    assert scenario.pick(request()) == ("turn:0", {"text": "one"})
    assert scenario.pick(request("r")) == ("turn:1", {"text": "two"})
    assert scenario.pick(request("r", "r")) == ("after", {"text": "over"})
    assert scenario.pick(request(tools=[])) == ("side", {"text": "title"})


def test_rules_come_first_and_prompts_may_count_anew():
    rules = Scenario("s", {"rules": [{"when": "run id", "bash": "id"}], "turns": ["no"]})
    assert rules.pick(request(prompt="please run id"))[1]["bash"] == "id"
    again = request("r")
    again["messages"] += [{"role": "assistant", "content": "x"}, *request()["messages"]]
    turns = {"turns": ["first", "second"]}
    assert Scenario("s", {**turns, "scope": "prompt"}).pick(again)[0] == "turn:0"
    assert Scenario("s", turns).pick(again)[0] == "after"


def test_variables_are_expanded_in_keys_and_values():
    value = {"write": {"${cwd}/a": ["${turn}", "${unknown}", 3]}}
    assert expand(value, {"cwd": "/w", "turn": "t"}) == {"write": {"/w/a": ["t", "${unknown}", 3]}}


def test_tool_calls_are_in_the_clients_own_terms():
    asked = request(tools=[{"name": "bash"}, TOOLS[1]], system="Working directory: /w\nmore")
    turn = {"text": "now", "write": {"${cwd}/a": "x"}, "bash": ["id", "pwd"]}
    blocks, reason = content(turn, "turn:0", asked)
    assert reason == "tool_use"
    assert [block.get("name") for block in blocks] == [None, "Write", "bash", "bash"]
    assert blocks[1]["input"] == {"file_path": "/w/a", "content": "x"}


def test_a_plain_reply_and_the_log():
    with Running([{"bash": "id"}, {"expect": "uid=", "text": "${last_result}"}]) as api:
        first = json.load(post(api, request(), **{"x-api-key": "secret"}))
        second = json.load(post(api, request("uid=7"), Authorization="Bearer secret"))
    assert first["content"][0]["input"]["command"] == "id"
    assert second["content"] == [{"type": "text", "text": "uid=7"}]
    assert api.tool_results() == [{"is_error": False, "text": "uid=7"}]
    assert not api.failed_expectations()
    assert "secret" not in json.dumps(api.requests)


def test_a_missed_expectation_is_said_and_logged():
    with Running(["a", {"expect": ["uid=", "x"], "text": "b"}]) as api:
        reply = json.load(post(api, request("x")))
    assert reply["content"][0]["text"] == "EXPECT FAILED: ['uid=']"
    assert api.failed_expectations() == [["uid="]]


def test_a_stream_is_the_message_in_pieces():
    text = "word " * 40
    with Running([{"thinking": "hm", "text": text, "bash": "id"}]) as api:
        lines = post(api, request(stream=True)).read().decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert [event["type"] for event in events[:2]] == ["message_start", "content_block_start"]
    assert events[-1]["type"] == "message_stop"
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == text
    partial = "".join(delta.get("partial_json", "") for delta in deltas)
    assert json.loads(partial)["command"] == "id"


def test_errors_come_as_often_as_they_should():
    error = {"status": 529, "times": 1, "retry_after": "1"}
    with Running([{"error": error, "text": "recovered"}]) as api:
        refused = post(api, request())
        assert (refused.status, refused.headers["retry-after"]) == (529, "1")
        assert json.load(refused)["error"]["type"] == "overloaded_error"
        assert json.load(post(api, request()))["content"][0]["text"] == "recovered"


def test_a_cut_stream_ends_without_its_end():
    with Running([{"text": "x" * 400, "cut_after": 4}]) as api:
        with pytest.raises(http.client.IncompleteRead) as cut:
            post(api, request(stream=True)).read()
        assert cut.value.partial.count(b"data: ") == 4
    assert api.requests[0]["cut"]


def test_keys_routes_and_names():
    with Running(["hi"], require_key="right") as api:
        assert post(api, request(), **{"x-api-key": "wrong"}).status == 401
        assert post(api, request(), Authorization="Bearer right").status == 200
        assert post(api, {}, "/v1/unknown", **{"x-api-key": "right"}).status == 404
        assert post(api, request(), "/s/nothing/v1/messages").status == 404
        counted = json.load(post(api, {}, "/v1/messages/count_tokens", **{"x-api-key": "right"}))
        assert counted == {"input_tokens": 1}


def test_rubbish_harms_nothing():
    with Running(["hi"]) as api:
        for rubbish in (b"\0\xff\n\n", b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"):
            connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
            connection.connect()
            connection.sock.sendall(rubbish)
            assert connection.sock.recv(100) == b""
        assert post(api, request()).status == 200


def test_all_example_scenarios_can_be_played():
    scenarios = load(TESTS / "testkit" / "scenarios")
    assert "commit" in scenarios
    for scenario in scenarios.values():
        for turn in [*scenario.turns, scenario.after]:
            content(turn, "turn:0", request())
    assert FakeAPI(scenarios, "hi")


def test_it_runs_as_a_program(tmp_path):
    scenario = TESTS / "testkit" / "scenarios" / "hi.json"
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-m", "testkit", "--scenario", scenario, "--log", log],
        env={"PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        port = int(process.stdout.readline().rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/s/hi/v1/messages", json.dumps(request()))
        assert json.load(connection.getresponse())["content"][0]["text"] == "hi there"
        process.terminate()
    assert process.returncode == 0
    assert json.loads(log.read_text())["turn"] == "turn:0"


@pytest.mark.client
def test_the_real_client_does_what_the_scenario_says(client, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    turns = [
        {"text": "Writing.", "write": {"${cwd}/hello.txt": "hello\n"}},
        {"expect": "created|written|[Ww]rote", "bash": "cat hello.txt; pwd"},
        {"expect": ["hello", str(project)], "text": "all done"},
    ]
    with Running({"turns": turns}) as api:
        ended = subprocess.run(
            [client, "-p", "do it", "--dangerously-skip-permissions"],
            cwd=project,
            env={
                "HOME": str(tmp_path),
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "IS_SANDBOX": "1",
                "ANTHROPIC_BASE_URL": api.url,
                "ANTHROPIC_API_KEY": "placeholder",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "CLAUDE_CODE_MAX_RETRIES": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ended.returncode, ended.stdout.strip()) == (0, "all done"), ended.stderr
    assert (project / "hello.txt").read_text() == "hello\n"
    assert not api.failed_expectations()
