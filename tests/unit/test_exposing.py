"""From PATH to what is shown: which directories, and which never."""

from __future__ import annotations

import os

import pytest

from clsecure import agents, exposing, tools
from clsecure.agents import arguments
from clsecure.choices import AgentName


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a project, at a place that is nobody's (a box has a /tmp of its own)."""
    made = tmp_path / "home"
    (made / "src/project").mkdir(parents=True)
    return made


def look(home, *path, hide=(), show=(), **variables):
    """What is shown for that PATH, relative to the home."""
    environ = {"HOME": str(home), "PATH": ":".join(str(home / each) for each in path), **variables}
    world = exposing.World(environ, str(home), f"{home}/src/project", hide, show)
    return tools.look(world)


def names(shown, home):
    return {os.path.relpath(one.path, home) for one in shown}


def put(home, name, text="x"):
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text)


@pytest.mark.parametrize(
    "place",
    ["", ".", "..", ".ssh", ".ssh/bin", ".config", ".config/gh", ".local/share", ".cargo", ".aws",
     "src", "src/project", "src/project/bin", "whole", "again", "secrets", "nowhere"],
)  # fmt: skip
def test_what_is_never_shown_whatever_path_says(home, place):
    for name in (".ssh/bin/x", ".config/gh/hosts.yml", ".local/share/x", ".cargo/credentials",
                 ".aws/credentials", "src/project/bin/x"):  # fmt: skip
        put(home, name)
    (home / "whole").symlink_to("/")
    (home / "again").symlink_to(home)
    (home / "secrets").symlink_to(home / ".ssh")
    found = look(home, place)
    assert names(found.exposed, home) == set()


@pytest.mark.parametrize("already", [True, False])
def test_what_is_shown_for_another_reason_is_not_left_out(tmp_path, home, already):
    place = tmp_path / "elsewhere/bin"
    put(tmp_path, "elsewhere/bin/tool")
    world = exposing.World(
        {"HOME": str(home), "PATH": str(place)}, str(home), f"{home}/src/project"
    )
    others = [exposing.Shown(str(place), "asked for")] if already else []
    found = tools.look(world, others)
    assert [one.path for one in found.exposed] == [str(place)] * already
    assert [one.path for one in found.left_out] == [str(place)] * (not already)


def test_another_repository_is_not_shown_but_its_programs_are(home):
    put(home, "src/other/.git/HEAD")
    put(home, "src/other/bin/tool")
    put(home, "src/other/lib/secret")
    assert names(look(home, "src/other").exposed, home) == set()
    assert names(look(home, "src/other/bin").exposed, home) == {"src/other/bin"}


def test_an_unknown_installation_is_shown_with_its_libraries(home):
    for name in ("apps/tool/bin/tool", "apps/tool/lib/x", "apps/tool/etc/token", "apps/x/bin/x"):
        put(home, name)
    assert names(look(home, "apps/tool/bin").exposed, home) == {"apps/tool/bin", "apps/tool/lib"}


def test_a_manager_by_its_variable(home):
    put(home, "versions/nvm/versions/node/v1/bin/node")
    put(home, "versions/nvm/versions/node/v1/etc/npmrc")
    place = f"{home}/versions/nvm"
    found = look(home, "versions/nvm/versions/node/v1/bin", NVM_DIR=place)
    assert names(found.exposed, home) == {"versions/nvm"}
    assert found.covered == (f"{place}/versions/node/v1/etc/npmrc",)
    assert found.variables["NVM_DIR"] == place


def test_variables_of_places_that_are_not_there_stay_outside(home):
    found = look(home, JAVA_HOME="/usr/lib/jvm/x", GOROOT="/srv/go", CARGO_HOME="relative")
    assert dict(found.variables) == {"JAVA_HOME": "/usr/lib/jvm/x"}


def test_loops_and_broken_links_lead_nowhere(home):
    (home / "bin").mkdir()
    (home / "bin/a").symlink_to("b")
    (home / "bin/b").symlink_to("a")
    (home / "bin/c").symlink_to("/nowhere/at/all")
    (home / "bin/d").symlink_to(home)
    (home / "bin/e").symlink_to(home / ".netrc")
    put(home, ".netrc")
    assert names(look(home, "bin").exposed, home) == {"bin"}


def test_hidden_places_and_shown_ones(home):
    put(home, ".pyenv/bin/pyenv")
    put(home, ".pyenv/versions/a/bin/python")
    put(home, ".pyenv/versions/b/bin/python")
    hidden = look(home, ".pyenv/bin", hide=(f"{home}/.pyenv",))
    assert names(hidden.exposed, home) == set()
    assert names(hidden.left_out, home) == {".pyenv"}
    part = look(home, ".pyenv/bin", hide=(f"{home}/.pyenv/versions/b*",))
    assert part.covered == (f"{home}/.pyenv/versions/b",)
    put(home, ".pyenv/versions/a/pip.conf")
    assert look(home, ".pyenv/bin").covered == (f"{home}/.pyenv/versions/a/pip.conf",)
    lifted = look(home, ".pyenv/bin", show=(f"{home}/.pyenv/versions/a/pip.conf",))
    assert lifted.covered == ()


def test_caches_lie_apart(home):
    for name in (".cache/uv/x", ".npm/_cacache/x", ".cargo/registry/x", "go/pkg/mod/x"):
        put(home, name)
    (home / ".cache/pip").symlink_to(home / "elsewhere")
    found = look(home)
    assert names(found.caches, home) == {
        ".cache/uv", ".npm/_cacache", ".cargo/registry", "go/pkg/mod",
    }  # fmt: skip
    assert found.variables["UV_LINK_MODE"] == "copy"


@pytest.mark.parametrize("name", AgentName, ids=str)
def test_arguments_of_each_agent(name):
    agent = agents.declared(name)
    assert agent.name == name
    assert arguments(agent, (), resumes=False) == agent.no_prompts
    assert arguments(agent, (), resumes=True) == (*agent.no_prompts, *agent.resume)
    headless = arguments(agent, (*agent.headless, "do it"), resumes=False)
    assert sorted(headless) == sorted((*agent.no_prompts, *agent.headless, "do it"))
    assert headless[-1] == "do it"
    for command in agent.commands:
        assert arguments(agent, (command,), resumes=False)[0] == command


def test_the_humans_own_description_of_their_terminal(home, tmp_path):
    put(home, ".terminfo/m/mine")
    elsewhere = home / "kitty.app/terminfo"
    put(elsewhere, "x/xterm-kitty")
    put(tmp_path, "outside/x/xterm-kitty")
    assert ".terminfo" in names(look(home, TERM="mine").exposed, home)
    for kind in ("", "theirs", "../m/mine", "/mine", "m/mine"):
        assert look(home, TERM=kind).exposed == ()
    shown = look(home, TERM="xterm-kitty", TERMINFO=str(elsewhere))
    assert [one.path for one in shown.exposed] == [str(elsewhere)]
    assert shown.variables["TERMINFO"] == str(elsewhere)
    outside = look(home, TERM="xterm-kitty", TERMINFO=f"{tmp_path}/outside")
    assert (outside.exposed, outside.variables) == ((), {})
    put(home, ".ssh/i/id")
    put(home, "i/id")
    for place in (".ssh", "", "src", "src/.."):
        assert look(home, TERM="id", TERMINFO=f"{home}/{place}").exposed == ()
