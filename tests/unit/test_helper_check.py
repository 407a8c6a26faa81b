"""Which places, names and commands root's side lets through: pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.helper import caches, layout
from clsecure.helper.check import check_exec, check_session, check_worker
from clsecure.helper.idmap import id_map
from clsecure.helper.layout import Host, check_places, outermost, within, writable_places
from clsecure.helper.protocol import Exec, Open, Refusal
from clsecure.naming import worker_names

HOST = Host(directories=("usr", "etc", "opt"), links=("bin=usr/bin",))


def request(**fields):
    values = {
        "project": "/home/me/src/project",
        "session": "",
        "action": "create",
        "workers": ("claude-worker-project-123456",),
        "mode": "user",
        "engine": "none",
        "network": "filtered",
        "workspace": "overlay",
        "home": "/home/me",
        "git_dir": "/home/me/src/project/.git",
        "base": "0" * 40,
        "objects": ("/home/me/src/project/.git/objects",),
        "exposures": (),
        "masks": (),
        "listeners": (),
        "probe": "x",
    }
    return Open(**{**values, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"project": "/srv/code/project", "git_dir": "/srv/code/project/.git"},
        {"project": "/opt/project", "git_dir": "/opt/project/.git"},
        {"project": "/usr/src/project", "git_dir": "/usr/src/project/.git"},
        {"home": "/root", "project": "/root/x", "git_dir": "/root/x/.git"},
        {"git_dir": "/home/me/src/main/.git/worktrees/project"},
        {"exposures": ("/home/me/.local/bin", "/srv/data")},
        {"project": "/tmp/project", "git_dir": "/tmp/project/.git"},
        {"project": "/var/www/project", "git_dir": "/var/www/project/.git"},
    ],
)
def test_places_that_may_be(fields):
    check_places(request(**fields))


@pytest.mark.parametrize("field", ["project", "git_dir", "home", "exposures"])
@pytest.mark.parametrize(
    "place",
    [
        "",
        "/",
        "//",
        "relative",
        "/home/me/../you",
        "/home/me/",
        "/home//me",
        "/etc",
        "/etc/x",
        "/usr",
        "/opt",
        "/proc/1/root",
        "/sys",
        "/dev/shm",
        "/run/user/1",
        "/boot",
        "/var/lib/clsecure",
        "/var/lib",
        "/var",
        "/var/run/x",
    ],
)
def test_places_that_may_not_be(field, place):
    with pytest.raises(Refusal):
        check_places(request(**{field: (place,) if field == "exposures" else place}))


@pytest.mark.parametrize(
    "fields",
    [
        {"project": "/home/me", "git_dir": "/home/me/.git"},
        {"project": "/home", "git_dir": "/home/.git"},
        {"exposures": ("/home/me",)},
        {"exposures": ("/home",)},
        {"exposures": ("/home/me/src/project",)},
        {"exposures": ("/home/me/src/project/sub",)},
        {"exposures": ("/home/me/src",)},
    ],
)
def test_the_home_as_a_whole_and_the_project_are_never_shown(fields):
    with pytest.raises(Refusal):
        check_places(request(**fields))


@given(st.lists(st.sampled_from(["/a", "/a/b", "/a/b/c", "/ab", "/b", "/b/a"]), max_size=6))
def test_outermost_covers_all_and_overlaps_nowhere(paths):
    chosen = outermost(tuple(paths))
    assert all(any(within(path, one) for one in chosen) for path in paths)
    assert not any(within(one, other) for one in chosen for other in chosen if one != other)


@pytest.mark.parametrize("workspace", ["overlay", "clone"])
def test_a_layout_has_parents_first_and_few_writable_places(workspace):
    asked = request(exposures=("/home/me/.local/bin", "/srv/data"), workspace=workspace)
    mounts = layout.layout(asked, HOST, worker="claude-worker-x-1", uid=66000)
    places = [mount.at for mount in mounts]
    for number, place in enumerate(places):
        later = places[number + 1 :]
        assert not [one for one in later if place != one and within(place, one) and one != "/etc"]
    writable = writable_places(mounts)
    assert "/home/me/src/project" in writable
    assert not {"/usr", "/etc", "/opt", "/", "/dev", "/srv/data"} & set(writable)
    assert "/home/me/.local/bin" not in writable
    assert "/run/clsecure/objects/0" not in writable


def test_git_lfs_finds_its_stores_beside_the_object_stores():
    asked = request(objects=("/a/objects", "/b/objects"), lfs=("", "/elsewhere/lfs"))
    mounts = layout.layout(asked, HOST, worker="claude-worker-x-1", uid=66000)
    borrowed = {mount.at: mount.source for mount in mounts if mount.kind == "objects"}
    assert borrowed == {
        "/run/clsecure/objects/0": "/a/objects",
        "/run/clsecure/objects/1/lfs/objects": "/elsewhere/lfs",
        "/run/clsecure/objects/1/objects": "/b/objects",
    }
    assert not [mount for mount in mounts if mount.kind == "objects" and mount.writable]


@pytest.mark.parametrize("name", ["", "a", "A.b_c-d", "0", "a" * 64])
def test_session_names_that_may_be(name):
    check_session(name)


@pytest.mark.parametrize("name", ["-a", ".", "..", ".a", "a/b", "a b", "a\n", "ä", "a" * 65, "\0"])
def test_session_names_that_may_not_be(name):
    with pytest.raises(Refusal):
        check_session(name)


@given(
    path=st.text(min_size=1, max_size=40).map(lambda text: f"/{text}"),
    session=st.sampled_from(["", "a", "A.b", "x" * 64]),
    uid=st.integers(0, 2**32 - 2),
)
def test_every_name_is_one_that_the_helper_takes(path, session, uid):
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return  # no path has these
    first, second = worker_names(path, session, uid)
    assert first != second
    for name in (first, second):
        assert len(name) <= 32
        check_worker(name)


def test_other_sessions_and_humans_have_other_names():
    names = {
        worker_names(path, session, uid)[1]
        for path in ("/a/x", "/b/x")
        for session in ("", "one", "two")
        for uid in (1000, 1001)
    }
    assert len(names) == 12


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"argv": ()}, 3),
        ({"environment": ("X",)}, 3),
        ({}, 0),
        ({}, 2),
        ({"rows": 24}, 3),
        ({"rows": -1}, 0),
        ({"timeout": -1}, 3),
        ({"timeout": 10**12}, 3),
    ],
)
def test_commands_that_cannot_be(fields, count):
    command = Exec(**{"argv": ("x",), "environment": (), "cwd": "/", **fields})
    with pytest.raises(Refusal):
        check_exec(command, [0] * count)


@given(
    st.tuples(st.integers(0, 2**32 - 2), st.integers(0, 2**32 - 2)).filter(lambda p: p[0] != p[1])
)
def test_the_id_map_swaps_two_and_leaves_the_others(pair):
    one, other = pair
    extents = [tuple(map(int, line.split())) for line in id_map(one, other).splitlines()]

    def mapped(number):
        hits = [
            first + number - start
            for start, first, count in extents
            if start <= number < start + count
        ]
        assert len(hits) == 1, number
        return hits[0]

    assert mapped(one) == other
    assert mapped(other) == one
    for number in {0, 1, 2**32 - 2, one - 1, one + 1, other - 1, other + 1} - {one, other}:
        if 0 <= number <= 2**32 - 2:
            assert mapped(number) == number
    assert len(extents) <= 5
    assert all(count > 0 for _, _, count in extents)


@pytest.mark.parametrize("path", ["/" + "a" * 300, "/" + "é" * 140, "/" + "a/" * 100])
def test_a_cache_whose_layer_could_have_no_name_is_refused(path):
    with pytest.raises(Refusal, match="too long"):
        caches.check(path)


def test_every_cache_has_a_layer_of_its_own():
    paths = ["/a/b", "/a%2Fb", "/a%b", "/a/b/", "/A/b"]
    assert len({caches.area(path) for path in paths}) == len(paths)
    assert all(caches.area(path).count("/") == 1 for path in paths)
