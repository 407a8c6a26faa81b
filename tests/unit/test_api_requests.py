"""Requests at the API's door, as pure functions: which pass, and what becomes of credentials."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.agents import Dialect
from clsecure.choices import Secret
from clsecure.egress.api import apirules, substitution
from clsecure.egress.api.apirequest import Asked, Refused, outgoing
from clsecure.egress.api.routes import Route
from clsecure.egress.api.substitution import Guard, Leak, Pair, Stranger

KEY, STAND_IN = "sk-ant-real-0123456789abcdefghij", "sk-clsecure-in-place-of-KEY"
PAIR = Pair(STAND_IN, KEY)
BOTH = Pair(STAND_IN, KEY, in_both=True)
ROUTE = Route("gw.example", "https", "gw.example", 443, "/base", Dialect.ANTHROPIC, ())


def asked(**changed):
    plain = Asked("POST", "/base/v1/messages", "", [(b"x-api-key", STAND_IN.encode())], b"{}")
    return plain._replace(**changed)


@pytest.mark.parametrize(
    ("dialect", "method", "path"),
    [
        (Dialect.ANTHROPIC, "POST", "/v1/messages"),
        (Dialect.ANTHROPIC, "POST", "/messages"),
        (Dialect.ANTHROPIC, "GET", "/v1/models/claude-sonnet-4-5@20250929"),
        (Dialect.ANTHROPIC, "HEAD", ""),
        (Dialect.OPENAI, "POST", "/v1/responses"),
        (Dialect.OPENAI, "POST", "/chat/completions"),
        (Dialect.GEMINI, "POST", "/v1beta/models/gemini-2.5-pro:streamGenerateContent"),
        (Dialect.OTHER, "DELETE", "/anything"),
    ],
)
def test_what_an_agent_needs_passes(dialect, method, path):
    assert apirules.passes(dialect, method, path)


@pytest.mark.parametrize(
    ("dialect", "method", "path"),
    [
        (Dialect.ANTHROPIC, "GET", "/v1/messages"),
        (Dialect.ANTHROPIC, "POST", "/v1/files"),
        (Dialect.ANTHROPIC, "POST", "/v1/messages/batches"),
        (Dialect.ANTHROPIC, "POST", "/v1/messages\n"),
        (Dialect.ANTHROPIC, "POST", "/x/v1/messages"),
        (Dialect.ANTHROPIC, "GET", "/v1/models/x/y"),
        (Dialect.OPENAI, "POST", "/v1/files"),
        (Dialect.OPENAI, "POST", "/v1/assistants"),
        (Dialect.GEMINI, "POST", "/v1beta/corpora"),
        (Dialect.GEMINI, "POST", "/v1beta/models/x:generateContent/.."),
    ],
)
def test_nothing_else_passes(dialect, method, path):
    assert not apirules.passes(dialect, method, path)


@pytest.mark.parametrize(
    ("dialect", "request_", "found"),
    [
        (Dialect.ANTHROPIC, {"tools": [{"name": "Bash"}, {"type": "bash_20250124"}]}, ""),
        (Dialect.ANTHROPIC, {"tools": [{"type": "web_search_20250305"}]}, "web_search_20250305"),
        (Dialect.ANTHROPIC, {"tools": [{"type": "custom\n"}]}, "custom\n"),
        (Dialect.ANTHROPIC, {"tools": [{"type": None}]}, "None"),
        (Dialect.ANTHROPIC, {"mcp_servers": [{}]}, "mcp_servers"),
        (Dialect.ANTHROPIC, {"mcp_servers": []}, ""),
        (Dialect.OPENAI, {"tools": [{"type": "function"}, {"type": "local_shell"}]}, ""),
        (Dialect.OPENAI, {"tools": [{"type": "web_search"}]}, "web_search"),
        (Dialect.OPENAI, {"tools": [{"type": "mcp", "server_url": "x"}]}, "mcp"),
        (Dialect.OPENAI, {"tools": [{}]}, "None"),
        (Dialect.OPENAI, {"web_search_options": {"x": 1}}, "web_search_options"),
        (Dialect.GEMINI, {"tools": [{"functionDeclarations": []}]}, ""),
        (Dialect.GEMINI, {"tools": [{"googleSearch": {}}]}, "googleSearch"),
        (Dialect.OTHER, {"tools": [{"type": "web_search_20250305"}]}, ""),
    ],
)
def test_tools_of_the_apis_own_servers(dialect, request_, found):
    assert apirules.server_tool(dialect, json.dumps(request_).encode()) == found


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"{",
        b'{"a": 1, "a": 2}',
        b'{"tools": [{"type": "custom", "type": "web_search_20250305"}]}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"tools": {}, "x": "\xff"}',
        b'{"tools": "custom"}',
        b'{"tools": [["type"]]}',
        b"[" * 100_000,
    ],
)
def test_a_body_with_two_readings_is_none(body):
    with pytest.raises(apirules.Unreadable):
        apirules.server_tool(Dialect.ANTHROPIC, body)


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ((b"X-Api-Key", STAND_IN.encode()), (b"x-api-key", KEY.encode())),
        ((b"api-key", STAND_IN.encode()), (b"api-key", KEY.encode())),
        ((b"x-goog-api-key", STAND_IN.encode()), (b"x-goog-api-key", KEY.encode())),
        (
            (b"Authorization", f"Bearer {STAND_IN}".encode()),
            (b"authorization", f"Bearer {KEY}".encode()),
        ),
        (
            (b"authorization", b"basic " + base64.b64encode(f"me:{STAND_IN}".encode())),
            (b"authorization", b"basic " + base64.b64encode(f"me:{KEY}".encode())),
        ),
        (
            (b"authorization", b"Basic " + base64.b64encode(f"{STAND_IN}:".encode())),
            (b"authorization", b"Basic " + base64.b64encode(f"{KEY}:".encode())),
        ),
        ((b"x-stand-in", STAND_IN.encode()), (b"x-stand-in", STAND_IN.encode())),
    ],
)
def test_each_form_on_the_wire(header, sent):
    assert substitution.outgoing([header], [PAIR]) == [sent]


@pytest.mark.parametrize(
    "header",
    [
        (b"x-api-key", b"sk-other"),
        (b"x-api-key", STAND_IN[:-1].encode()),
        (b"authorization", b"Bearer sk-other"),
        (b"authorization", b"Negotiate " + STAND_IN.encode()),
        (b"authorization", b"Basic !!!"),
        (b"authorization", b"Basic " + base64.b64encode(f"{STAND_IN}:other".encode())),
        (b"X-GOOG-API-KEY", b"AIzaOther"),
    ],
)
def test_a_strangers_credential_does_not_go_out(header):
    with pytest.raises(Stranger):
        substitution.outgoing([(b"x-api-key", STAND_IN.encode()), header], [PAIR])


def test_of_the_query_only_the_key_is_a_credential():
    assert substitution.outgoing_query("a=1&b=%2f", [PAIR]) == "a=1&b=%2f"
    assert substitution.outgoing_query(f"alt=sse&key={STAND_IN}", [PAIR]) == f"alt=sse&key={KEY}"
    for query in ("key=other", f"key={STAND_IN}&key=other", "%6bey=other", "a=b&k%65y=x"):
        with pytest.raises(Stranger):
            substitution.outgoing_query(query, [PAIR])


def test_a_helpers_key_goes_out_in_both_forms():
    sent = substitution.outgoing([(b"x-api-key", STAND_IN.encode())], [BOTH])
    assert sent == [(b"x-api-key", KEY.encode()), (b"authorization", b"Bearer " + KEY.encode())]
    assert substitution.outgoing([(b"accept", b"*/*")], [BOTH]) == [(b"accept", b"*/*")]


def test_a_request_is_written_anew():
    route = ROUTE._replace(headers=(("X-Gateway", Secret("added")),), port=8443)
    headers = [
        (b"x-api-key", STAND_IN.encode()),
        (b"x-gateway", b"the box's"),
        (b"host", b"evil.test"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"x-gateway"),
        (b"cookie", b"a=b"),
        (b"accept-encoding", b"gzip"),
        (b"proxy-authorization", b"x"),
    ]
    made = outgoing(route, asked(headers=headers, query="beta=true"), [PAIR])
    assert made.target == "/base/v1/messages?beta=true"
    assert made.headers == [
        (b"host", b"gw.example:8443"),
        (b"x-api-key", KEY.encode()),
        (b"x-gateway", b"added"),
        (b"accept-encoding", b"identity"),
        (b"content-length", b"2"),
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "/v1/messages"},
        {"path": "/based/v1/messages"},
        {"path": "/base/v1/../v1/messages"},
        {"path": "/base/v1/messages%20"},
        {"path": "/base//v1/messages"},
        {"headers": [(b"content-encoding", b"br")]},
        {"headers": [(b"upgrade", b"websocket")]},
        {"body": b'{"tools": [{"type": "web_search_20250305"}]}'},
    ],
)
def test_a_request_that_does_not_go_out(changed):
    with pytest.raises(Refused) as refused:
        outgoing(ROUTE, asked(**changed), [PAIR])
    assert refused.value.status in {403, 426}
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("path", ["/base/../x", "/base/%2e%2e/x", "/base//x", "/base/..;/x"])
def test_where_every_path_passes_none_leaves_its_beginning(path):
    route = ROUTE._replace(dialect=Dialect.OTHER)
    assert outgoing(route, asked(path="/base/x"), [PAIR]).target == "/base/x"
    with pytest.raises(Refused):
        outgoing(route, asked(path=path), [PAIR])


@given(st.binary(max_size=80), st.binary(max_size=80), st.lists(st.integers(1, 40)))
def test_a_guard_lets_no_secret_through_in_whatever_pieces(before, behind, sizes):
    whole = before + KEY.encode() + behind
    guard, passed, at, is_told = Guard([KEY.encode()]), b"", 0, False
    for size in [*sizes, len(whole)]:
        try:
            passed += guard.feed(whole[at : at + size])
        except Leak:
            is_told = True
            break
        at += size
    assert is_told
    assert before.startswith(passed)


@given(st.lists(st.binary(max_size=40)))
def test_a_guard_changes_nothing_else(parts):
    guard = Guard([KEY.encode(), b"another-secret-of-this"])
    passed = b"".join(guard.feed(part) for part in parts) + guard.end()
    assert passed == b"".join(parts)


def test_the_beginning_of_a_secret_is_only_late():
    guard = Guard([KEY.encode()])
    assert guard.feed(b"abc sk-ant-") == b"abc "
    assert guard.feed(b"other") == b"sk-ant-other"


def test_fields_and_codings_of_an_answer():
    fields = [(b"content-type", b"x"), (b"set-cookie", b"a"), (b"connection", b"close")]
    assert substitution.incoming(fields, [KEY.encode()]) == [(b"content-type", b"x")]
    for field in ((b"x-echo", b"it is " + KEY.encode()), (b"content-encoding", b"gzip")):
        with pytest.raises(Leak):
            substitution.incoming([field], [KEY.encode()])
        assert substitution.incoming([field], []) == [field]
