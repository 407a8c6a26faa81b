"""However a person has told the client who they are: no question, and right on the wire."""

from __future__ import annotations

import json

import pytest

from e2e.conftest import KEY
from e2e.screen import CTRL_C, open_terminal, program

pytestmark = pytest.mark.client

_TOKEN = "sk-ant-oat01-0123456789abcdefghijklmnopqrstuvwxyz"
_LOGIN = {
    "claudeAiOauth": {
        "accessToken": _TOKEN,
        "refreshToken": "sk-ant-ort01-never-inside",
        "expiresAt": 4_000_000_000_000,
        "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max",
    }
}
# name: variables (None: taken away), a login file?, what arrives
_FORMS = {
    "key": ({}, False, ("x-api-key", KEY)),
    "auth token": (
        {"ANTHROPIC_API_KEY": "", "ANTHROPIC_AUTH_TOKEN": "gateway-token"},
        False,
        ("authorization", "Bearer gateway-token"),
    ),
    "oauth token": (
        {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": _TOKEN},
        False,
        ("authorization", f"Bearer {_TOKEN}"),
    ),
    "login": ({"ANTHROPIC_API_KEY": ""}, True, ("authorization", f"Bearer {_TOKEN}")),
}


@pytest.mark.parametrize("form", _FORMS)
def test_no_question_and_the_right_header(human, play, form):
    top = human.repository(f"who {form}")
    given, login, (header, value) = _FORMS[form]
    credentials = human.home / ".claude/.credentials.json"
    human.run("rm", "-f", credentials)
    if login:
        human.write(credentials, json.dumps(_LOGIN), mode=0o600)
    api, variables = play(["hello from the model"])
    variables |= {"ANTHROPIC_BASE_URL": f"{api.url}/s/default", **given}
    screen = open_terminal(human, *program(), cwd=top, env=variables)
    shown = screen.wait("bypass permissions on")
    assert "Select login" not in shown
    screen.enter("hello")
    screen.wait("hello from the model")
    screen.type(CTRL_C)
    screen.wait("again to exit")
    screen.type(CTRL_C)
    screen.end()
    sent = [each for each in api.requests if each["path"].endswith("/v1/messages")]
    assert {each["headers"].get(header) for each in sent} == {value}
    assert all(each["path"].startswith("/s/default/") for each in sent)
    if login:
        inside = human.clsecure("exec", "--", "cat", credentials, cwd=top).stdout
        assert json.loads(inside)["claudeAiOauth"]["refreshToken"] is None
        assert "sk-ant-ort01" not in inside
        changed = json.loads(json.dumps(_LOGIN).replace(_TOKEN, f"{_TOKEN}-renewed"))
        human.write(credentials, json.dumps(changed), mode=0o600)
        ran = human.clsecure("--", "-p", "again", cwd=top, env=variables)
        assert ran.returncode == 0
        assert api.requests[-1]["headers"][header] == f"Bearer {_TOKEN}-renewed"
        assert json.loads(credentials.read_text()) == changed
        human.run("rm", "-f", credentials)
