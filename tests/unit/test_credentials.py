"""Which credential a session has, where it is found, and what the box has in its place."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from clsecure import agents, credentials
from clsecure.agents import reach
from clsecure.choices import AgentName, Credentials, Network, Secret
from clsecure.config import merge
from clsecure.credentials import stand_in
from clsecure.egress.api.current import Current, Unavailable, pairs
from clsecure.egress.api.routes import Credential
from clsecure.egress.names import parse_host
from clsecure.egress.rules import Policy, parse_rule
from clsecure.errors import UserError

CONFIG = merge([])
CLAUDE = agents.declared(AgentName.CLAUDE)
DOOR = ("127.0.0.1", 3127)
LOGIN = {"accessToken": "token-of-login", "refreshToken": "renews", "expiresAt": 4e12, "scopes": []}


@pytest.fixture
def home(tmp_path):
    def write(**files):
        names = {"login": ".claude/.credentials.json", "settings": ".claude/settings.json"}
        for name, document in files.items():
            path = tmp_path / names.get(name, ".claude.json")
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(document))
        return tmp_path

    return write


def hold(home, environ=None, agent=CLAUDE, **config):
    return credentials.hold(environ or {}, CONFIG._replace(**config), agent, home, DOOR)


def credential(held):
    ((one,),) = (route.credentials for route in held.routes)
    return one


EVERYTHING = {
    "login": {"claudeAiOauth": LOGIN},
    "settings": {"apiKeyHelper": "my-helper"},
    "state": {"primaryApiKey": "key-of-state"},
}


def test_the_first_place_counts(home):
    environ = {"ANTHROPIC_API_KEY": "key-of-environment"}
    held = hold(home(**EVERYTHING), environ, api_key_command="pass x")
    assert credential(held).value == Secret("key-of-environment")
    assert held.environ["ANTHROPIC_API_KEY"] == stand_in("ANTHROPIC_API_KEY").reveal()
    assert not held.login
    assert credential(hold(home(), api_key_command="pass x")).command == "pass x"
    helper = credential(hold(home()))
    assert (helper.command, helper.in_both, helper.seconds) == ("my-helper", True, 300)
    helper = credential(hold(home(), {"CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "1500"}))
    assert helper.seconds == 1.5
    assert credential(hold(home(settings={}))).value == Secret("key-of-state")
    assert credential(hold(home(state={}))).login == home() / ".claude/.credentials.json"
    held = hold(home(login={}))
    assert (held.routes, held.lines, held.environ) == ((), (), {})


def test_no_credential_is_in_what_the_box_gets(home):
    environ = {
        "ANTHROPIC_API_KEY": "real-1",
        "ANTHROPIC_AUTH_TOKEN": "real-2",
        "ANTHROPIC_BASE_URL": "https://me:real-3@gw.example:8443/base/",
        "ANTHROPIC_CUSTOM_HEADERS": "X-A: real-4\nX-B:real-5\nnothing",
    }
    held = hold(home(**EVERYTHING), environ)
    assert held.environ["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:3127/gw.example-8443/base"
    assert "real" not in str({**held.environ, "ANTHROPIC_CUSTOM_HEADERS": ""})
    assert "real" not in str((held.lines, held.routes, held.login))
    (route,) = held.routes
    assert (route.scheme, route.host, route.port, route.base) == (
        "https",
        "gw.example",
        8443,
        "/base",
    )
    added = {name: value.reveal() for name, value in route.headers}
    assert added == {
        "X-A": "real-4",
        "X-B": "real-5",
        "authorization": "Basic bWU6cmVhbC0z",
    }
    assert held.hosts == {"gw.example:8443"}


@pytest.mark.parametrize(
    ("url", "door", "inside", "place"),
    [
        ("http://[::1]:4000/a", ("::1", 4000), "http://[::1]:4000/--1-4000/a", ("::1", 4000)),
        ("http://localhost", ("127.0.0.1", 80), "http://127.0.0.1:80/localhost", ("localhost", 80)),
        (
            "https://Bücher.example",
            DOOR,
            "http://127.0.0.1:3127/xn--bcher-kva.example",
            ("xn--bcher-kva.example", 443),
        ),
    ],
)
def test_addresses(home, url, door, inside, place):
    environ = {"ANTHROPIC_API_KEY": "real", "ANTHROPIC_BASE_URL": url}
    there = reach.place(environ, CLAUDE.apis[0])
    assert there.door == door
    held = credentials.hold(environ, CONFIG, CLAUDE, home(), there.door)
    assert held.environ["ANTHROPIC_BASE_URL"] == inside
    assert (held.routes[0].host, held.routes[0].port) == place


def test_a_login_goes_in_without_what_renews_it(home):
    held = hold(home(login={"claudeAiOauth": LOGIN}))
    given = json.loads(held.login.reveal())["claudeAiOauth"]
    assert given == {
        "accessToken": "token-of-login",
        "scopes": [],
        "refreshToken": None,
        "expiresAt": None,
    }
    assert not credential(held).is_outside
    held = hold(home(), credentials=Credentials.BROKER)
    assert "token-of-login" not in held.login.reveal()
    assert credential(held).is_outside
    environ = {"CLAUDE_CODE_OAUTH_TOKEN": "long"}
    assert hold(home(), environ).environ["CLAUDE_CODE_OAUTH_TOKEN"] == "long"
    outside = hold(home(), environ, credentials=Credentials.BROKER)
    assert outside.environ["CLAUDE_CODE_OAUTH_TOKEN"] != "long"
    assert hold(home(login={"claudeAiOauth": {**LOGIN, "expiresAt": 1}})).warnings


def test_inside_means_inside(home):
    environ = {"ANTHROPIC_API_KEY": "real"}
    held = hold(home(), environ, credentials=Credentials.INSIDE)
    assert (held.environ, held.routes) == (environ, ())
    assert held.lines == ("ANTHROPIC_API_KEY: in the session, as asked for",)
    state = home(state={"primaryApiKey": "real"})
    assert hold(state, credentials=Credentials.INSIDE).environ["ANTHROPIC_API_KEY"] == "real"


def test_other_agents_keys(home):
    opencode = agents.declared(AgentName.OPENCODE)
    environ = {"OPENAI_API_KEY": "real-1", "OPENROUTER_API_KEY": "real-2"}
    held = hold(home(**EVERYTHING), environ, opencode)
    assert held.environ["OPENAI_BASE_URL"] == "http://127.0.0.1:3127/api.openai.com/v1"
    assert held.environ["OPENROUTER_API_KEY"] == "real-2"
    assert held.lines[1].endswith("in the session, since opencode finds its API by no setting")
    assert held.warnings == held.lines[1:]
    assert hold(home(), environ, opencode, credentials=Credentials.INSIDE).warnings == ()
    assert held.hosts == {"api.openai.com:443"}


def test_commands_are_run_before_the_box_is_made(home, capsys):
    from clsecure.output import Output

    held = hold(home(), api_key_command="printf real")
    (route,) = credentials.fetch(held.routes, Output())
    assert route.credentials[0].value == Secret("real")
    for command in ("exit 3", "printf 'two words'", "true", "printf 'a\\nb'"):
        held = hold(home(), api_key_command=command)
        with pytest.raises(UserError, match="there is no key for the agent's API"):
            credentials.fetch(held.routes, Output())
    assert capsys.readouterr().out == ""


def test_a_login_is_read_again_when_it_was_renewed(home):
    path = home(login={"claudeAiOauth": LOGIN}) / ".claude/.credentials.json"
    current = Current(Credential("login", Secret("given"), Secret("old"), login=path))

    async def value():
        return (await current.pair()).value

    assert asyncio.run(value()) == "token-of-login"
    home(login={"claudeAiOauth": {**LOGIN, "accessToken": "another"}})
    os.utime(path, ns=(1, 1))
    assert asyncio.run(value()) == "another"
    for broken in ({}, {"claudeAiOauth": {**LOGIN, "expiresAt": 1000}}):
        home(login=broken)
        with pytest.raises(Unavailable):
            asyncio.run(value())
    path.unlink()
    with pytest.raises(Unavailable, match="start claude on the host"):
        asyncio.run(pairs([current]))


def test_a_command_gives_a_new_key_in_time(tmp_path):
    count = tmp_path / "count"
    command = f"echo x >> {count}; echo key-$(wc -l < {count})"
    made = Credential("K", Secret("given"), Secret("first"), command=command, seconds=1000)

    async def run():
        current = Current(made)
        said = [(await current.pair()).value for _ in range(2)]
        current.forget()  # the API did not take it
        return [*said, *[(await current.pair()).value for _ in range(2)]]

    assert asyncio.run(run()) == ["first", "first", "key-1", "key-1"]


def test_a_command_is_run_again_when_its_time_is_over():
    made = Credential("K", Secret("given"), Secret("first"), command="echo later", seconds=0)

    async def run():
        return (await Current(made).pair()).value

    assert asyncio.run(run()) == "later"


@pytest.mark.parametrize(
    ("value", "sought"), [("eleven-long", b""), ("twelve--long", b"twelve--long"), ("given", b"")]
)
def test_what_is_looked_for_in_answers(value, sought):
    assert Current(Credential("K", Secret("given"), Secret(value))).secret() == sought


def test_a_denied_api_is_denied_at_its_door():
    policy = Policy(Network.FILTERED)
    host = parse_host("api.example")
    policy.by_door = frozenset({(host, 443)})
    assert policy.judge(host, 443) == (False, "", "reached by the door of the agent's API alone")
    assert policy.judge(host, 80).reason == "not on the allow-list"
    alone = policy.only(host, 443)
    assert alone.judge(host, 443).allowed
    assert not policy.judge(host, 443).allowed
    assert not alone.judge(host, 80).allowed
    assert not alone.judge(parse_host("x.example"), 443).allowed
    policy.deny(parse_rule("api.example"))
    assert not alone.judge(host, 443).allowed
