"""The human's own tools run in the box, by whatever they were installed; their caches are there."""

from __future__ import annotations

import json

import pytest

from e2e.boxes import BOXES
from e2e.toollayouts import LAYOUTS, lay_out, variables

_KINDS = pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
_CACHES = {
    ".npm/_cacache": "npm",
    ".cache/pip": "pip",
    ".cache/uv": "uv",
    ".cargo/registry": "cargo",
    "go/pkg/mod": "go modules",
}


@pytest.fixture(scope="module")
def world(human):
    """The human's tools and caches, and a repository."""
    path = lay_out(human)
    for cache in _CACHES:
        human.write(human.home / cache / "held", "held on the host\n")
    top = human.repository("src/tools")
    human.agent("true")
    env = {"PATH": path, **variables(human)}
    human.clsecure("--mode", "user", cwd=top, env=env)
    return top, env


def box(human, world, kind, script):
    """What a script prints in the box."""
    top, env = world
    return human.clsecure("exec", *kind.flags, "--", "sh", "-c", script, cwd=top, env=env).stdout


@_KINDS
def test_every_layout_runs(human, world, kind):
    said = box(human, world, kind, "; ".join(one.program for one in LAYOUTS.values()))
    for one in LAYOUTS.values():
        assert f"{one.program} runs\n" in said, one.program
        assert not one.needs or f"{one.program} reads\n" in said, one.program


@_KINDS
def test_variables_lead_to_the_tools(human, world, kind):
    names = variables(human)
    assert box(human, world, kind, "; ".join(f'echo "${each}"' for each in names)) == "".join(
        f"{value}\n" for value in names.values()
    )


@_KINDS
def test_caches_are_there_and_take_what_is_written(human, world, kind):
    script = f'for d in {" ".join(_CACHES)}; do cat "$HOME/$d/held"; echo {kind} > "$HOME/$d/new"'
    assert box(human, world, kind, f"{script}; done") == "held on the host\n" * len(_CACHES)
    kept = box(human, world, kind, f"cat {' '.join(f'~/{cache}/new' for cache in _CACHES)}")
    assert kept == f"{kind}\n" * len(_CACHES)  # by the session's next command, too
    assert not [cache for cache in _CACHES if (human.home / cache / "new").exists()]


def test_what_is_shown_is_listed_with_its_reason(human, world):
    top, env = world
    home = human.home
    odd = f"{env['PATH']}:{home}:{home}/.config:{home}/nowhere:src:/srv"
    shown = json.loads(human.clsecure("info", "--json", cwd=top, env={**env, "PATH": odd}).stdout)
    assert f"{home}/.nvm (nvm, on your PATH)" in shown["exposed"]
    assert f"{home}/.rustup (rustup, for cargo)" in shown["exposed"]
    assert f"{home}/.cache/pip (cache of pip)" in shown["exposed"]
    assert (
        f"{home}/interpreters/3.12/bin (pipx, {home}/.local/bin/pipxtool leads there)"
        in (shown["exposed"])
    )
    assert f"{home}/.nvm/versions/node/v22.1.0/etc/npmrc" in shown["covered"]
    left = " ".join(shown["not exposed"])
    assert f"{home} (credentials are kept below it)" in left
    assert f"{home}/.config (credentials are kept below it)" in left
    assert "/srv (it is outside of your home: `expose` shows it)" in left
    printed = human.clsecure("--dry-run", cwd=top, env=env).stdout
    assert f"  {home}/.nvm: exposed from {home}/.nvm, read-only, without versions/" in printed
    assert f"  {home}/.cache/uv: cache from {home}/.cache/uv, read-write" in printed


def test_hide_and_show_are_about_the_home_too(human, world):
    top, env = world
    settings = human.write(".clsecurerc", "hide = ~/.volta, ~/.pyenv/versions/*\nshow = ~/.npmrc")
    try:
        shown = json.loads(human.clsecure("info", "--json", cwd=top, env=env).stdout)
        script = "command -v voltatool; ls ~/.pyenv/versions; pyenvtool | head -n 1"
        ran = human.clsecure("exec", "--", "sh", "-c", script, cwd=top, env=env, code=None)
    finally:
        human.run("rm", settings)
    assert f"{human.home}/.volta (`hide` says so)" in shown["not exposed"]
    assert ran.stdout == "pyenvtool runs\n"


def test_what_is_asked_for_is_shown_without_its_secrets(human, world):
    top, env = world
    human.write("other/notes", "notes\n")
    human.write("other/deep/.env", "secret\n")
    human.write("other/deep/key.pem", "secret\n")
    script = "cat ~/other/notes; cat ~/other/deep/.env; cat ~/other/deep/key.pem"
    words = ("exec", "--expose", "~/other", "--show", "key.pem", "--", "sh", "-c", script)
    ran = human.clsecure(*words, cwd=top, env=env, code=None)
    assert ran.stdout == "notes\nsecret\n"
    human.write(".ssh/id_x", "secret\n", mode=0o600)
    refused = human.clsecure("exec", "--expose", "~/.ssh", "--", "true", cwd=top, code=3, env=env)
    message, hint = refused.stderr.splitlines()
    assert message == f"clsecure: {human.home}/.ssh cannot be exposed: credentials are kept there"
    assert hint == "hint: `show` lifts what is only kept back by its name"


def test_settings_that_may_hold_a_secret_stay_outside(human, world):
    top, env = world
    config = human.home / ".cargo/config.toml"
    before = config.read_text()
    script = ("exec", "--", "cat", config)
    assert human.clsecure(*script, cwd=top, env=env).stdout == before
    human.write(config, '[registries.x]\ntoken = "secret"\n')
    try:
        assert human.clsecure(*script, cwd=top, env=env).stdout == ""  # an empty mount point's
    finally:
        human.write(config, before)
