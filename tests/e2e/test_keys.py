"""Wherever a person keeps the key: the real client works, and the key is never in the session."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from e2e.boxes import BOXES, OVERLAY
from e2e.conftest import KEY
from world.human import PROGRAM

pytestmark = pytest.mark.client

_TOKEN = "sk-ant-oat01-0123456789abcdefghijklmnopqrstuvwxyz"
_SAYS = {"bash": "env; cat ~/.claude.json ~/.claude/*.json ~/.claude/.cred* 2>&1; echo so-it-is"}
_SCENARIO = [_SAYS, {"expect": "so-it-is", "text": "the work is done"}]


def login(token, expires=4_000_000_000_000):
    """Claude's file of a login."""
    own = {"accessToken": token, "refreshToken": "sk-ant-ort01-x", "expiresAt": expires}
    return json.dumps(
        {"claudeAiOauth": {**own, "subscriptionType": "max", "scopes": ["user:inference"]}}
    )


@pytest.fixture
def home(human):
    """Write a file of the human's for one test."""
    written = []

    def write(path, text, **options):
        written.append(human.write(path, text, **options))
        return written[-1]

    yield write
    human.run("rm", "-f", *written)


# name: files, variables, flags, header fields that arrive
_SETTINGS = {"apiKeyHelper": f"printf {KEY}", "env": {"ANTHROPIC_CUSTOM_HEADERS": f"X-Gw: {KEY}1"}}
_SOURCES = {
    "command": ({".clsecurerc": f'api_key_command = "printf {KEY}"\n'}, {"x-api-key": KEY}),
    "helper": (
        {".claude/settings.json": json.dumps(_SETTINGS)},
        {"x-api-key": KEY, "authorization": f"Bearer {KEY}", "x-gw": f"{KEY}1"},
    ),
    "state": ({".claude.json": json.dumps({"primaryApiKey": KEY})}, {"x-api-key": KEY}),
    "settings": (
        {".claude/settings.json": json.dumps({"env": {"ANTHROPIC_AUTH_TOKEN": KEY}})},
        {"authorization": f"Bearer {KEY}"},
    ),
}


@pytest.mark.parametrize("kind", [OVERLAY, BOXES[3]], ids=str, indirect=True)
@pytest.mark.parametrize("source", _SOURCES)
def test_each_place_of_a_key(human, play, home, source, kind):
    top = human.repository(f"src/key-{source}-{kind}")
    files, arrives = _SOURCES[source]
    for name, text in files.items():
        home(name, text)
    api, variables = play(_SCENARIO)
    variables = {**variables, "ANTHROPIC_API_KEY": ""}
    ran = human.clsecure(*kind.flags, "--", "-p", "go", cwd=top, env=variables)
    assert ran.stdout == "the work is done\n"
    assert not api.failed_expectations()
    assert KEY not in api.tool_results()[-1]["text"]
    assert "sk-clsecure-in-place-of-" in api.tool_results()[-1]["text"]
    assert "apiKeyHelper" not in ran.stderr
    sent = [each["headers"] for each in api.requests if each["path"] == "/v1/messages"]
    assert sent
    assert all(arrives.items() <= fields.items() for fields in sent)
    shown = human.clsecure("info", cwd=top, env=variables).stdout
    assert "outside, put into requests to 127.0.0.1" in shown
    assert KEY not in shown


# name: what the program runs in, how the key is stored, the command that prints it
_STORES = {
    "pass": (
        (),
        """
        gpg --batch --quiet --passphrase '' --quick-gen-key keys@example.org default default never
        pass init keys@example.org && echo $SECRET | pass insert -e anthropic
        """,
        "pass show anthropic",
    ),
    "keyctl": (
        ("keyctl", "session", "-"),
        "printf %s $SECRET | keyctl padd user anthropic @s",
        "keyctl print %user:anthropic",
    ),
    "secret-tool": (
        ("dbus-run-session", "--"),
        """
        printf word | gnome-keyring-daemon --unlock --components=secrets
        until dbus-send --print-reply --dest=org.freedesktop.DBus / \\
            org.freedesktop.DBus.GetNameOwner string:org.freedesktop.secrets; do sleep 0.05; done
        printf %s $SECRET | secret-tool store --label=key service anthropic
        """,
        "secret-tool lookup service anthropic",
    ),
}


@pytest.fixture
def store(human, home, request):
    """Return the command that prints the key, and a call of clsecure where it does."""
    around, storing, command = _STORES[request.param]
    home(".clsecurerc", f'api_key_command = "{command}"\n')
    script = f'{{ {storing}\n}} >&2; {command} | grep -qx $SECRET && unset SECRET && exec "$@"'

    def run(words, cwd, variables):
        argv = (*around, "sh", "-c", script, "sh", PROGRAM, *words)
        return human.run(*argv, cwd=cwd, env={**variables, "SECRET": KEY})

    yield command, run
    human.run("gpgconf", "--kill", "all")
    human.run("rm", "-rf", ".password-store", ".gnupg", ".local/share/keyrings")


@pytest.mark.parametrize("kind", [OVERLAY, BOXES[3]], ids=str, indirect=True)
@pytest.mark.parametrize("store", _STORES, indirect=True)
def test_a_password_manager_has_the_key(human, play, store, kind):
    command, run = store
    top = human.repository(f"src/stored-{command.partition(' ')[0]}-{kind}")
    buses = "for bus in /tmp/dbus-*; do DBUS_SESSION_BUS_ADDRESS=unix:path=$bus"
    attempt = (
        f"exec 2>&1; {command}; {buses} {command}; done; cat ~/.password-store/*; env; echo ok"
    )
    api, variables = play([{"bash": attempt}, {"expect": "ok", "text": "the work is done"}])
    variables = {**variables, "ANTHROPIC_API_KEY": ""}
    ran = run((*kind.flags, "--", "-p", "go"), top, variables)
    assert ran.stdout == "the work is done\n"
    assert not api.failed_expectations()
    sent = [each["headers"] for each in api.requests if each["path"] == "/v1/messages"]
    assert sent
    assert all(fields["x-api-key"] == KEY for fields in sent)
    assert KEY not in api.tool_results()[-1]["text"]


def test_a_command_without_a_key_ends_before_the_agent(human, play, home):
    top = human.repository("src/no-key")
    _, variables = play(_SCENARIO)
    variables = {**variables, "ANTHROPIC_API_KEY": ""}
    for command, reason in (("exit 3", "it ended with code 3"), ("echo two words", "one word")):
        home(".clsecurerc", f'api_key_command = "{command}"\n')
        ran = human.clsecure("--", "-p", "go", cwd=top, env=variables, code=4)
        assert reason in ran.stderr
        assert ran.stderr.endswith(f"hint: run it by hand: {command}\n")
    assert human.clsecure("info", cwd=top, env=variables).returncode == 0  # does not run it


@pytest.mark.parametrize("kind", [OVERLAY, BOXES[3]], ids=str, indirect=True)
def test_a_login_can_stay_outside(human, play, home, kind):
    top = human.repository(f"src/login-outside-{kind}")
    path = home(".claude/.credentials.json", login(_TOKEN), mode=0o600)
    api, variables = play(_SCENARIO)
    variables = {**variables, "ANTHROPIC_API_KEY": ""}
    words = (*kind.flags, "--credentials", "broker", "--", "-p", "go")
    ran = human.clsecure(*words, cwd=top, env=variables)
    assert ran.stdout == "the work is done\n"
    assert _TOKEN not in api.tool_results()[-1]["text"]
    assert "sk-clsecure-in-place-of-login" in api.tool_results()[-1]["text"]
    (sent,) = {
        each["headers"]["authorization"] for each in api.requests if "messages" in each["path"]
    }
    assert sent == f"Bearer {_TOKEN}"
    assert json.loads(path.read_text()) == json.loads(login(_TOKEN))


@pytest.mark.parametrize("where", ["auto", "broker"])
def test_a_login_that_is_renewed_goes_on_in_the_session(human, play, home, where):
    top = human.repository(f"src/renewed-{where}")
    path = home(".claude/.credentials.json", login(_TOKEN), mode=0o600)
    api, variables = play([{"bash": "sleep 3"}, {"text": "the work is done"}])
    variables = {**variables, "ANTHROPIC_API_KEY": ""}
    words = ("--credentials", where, "--", "-p", "go")
    running = human.start(
        *words, cwd=top, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not [each for each in api.requests if each["path"] == "/v1/messages"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    home(path, login(f"{_TOKEN}-renewed"), mode=0o600)
    said, _ = running.communicate(timeout=60)
    assert said == b"the work is done\n"
    sent = [each["headers"]["authorization"] for each in api.requests if "messages" in each["path"]]
    assert sent[0] == f"Bearer {_TOKEN}"
    assert sent[-1] == f"Bearer {_TOKEN}-renewed"


def test_an_expired_login_is_said(human, play, home):
    top = human.repository("src/expired")
    path = home(".claude/.credentials.json", login(_TOKEN, expires=1_600_000_000_000), mode=0o600)
    api, variables = play(_SCENARIO)
    variables = {**variables, "ANTHROPIC_API_KEY": "", "CLAUDE_CODE_MAX_RETRIES": "0"}
    ran = human.clsecure("--", "-p", "go", cwd=top, env=variables, code=1)
    assert "warning: your Claude login has expired: start claude once on the host" in ran.stderr
    assert "your Claude login has expired: start claude once on the host" in ran.stdout
    assert not [each for each in api.requests if each["path"] == "/v1/messages"]
    home(path, login(f"{_TOKEN}-renewed"), mode=0o600)
    words = ("--fresh", "--yes", "--", "-p", "go")
    assert human.clsecure(*words, cwd=top, env=variables).stdout == "the work is done\n"


def test_web_search_is_off_unless_asked_for(human, play):
    top = human.repository("src/web")
    search = {"tool": {"name": "WebSearch", "input": {"query": "clsecure"}}}
    turns = {"turns": [search, "the work is done"], "side": "found on the web"}
    api, variables = play(turns)
    ran = human.clsecure("--", "-p", "go", cwd=top, env=variables)
    assert ran.stdout == "the work is done\n"
    assert "web_tools = true" in api.tool_results()[-1]["text"]
    assert "blocked: 127.0.0.1:" in ran.stderr
    before = len(api.requests)
    ran = human.clsecure("--web-tools", "--fresh", "--", "-p", "go", cwd=top, env=variables)
    assert ran.stdout == "the work is done\n"
    assert len([each for each in api.requests[before:] if "messages" in each["path"]]) == 3
    assert "web_tools = true" not in api.tool_results()[-1]["text"]
