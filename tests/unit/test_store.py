"""The human's side state: private, whole or absent, and never a traceback."""

import multiprocessing
import stat

import pytest

from clsecure.errors import UserError
from clsecure.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "new" / "clsecure")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_remembers(store):
    assert store.read("answers").get("told about x") is None
    store.update("answers", {"told about x": "yes"})
    store.update("answers", {"told about y": "no"})
    assert Store(store.directory).read("answers").get("told about x") == "yes"
    assert store.read("answers").get("told about y") == "no"


def test_everything_is_private(store):
    store.update("answers", {"a": "b"})
    store.append_log("x")
    assert mode(store.directory) == 0o700
    assert {mode(path) for path in store.directory.iterdir()} == {0o600}


def test_reading_makes_nothing(store):
    store.read("answers").get("a")
    assert not store.directory.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff", b"[" * 100_000])
def test_what_is_not_understood_counts_as_empty(store, content):
    store.update("answers", {"a": "b"})
    (store.directory / "answers.json").write_bytes(content)
    assert store.read("answers").get("a") is None
    store.update("answers", {"c": "d"})
    assert store.read("answers").get("c") == "d"


def test_no_half_written_file_is_left(store):
    store.update("answers", {"a": "b"})
    assert sorted(path.name for path in store.directory.iterdir()) == ["answers.json", "lock"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Store(tmp_path / "file").update("answers", {"a": "b"})


def test_a_planted_link_is_not_followed(store, tmp_path):
    store.update("answers", {"a": "b"})
    (tmp_path / "precious").write_text("precious")
    (store.directory / "clsecure.log").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        store.append_log("x")
    assert (tmp_path / "precious").read_text() == "precious"


def test_the_log_is_cut(store):
    store.append_log("x" * (1 << 20) + "x")
    path = store.append_log("new")
    assert path.read_text() == "new"


def _remember(directory, number):
    Store(directory).update("answers", {f"question {number}": "yes"})


def test_writers_at_once_lose_nothing(store):
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_remember, args=(store.directory, number)) for number in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(store.read("answers")) == 8
