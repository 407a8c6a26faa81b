"""Removal of a tree that somebody hostile has made."""

from __future__ import annotations

import os

import pytest

from clsecure.helper.removal import remove_tree


def remove(directory):
    parent = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        remove_tree(parent, directory.name)
    finally:
        os.close(parent)


def test_a_tree_deeper_than_stack_paths_and_descriptors(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    before = os.getcwd()
    os.chdir(top)
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(before)
    remove(top)
    assert not top.exists()


def test_links_are_removed_and_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    for at in ("", "a", "a/b"):
        (top / at / "link").symlink_to(outside)
        (top / at / "dead").symlink_to("/nowhere")
        os.mkfifo(top / at / "pipe")
    remove(top)
    assert not top.exists()
    assert (outside / "file").read_text() == "x"


def test_names_that_the_removal_uses_itself(tmp_path):
    top = tmp_path / "top"
    for name in ("aside-0", "aside-1/aside-0/x", "aside-2/aside-2", "x/aside-0/aside-0"):
        (top / name).mkdir(parents=True)
    (top / "aside-3").write_text("x")
    (top / "x/aside-0/file").write_text("x")
    remove(top)
    assert not top.exists()


def test_odd_names(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    for name in (b"\xff\xfe", b"new\nline", b" ", b"*", b"-rf"):
        os.mkdir(os.path.join(os.fsencode(top), name))
        with open(os.path.join(os.fsencode(top), name, name), "w"):
            pass
    remove(top)
    assert not top.exists()


def test_a_link_in_place_of_the_tree_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "top").symlink_to("real")
    with pytest.raises(OSError, match="top"):
        remove(tmp_path / "top")
    assert (tmp_path / "real").is_dir()
