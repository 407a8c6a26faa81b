"""The project's remotes, as the door for git has them."""

import pytest
from gitworld import git

from clsecure.giturls import place_of
from clsecure.workspace.gitremotes import Remote, look


def addresses(world):
    return {one.name: (one.address, one.shown) for one in look(world.repository).remotes}


def test_each_address_has_a_name(world):
    assert addresses(world) == {}
    world.git("remote", "add", "origin", "https://me:secret@host.test/x.git")
    world.git("remote", "set-url", "--add", "--push", "origin", "git@host.test:fork/x.git")
    world.git("remote", "add", "same", "https://host.test/x.git")
    world.git("remote", "add", "up/stream", "../beside")
    assert addresses(world) == {
        "origin": ("https://me:secret@host.test/x.git", "https://host.test/x.git"),
        "origin-2": ("git@host.test:fork/x.git", "git@host.test:fork/x.git"),
        "up/stream": ("../beside", "../beside"),
    }


@pytest.mark.parametrize("name", ["a b", "../up", "a?b", "-x", "a\u202eb"])
def test_odd_names_have_no_part_in_it(world, name):
    world.git("config", f"remote.{name}.url", "https://host.test/x.git")
    assert look(world.repository).remotes == ()


def test_only_what_says_how_a_host_is_reached_goes_along(world, hermetic):
    world.git("remote", "add", "origin", "gh:x")
    world.git("config", "url.https://host.test/.insteadOf", "gh:")
    world.git("config", "core.sshCommand", "ssh -i key")
    world.git("config", "http.https://host.test/.extraHeader", "X: y")
    world.git("config", "core.fsmonitor", "touch /tmp/x")
    world.git("config", "uploadpack.packObjectsHook", "touch /tmp/x")
    git(world.top, "config", "--global", "credential.helper", "store")
    git(world.top, "config", "--global", "alias.x", "!touch /tmp/x")
    assert set(look(world.repository).settings) == {
        ("url.https://host.test/.insteadof", "gh:"),
        ("core.sshcommand", "ssh -i key"),
        ("http.https://host.test/.extraheader", "X: y"),
        ("credential.helper", "store"),
    }


def test_objects_are_borrowed_and_a_partial_clone_has_no_door(world):
    world.git("remote", "add", "origin", "https://host.test/x.git")
    found = look(world.repository)
    assert found.alternates == f"{world.top}/.git/objects\n"
    assert found.remotes == (Remote("origin", "https://host.test/x.git"),)
    world.git("config", "remote.origin.promisor", "true")
    assert look(world.repository).remotes == ()


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("https://me:secret@Host.test/x.git", ("host.test", 443)),
        ("http://host.test:8418/x.git", ("host.test", 8418)),
        ("ssh://git@host.test/x", ("host.test", 22)),
        ("ssh://git@[::1]:2222/x", ("::1", 2222)),
        ("git@host.test:x/y.git", ("host.test", 22)),
        ("host.test:x", ("host.test", 22)),
        ("git://host.test/x", ("host.test", 9418)),
        ("../beside", ("localhost", 0)),
        ("/srv/git/x:y", ("localhost", 0)),
        ("file:///srv/x", ("localhost", 0)),
    ],
)
def test_whose_host_it_is(address, place):
    assert place_of(address) == place
