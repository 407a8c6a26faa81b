"""The human's tools are shown, and no secret with them; nothing that is done to them comes out."""

from __future__ import annotations

import os

import pytest
from caller import Caller, open_request

from clsecure.helper.protocol import Alias, Failed, Opened
from e2e.boxes import BOXES
from e2e.toollayouts import LAYOUTS, lay_out, variables

pytestmark = pytest.mark.root

_SECRETS = tuple(name for one in LAYOUTS.values() for name in one.secrets)
# What a box must never show, wherever PATH leads.
_KEPT = (".ssh/id_ed25519", ".npmrc", ".config/gh/hosts.yml", ".netrc", ".env", "notes/private")
_READ = 'for f in {}; do cat "$HOME/$f" 2>/dev/null; done; true'
_WRITE = 'for f in {}; do echo changed > "$HOME/$f"; rm -f "$HOME/$f"; done 2>/dev/null; true'
_KINDS = pytest.mark.parametrize("kind", BOXES[:4], ids=str)


@pytest.fixture(scope="module")
def world(human):
    """Tools with secrets in their trees, a cache, and a PATH that leads where it should not."""
    path = lay_out(human)
    for name in _KEPT:
        human.write(name, "secret of the home\n", mode=0o600)
    human.write(".cache/pip/held", "held\n")
    top = human.repository("src/tools")
    human.run("ln", "-s", "/", human.home / "whole")
    human.run("ln", "-s", human.home, human.home / "again")
    human.run("ln", "-s", human.home / ".ssh", human.home / "keys")
    odd = (
        *("/", ".", "..", "", "relative", f"{human.home}", f"{human.home}/", f"{human.home}/.ssh"),
        *(f"{human.home}/{name}" for name in (".config", ".config/gh", "whole", "whole/home")),
        *(f"{human.home}/{name}" for name in ("again", "again/.ssh", "keys", ".local", ".cargo")),
        *(f"{human.home}/../{human.home.name}", str(top), str(top.parent), "/home", "/root"),
    )
    return top, {"PATH": ":".join((*odd, path)), **variables(human)}


@_KINDS
def test_no_credential_is_read(human, world, kind):
    top, env = world
    script = _READ.format(" ".join(f"'{name}'" for name in (*_SECRETS, *_KEPT)))
    ran = human.clsecure("exec", *kind.flags, "--", "sh", "-c", script, cwd=top, env=env)
    assert ran.stdout == ""
    search = 'command grep -rsl "^secret of" /home /tmp /srv /var /run/clsecure; true'
    words = ("exec", *kind.flags, "--expose", f"{human.home}/opt", "--")
    found = human.clsecure(*words, "sh", "-c", search, cwd=top, env=env).stdout
    assert found == ""


def test_control_the_human_reads_them_all(human, world):
    script = _READ.format(" ".join(f"'{name}'" for name in (*_SECRETS, *_KEPT)))
    said = human.run("sh", "-c", script).stdout
    assert len(said.splitlines()) == len(_SECRETS) + len(_KEPT)


@_KINDS
def test_nothing_done_to_a_tool_or_a_cache_comes_out(human, world, kind):
    top, env = world
    names = [*(name for one in LAYOUTS.values() for name in one.files), ".cache/pip/held"]
    before = {name: (human.home / name).read_bytes() for name in names}
    script = _WRITE.format(" ".join(f"'{name}'" for name in names))
    human.clsecure("exec", *kind.flags, "--", "sh", "-c", script, cwd=top, env=env)
    assert {name: (human.home / name).read_bytes() for name in names} == before
    assert not os.path.exists(human.home / ".cache/pip/new")


def test_control_without_the_box_it_does(human, world):
    human.write(".cache/pip/other", "held\n")
    human.write(".nvm/other", "held\n")
    human.run("sh", "-c", _WRITE.format("'.cache/pip/other' '.nvm/other'"))
    assert not (human.home / ".cache/pip/other").exists()
    assert not (human.home / ".nvm/other").exists()


def test_what_a_session_wrote_into_a_cache_goes_with_it(human, world):
    top, env = world
    words = ("exec", "-s", "gone", "--", "sh", "-c")
    human.clsecure(*words, "echo x > ~/.cache/pip/mine", cwd=top, env=env)
    other = human.clsecure("exec", "-s", "beside", "--", "ls", human.home / ".cache/pip",
                           cwd=top, env=env)  # fmt: skip
    assert other.stdout == "held\n"
    human.clsecure("discard", "-s", "gone", "--yes", cwd=top, env=env)
    again = human.clsecure(*words, "ls ~/.cache/pip", cwd=top, env=env)
    assert again.stdout == "held\n"


def test_root_opens_only_what_the_human_may(human, world):
    top, _ = world
    home = str(human.home)
    odd = (
        {"caches": ("/etc",)},
        {"caches": ("/",)},
        {"caches": (home,)},
        {"caches": ("/root/.cache",)},
        {"caches": (f"{home}/nowhere",)},
        {"caches": (f"{home}/whole",)},
        {"caches": (f"{home}/{'x' * 300}",)},
        {"caches": (f"{home}/.cache",), "exposures": (f"{home}/.cache/pip",)},
        {"caches": (str(top),)},
        {"exposures": (f"{home}/whole",)},
        {"exposures": ("/root/.bashrc",)},
        {"aliases": (Alias(at=f"{home}/x", source="/root"),)},
        {"aliases": (Alias(at=f"{home}/x", source="/etc"),)},
        {"aliases": (Alias(at=f"{home}/x", source=home),)},
        {"aliases": (Alias(at=f"{home}/x", source=f"{home}/whole"),)},
        {"aliases": (Alias(at="/etc/x", source=f"{home}/opt"),)},
        {"aliases": (Alias(at=home, source=f"{home}/opt"),)},
        {"aliases": (Alias(at=f"{home}/opt/x", source=f"{home}/go"),),
         "exposures": (f"{home}/opt",)},
        {"covered": (f"{home}/.nvm",)},
        {"exposures": (f"{home}/.nvm",), "covered": (f"{home}/.nvm",)},
        {"exposures": (f"{home}/.nvm",), "covered": (f"{home}/.nvm/../x",)},
    )  # fmt: skip
    with Caller(human.account.pw_uid) as caller:
        for number, fields in enumerate(odd):
            answer = caller.ask(open_request(human, top, session=f"odd{number}", **fields))
            assert isinstance(answer, Failed), fields
            assert answer.code in (2, 3), fields


def test_control_root_opens_what_the_human_may(human, world):
    top, _ = world
    home = str(human.home)
    fields = {
        "caches": (f"{home}/.cache/pip",),
        "exposures": (f"{home}/.nvm",),
        "aliases": (Alias(at=f"{home}/x", source=f"{home}/opt"),),
        "covered": (f"{home}/.nvm/versions/node/v22.1.0/etc/npmrc",),
    }
    with Caller(human.account.pw_uid) as caller:
        answer = caller.ask(open_request(human, top, session="honest", **fields))
        assert isinstance(answer, Opened), answer
        caller.discard(answer)
