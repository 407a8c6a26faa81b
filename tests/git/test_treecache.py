"""A tree that is known is listed as `find` lists it, whatever has changed in it."""

import os
import random
import shutil
import subprocess
import time

import pytest
from gitworld import write

from clsecure import treecache
from clsecure.facts import filesystem_of
from clsecure.listing import Listing
from clsecure.workspace.masks import start_scan

NAMES = ["a", "b", ".env", "x.pem", "deep", "node_modules", "new\nline.key", os.fsdecode(b"\xff")]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def _settled(monkeypatch):
    """Directories count as changed for a moment after a change: here for none."""
    monkeypatch.setattr(treecache, "_RECENT", -(1 << 62))


def scanned(world, **options):
    """Scan and remember; returns what is hidden, and whether the tree was known."""
    scan = start_scan(world.repository, **options)
    try:
        found = scan.result()
        scan.remember(filesystem_of(world.top), os.environ)
        return found, not isinstance(scan._listing, Listing)
    finally:
        scan.stop()


def anew(world, monkeypatch, **options):
    """What a scan without any memory finds."""
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
        found, known = scanned(world, **options)
    assert not known
    return found


def cached(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.usefixtures("_settled")
@pytest.mark.parametrize("seed", range(12))
def test_whatever_changes_is_seen(world, monkeypatch, seed):
    chance = random.Random(seed)
    scanned(world)
    known = 0
    for _ in range(12):
        for _ in range(chance.randint(0, 6)):
            change(world.top, chance)
        found, was_known = scanned(world)
        assert found == anew(world, monkeypatch)
        known += was_known
    assert known == 12


def change(top, chance):
    """Make, remove, move or replace something somewhere in the tree."""
    places = [top, *(path for path in top.rglob("*") if ".git" not in path.parts)]
    directories = [path for path in places if path.is_dir() and not path.is_symlink()]
    target = chance.choice(directories) / chance.choice(NAMES)
    victim = chance.choice(places)
    kind = chance.choice(["file", "directory", "remove", "move", "link", "swap"])
    if kind == "file" and not os.path.lexists(target):
        target.write_text("x")
    elif kind == "directory" and not os.path.lexists(target):
        (target / chance.choice(NAMES)).mkdir(parents=True)
        (target / chance.choice(NAMES) / "x").mkdir(parents=True, exist_ok=True)
    elif kind == "link" and not os.path.lexists(target):
        target.symlink_to(victim)
    elif victim != top and os.path.lexists(victim):
        if kind == "remove":
            shutil.rmtree(
                victim
            ) if victim.is_dir() and not victim.is_symlink() else victim.unlink()
        elif kind == "move" and not os.path.lexists(target) and victim not in target.parents:
            victim.rename(target)
        elif kind == "swap" and victim.is_dir():
            aside = top / "aside"
            if not os.path.lexists(aside):
                victim.rename(aside)
                victim.symlink_to(aside)


@pytest.mark.usefixtures("_settled")
def test_a_known_tree_is_not_listed(world, monkeypatch):
    write(world.top / "a/.env", "SECRET=1")
    first, known = scanned(world)
    assert (first, known) == (("a/.env",), False)
    monkeypatch.setattr(treecache, "_names", lambda *_: pytest.fail("listed"))
    assert scanned(world) == (first, True)


def test_what_changed_a_moment_ago_counts_as_changed(world, monkeypatch):
    scanned(world)
    (world.top / "a").mkdir()
    scanned(world)
    read = []
    names = treecache._names
    noting = lambda top, path: read.append(path) or names(top, path)  # noqa: E731 - short
    monkeypatch.setattr(treecache, "_names", noting)
    scanned(world)
    assert {b".", b"./a"} <= set(read)
    time.sleep(treecache._RECENT / 1e9 + 0.1)
    scanned(world)
    read.clear()
    assert scanned(world)[1]
    assert read == []


@pytest.mark.usefixtures("_settled")
def test_other_patterns_list_the_tree_anew(world):
    write(world.top / "a/secret.txt", "x")
    assert scanned(world) == ((), False)
    assert scanned(world, hide=("secret.*",)) == (("a/secret.txt",), False)
    assert scanned(world, hide=("secret.*",)) == (("a/secret.txt",), True)
    assert scanned(world) == ((), False)


@pytest.mark.usefixtures("_settled")
def test_another_tree_at_the_same_path_is_listed_anew(world, tmp_path):
    scanned(world)
    other = tmp_path / "other"
    shutil.copytree(world.top, other, symlinks=True)
    write(other / ".env", "x")
    shutil.rmtree(world.top)
    other.rename(world.top)
    assert scanned(world)[0] == (".env",)


@pytest.mark.usefixtures("_settled")
def test_many_changes_are_left_to_find(world):
    for number in range(treecache._MANY + 1):
        (world.top / f"d{number}").mkdir()
    scanned(world)
    for number in range(treecache._MANY + 1):
        write(world.top / f"d{number}/.env", "x")
    found, known = scanned(world)
    assert len(found) == treecache._MANY + 1
    assert not known


@pytest.mark.usefixtures("_settled")
@pytest.mark.parametrize(
    "damage", [b"", b"x", b"clsecure tree 1\0", b"clsecure tree 1" + b"\0" * 9]
)
def test_a_damaged_cache_is_none(world, tmp_path, damage):
    write(world.top / ".env", "x")
    scanned(world)
    (file,) = cached(tmp_path)
    file.write_bytes(damage or file.read_bytes()[:-3])
    assert scanned(world)[0] == (".env",)


@pytest.mark.usefixtures("_settled")
def test_a_version_that_skips_other_trees_lists_anew(world, monkeypatch):
    scanned(world)
    assert scanned(world)[1]
    monkeypatch.setattr(treecache, "_FORMAT", treecache._FORMAT[:-1] + b"x")
    assert not scanned(world)[1]


def test_the_cache_is_private_and_holds_no_content(world, tmp_path):
    write(world.top / ".env", "SECRET=1")
    scanned(world)
    (file,) = cached(tmp_path)
    assert file.stat().st_mode & 0o077 == 0
    assert b"SECRET" not in file.read_bytes()
    assert b"./.env" in file.read_bytes()


@pytest.mark.parametrize("reason", ["unreadable", "filesystem"])
def test_nothing_unsure_is_kept(world, tmp_path, monkeypatch, reason):
    if reason == "unreadable":  # root reads all, so that find's code is set here
        monkeypatch.setattr(Listing, "wait", lambda _: 1)
    scan = start_scan(world.repository)
    scan.result()
    scan.remember("nfs4" if reason == "filesystem" else "ext4", os.environ)
    scan.stop()
    assert cached(tmp_path) == []


def test_only_so_many_trees_are_kept(world, tmp_path):
    trees = tmp_path / "cache/clsecure/trees"
    trees.mkdir(parents=True)
    for number in range(treecache._KEPT + 5):
        (trees / f"{number:08x}").touch()
        os.utime(trees / f"{number:08x}", (number, number))
    scanned(world)
    assert len(cached(tmp_path)) == treecache._KEPT
    assert (trees / f"{treecache._KEPT + 4:08x}").exists()


def test_no_place_for_a_cache(world, monkeypatch):
    write(world.top / ".env", "x")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.delenv("HOME")
    assert scanned(world) == ((".env",), False)


def test_find_says_what_stat_says(world):
    (world.top / "a b\n").mkdir()
    listing = Listing(str(world.top), os.environ)
    subprocess.run(["cat"], stdin=listing.descriptor, stdout=subprocess.DEVNULL, check=True)
    assert listing.wait() == 0
    listing.begun = 1 << 62
    device, marks = treecache._said(listing)
    listing.close()
    there = (world.top / "a b\n").stat()
    assert device == there.st_dev
    assert marks[b"./a b\n"] == (there.st_ino, there.st_ctime_ns)
    assert marks[b"."] == (world.top.stat().st_ino, world.top.stat().st_ctime_ns)


@pytest.mark.usefixtures("_settled")
def test_nothing_is_listed_through_a_link_that_has_taken_a_directorys_place(world):
    write(world.top / "a/b/.env", "x")
    assert scanned(world)[0] == ("a/b/.env",)
    (world.top / "a").rename(world.top / "moved")
    (world.top / "a").symlink_to("moved")
    assert scanned(world) == (("moved/b/.env",), True)


def test_a_directory_of_another_file_system_counts_as_changed(world):
    top = os.open(world.top, os.O_RDONLY)
    device = os.fstat(top).st_dev
    assert treecache._mark(top, b".", device) == (
        world.top.stat().st_ino,
        world.top.stat().st_ctime_ns,
    )
    assert treecache._mark(top, b".", device + 1) == treecache._NONE
    assert treecache._settled(treecache._NONE, 1 << 62) == treecache._UNSURE
    os.close(top)
