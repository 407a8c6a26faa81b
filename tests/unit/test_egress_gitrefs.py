"""Which refs a session may push, without a box."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress.git import gitprogram
from clsecure.egress.git.githosts import GitHosts
from clsecure.egress.git.gitmirror import Mirror
from clsecure.egress.git.gitrefs import BadPush, Update, parse, refusals

A, B, ZERO = "a" * 40, "b" * 40, "0" * 40


def refused(ref, new=B, branches=("claude/*",)):
    return [reason for _, reason in refusals([Update(A, new, ref)], branches)]


def test_reading_what_a_hook_is_given():
    assert parse(f"{A} {B} refs/heads/x y\n{ZERO} {B} refs/heads/z\n") == (
        Update(A, B, "refs/heads/x y"),
        Update(ZERO, B, "refs/heads/z"),
    )
    assert parse(f"{A * 2}"[:64] + f" {B * 2}"[:65] + " refs/heads/x")[0].old == (A * 2)[:64]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{A} {B}",
        f"{A} {B} ",
        f"{A[1:]} {B} refs/heads/x",
        f"{A.upper()} {B} x",
        "x" * 99,
    ],
)
def test_what_is_no_list_of_refs(text):
    with pytest.raises(BadPush, match="not a list"):
        parse(text)


def test_patterns_are_about_whole_names():
    assert refused("refs/heads/claude/a/b") == []
    for ref in ("refs/heads/claude", "refs/heads/claude/", "refs/heads/xclaude/a", "claude/a"):
        assert refused(ref)
    assert refused("refs/heads/main", branches=("claude/*", "main")) == []
    assert refused("refs/heads/Main", branches=("claude/*", "main"))
    assert refused("refs/heads/claude/a", new=ZERO) == ["branches are not deleted from a session"]


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12))
def test_a_name_that_git_refuses_is_refused(text):
    if "\n" in text or "\0" in text:
        return
    ref = f"refs/heads/claude/{text}"
    asked = subprocess.run(["git", "check-ref-format", ref], check=False)
    assert asked.returncode == 0 or refused(ref)


HOSTS = GitHosts(
    remotes=(("origin", "https://human:ghp_secret@host.test/x.git"),),
    settings=(("http.https://host.test/.extraheader", "Authorization: Basic c2VjcmV0"),),
    object_format="sha1",
    alternates="",
    shallow=b"",
    directory=Path("/nonexistent"),
    branches=("claude/*",),
    may_force=False,
)


def test_what_the_box_is_told_has_no_credentials_and_no_controls():
    mirror = Mirror(HOSTS, *HOSTS.remotes[0], "/")
    said = (
        "fatal: unable to access 'https://human:ghp_secret@host.test/x.git/': no\n"
        "fatal: unable to access 'https://other:one@host.test/x.git/': no\n\n"
        "sent: Authorization: Basic c2VjcmV0, ghp_secret\n"
        "remote: \x1b[31mred\u202e\n"
    )
    assert mirror.shown(said) == (
        "fatal: unable to access 'https://host.test/x.git/': no\n"
        "fatal: unable to access 'https://host.test/x.git/': no\n"
        "sent: Authorization: Basic …, …\n"
        "remote: \\x1b[31mred\\u202e"
    )
    assert len(mirror.shown("x" * 5000 + "\n" + "y\n" * 5000)) < 1000


@pytest.mark.parametrize(
    ("variables", "settings", "command"),
    [
        ({}, (), "ssh -oBatchMode=yes"),
        ({"GIT_SSH_COMMAND": "ssh -v"}, (), "ssh -v -oBatchMode=yes"),
        ({}, (("core.sshcommand", "/usr/bin/ssh -i k"),), "/usr/bin/ssh -i k -oBatchMode=yes"),
        ({"GIT_SSH": "/opt/plink"}, (), None),
        ({"GIT_SSH_COMMAND": "tortoiseplink"}, (), "tortoiseplink"),
        ({"GIT_SSH_COMMAND": "'unclosed"}, (), "'unclosed"),
    ],
)
def test_ssh_is_the_humans_own_and_does_not_ask(monkeypatch, variables, settings, command):
    for name in ("GIT_SSH", "GIT_SSH_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made = gitprogram.human_environment("git@host.test:x", settings)
    assert made.get("GIT_SSH_COMMAND") == command
    assert made["GIT_CONFIG_GLOBAL"] == "/dev/null"
