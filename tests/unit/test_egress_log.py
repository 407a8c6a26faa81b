"""Every record is there once and in order, whoever writes; and what was done to it is seen."""

import errno
import fcntl
import json
import multiprocessing
import os
import resource
import signal
import stat
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clsecure.egress import logfiles
from clsecure.egress.log import Log, records, verify

FORK = multiprocessing.get_context("fork")
ROOM = 1050  # bytes of a file where a test wants rotation: some ten records


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "state" / "clsecure"


def fill(directory, count, limit=1 << 20, first=0):
    log = Log(directory, limit)
    for number in range(first, first + count):
        log.append({"n": number})
    log.close()


def newest(directory):
    return directory / "egress.jsonl"


def numbers(directory):
    return [record["n"] for record in records(directory)]


def change(path, function):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(function(lines)))


def broken(directory):
    return [(place.file, place.line) for place in verify(directory).broken]


def test_what_is_written_is_read(directory):
    log = Log(directory)
    log.append({"host": "example.org", "bytes": 3, "allowed": True, "rule": None})
    log.append({"host": "b\udc80\n\x1b[31m\u2028é"})
    first, second = records(directory)
    assert {**first, "prev": ""} == {
        "host": "example.org",
        "bytes": 3,
        "allowed": True,
        "rule": None,
        "seq": 1,
        "prev": "",
    }
    assert second["host"] == "b\udc80\n\x1b[31m\u2028é"
    assert newest(directory).read_bytes().isascii()
    assert newest(directory).read_text().count("\n") == 2
    assert verify(directory) == (2, 1, ())


def test_nothing_is_there(directory):
    assert list(records(directory)) == []
    assert verify(directory) == (0, 0, ())
    assert not directory.exists()


def test_all_is_private(directory):
    directory.mkdir(parents=True, mode=0o755)
    fill(directory, 30, ROOM)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["egress.jsonl", "egress.head"])
def test_links_are_not_followed(directory, tmp_path, name):
    directory.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (directory / name).symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        fill(directory, 1)
    with pytest.raises(OSError, match="symbolic links"):
        verify(directory)
    assert precious.read_text() == "precious"


def test_a_link_for_the_directory(directory, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    directory.parent.mkdir()
    directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="directory"):
        fill(directory, 1)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_rotation(directory):
    fill(directory, 35, ROOM)
    numbered = [f"egress.{number}.jsonl" for number in (1, 2, 3)]
    files = sorted(path.name for path in directory.iterdir())
    assert files == [*numbered, "egress.head", "egress.jsonl"]
    assert numbers(directory) == list(range(35))
    assert verify(directory) == (35, 4, ())
    assert all(path.stat().st_size <= ROOM for path in directory.glob("*.jsonl"))


def test_the_oldest_go(directory):
    fill(directory, 200, ROOM)
    assert len(list(directory.glob("*.jsonl"))) == 6
    there = numbers(directory)
    assert there == list(range(there[0], 200))
    assert there[0] > 100
    assert verify(directory) == (len(there), 6, ())


def test_a_crash_in_rotation_loses_nothing(directory):
    fill(directory, 35, ROOM)
    for number in (3, 2):
        (directory / f"egress.{number}.jsonl").rename(directory / f"egress.{number + 1}.jsonl")
    assert verify(directory).broken == ()
    fill(directory, 25, ROOM, first=35)
    assert numbers(directory) == list(range(60))
    assert verify(directory).broken == ()


def test_a_record_larger_than_a_file(directory):
    log = Log(directory, 100)
    for text in ("a", "b" * 300, "c"):
        log.append({"text": text})
    assert [len(record["text"]) for record in records(directory)] == [1, 300, 1]
    assert verify(directory) == (3, 3, ())


@pytest.mark.parametrize("record", [{"seq": 1}, {"prev": ""}, {"a": float("nan")}])
def test_what_is_not_a_record(directory, record):
    fill(directory, 1)
    with pytest.raises(ValueError, match=r"own|JSON"):
        Log(directory).append(record)
    fill(directory, 1, first=1)
    assert numbers(directory) == [0, 1]
    assert verify(directory).broken == ()


def test_a_first_append_that_fails_leaves_an_intact_log(directory):
    with pytest.raises(ValueError, match="JSON"):
        Log(directory).append({"a": float("inf")})
    assert verify(directory).broken == ()


def write_many(directory, writer, log=None):
    log = log or Log(directory, 20_000)
    for number in range(200):
        log.append({"n": number, "writer": writer})


def test_writers_at_once_lose_nothing(directory):
    """The log that was made before the forks is used by all of them, and by the parent."""
    shared = Log(directory, 20_000)
    shared.append({"n": -1, "writer": -1})
    writers = [
        FORK.Process(target=write_many, args=(directory, writer, shared if writer % 2 else None))
        for writer in range(4)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert verify(directory).broken == ()
        shared.append({"n": -1, "writer": -1})
        time.sleep(0.002)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert verify(directory).broken == ()
    for writer in range(4):
        own = [record["n"] for record in records(directory) if record["writer"] == writer]
        assert own == list(range(200))[-len(own) :]


def test_reading_waits_for_a_writer(directory):
    fill(directory, 3)
    with (directory / "egress.head").open() as lock, ThreadPoolExecutor() as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = pool.submit(verify, directory)
        with pytest.raises(TimeoutError):
            result.result(timeout=0.1)
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert result.result(timeout=10).records == 3


def test_killed_writers(directory):
    """Whenever a writer is killed, the log can be read, and what is broken is said to be."""
    for _ in range(20):
        writer = FORK.Process(target=write_many, args=(directory, 0))
        writer.start()
        time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        fill(directory, 1, 20_000)
        lost = verify(directory).broken
        assert all(
            place.reason.startswith(("records missing before it: 1", "not a record"))
            for place in lost
        )
        assert list(records(directory))[-1]["n"] == 0


def test_a_line_cut_off_by_a_crash(directory):
    fill(directory, 3)
    whole = newest(directory).read_bytes()
    newest(directory).write_bytes(whole[:-20])
    assert broken(directory) == [("egress.jsonl", 3)]
    fill(directory, 2, first=3)
    assert numbers(directory) == [0, 1, 3, 4]
    assert broken(directory) == [("egress.jsonl", 3)]
    assert "cut off by a crash" in verify(directory).broken[0].reason


def test_only_the_end_of_the_line_was_cut_off(directory):
    fill(directory, 3)
    newest(directory).write_bytes(newest(directory).read_bytes()[:-1])
    assert verify(directory).broken == ()
    fill(directory, 1, first=3)
    assert numbers(directory) == [0, 1, 2, 3]
    assert verify(directory).broken == ()


def test_a_crash_between_head_and_line(directory):
    fill(directory, 3)
    change(newest(directory), lambda lines: lines[:2])
    assert broken(directory) == [("egress.jsonl", 2)]
    fill(directory, 1, first=3)
    (place,) = verify(directory).broken
    assert place == ("egress.jsonl", 3, "records missing before it: 1")


def run(function, *arguments):
    """Run `function` in a process of its own, whose limits end with it; return how it ended."""
    process = FORK.Process(target=function, args=arguments)
    process.start()
    process.join(30)
    return process.exitcode


def append_until_full(directory, room):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    log = Log(directory)
    try:
        for number in range(1000):
            log.append({"n": number})
    except OSError as error:
        os._exit(0 if error.errno == errno.EFBIG else 1)
    os._exit(2)


@pytest.mark.parametrize("room", [1000, 1001, 1050, 1090, 1100])
def test_a_disk_that_is_full(directory, room):
    """A file size limit cuts a write short at a byte, as a full disk does."""
    assert run(append_until_full, directory, room) == 0
    assert newest(directory).read_bytes().endswith(b"}\n")
    assert verify(directory).broken == ()
    count = len(numbers(directory))
    fill(directory, 2, first=count)
    assert numbers(directory) == list(range(count + 2))
    assert verify(directory).broken == ()


def test_a_disk_that_is_full_from_the_start(directory):
    assert run(append_until_full, directory, 40) == 0
    assert verify(directory).broken == ()
    fill(directory, 2)
    assert verify(directory) == (2, 1, ())


def test_somebody_removes_the_log_under_a_writer(directory):
    log = Log(directory)
    log.append({"n": 0})
    for path in directory.iterdir():
        path.unlink()
    log.append({"n": 1})
    directory.rename(directory.with_name("aside"))
    log.append({"n": 2})
    assert [path.name for path in directory.parent.iterdir()] == ["aside"]
    for path in directory.with_name("aside").iterdir():
        path.unlink()
    directory.with_name("aside").rmdir()
    log.append({"n": 3})
    assert numbers(directory) == [3]
    assert verify(directory).broken == ()


def edit(lines):
    lines[4] = lines[4].replace(b'"n":4', b'"n":5')
    return lines


def edit_the_newest(lines):
    return [*lines[:-1], lines[-1].replace(b'"n":', b'"m":')]


def swap(lines):
    lines[3], lines[4] = lines[4], lines[3]
    return lines


def renumber(lines):
    del lines[4]
    for at in range(4, len(lines)):
        record = json.loads(lines[at])
        lines[at] = json.dumps({**record, "seq": record["seq"] - 1}).encode() + b"\n"
    return lines


@pytest.mark.parametrize(
    ("function", "line", "reason"),
    [
        (edit, 5, "changed after it was written"),
        (edit_the_newest, 9, "changed after it was written"),
        (lambda lines: lines[:4] + lines[5:], 5, "records missing before it: 1"),
        (lambda lines: lines[:4] + lines[7:], 5, "records missing before it: 3"),
        (lambda lines: lines[2:], 1, "records missing before it: 2"),
        (lambda lines: lines[:-2], 7, "records missing after it: 2"),
        (lambda _: [], 0, "records missing after it: 9"),
        (swap, 4, "records missing before it: 1"),
        (lambda lines: lines[:4] + lines[3:], 5, "out of its order, or added"),
        (lambda lines: [*lines[:4], b"{}\n", *lines[4:]], 5, "not a record"),
        (lambda lines: [*lines[:4], b"\n", *lines[4:]], 5, "not a record"),
        (lambda lines: [*lines[:4], b"[" * 100_000 + b"\n", *lines[4:]], 5, "not a record"),
        (lambda lines: [*lines, lines[-1]], 10, "out of its order, or added"),
        (renumber, 4, "changed after it was written"),
    ],
)
def test_what_was_done_is_seen(directory, function, line, reason):
    fill(directory, 9)
    change(newest(directory), function)
    place = verify(directory).broken[0]
    assert (place.file, place.line) == ("egress.jsonl", line)
    assert place.reason.startswith(reason)


def test_a_record_added_with_the_right_chain(directory):
    """The chain alone cannot tell; the head can."""
    fill(directory, 3)
    last = newest(directory).read_bytes().splitlines()[-1]
    forged = logfiles.encode({"n": 3, "seq": 4, "prev": logfiles.digest(last)})
    with newest(directory).open("ab") as file:
        file.write(forged + b"\n")
    (place,) = verify(directory).broken
    assert place == ("egress.jsonl", 4, "added by something else than the log")


def test_it_is_seen_over_rotation_and_stays_seen(directory):
    fill(directory, 35, ROOM)
    change(directory / "egress.2.jsonl", lambda lines: lines[:-1])
    assert broken(directory) == [("egress.1.jsonl", 1)]
    fill(directory, 5, ROOM, first=35)
    assert broken(directory) == [("egress.1.jsonl", 1)]


def test_a_whole_file_is_missing(directory):
    fill(directory, 35, ROOM)
    (directory / "egress.2.jsonl").unlink()
    assert broken(directory) == [("egress.1.jsonl", 1)]
    (directory / "egress.3.jsonl").unlink()
    assert broken(directory) == [("egress.1.jsonl", 1)]
    newest(directory).unlink()
    assert len(broken(directory)) == 2


@pytest.mark.parametrize("content", [None, b"", b"0" * 82, b"\xff" * 500])
def test_a_head_that_says_nothing(directory, content):
    fill(directory, 3)
    (directory / "egress.head").unlink()
    if content is not None:
        (directory / "egress.head").write_bytes(content)
    assert broken(directory) == [("egress.head", 0)]
    fill(directory, 2, first=3)
    assert numbers(directory) == [0, 1, 2, 3, 4]
    assert broken(directory) == [("egress.jsonl", 4)]


@settings(deadline=None)
@given(data=st.data())
def test_any_change_is_seen(data):
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "log"
        fill(directory, 24, ROOM)
        path = data.draw(st.sampled_from(sorted(directory.glob("*.jsonl"))))
        before = path.read_bytes()
        at = data.draw(st.integers(0, len(before) - 2))  # the last byte only ends the line
        after = data.draw(
            st.sampled_from(
                [
                    before[:at] + bytes([before[at] ^ data.draw(st.integers(1, 255))])
                    + before[at + 1 :],
                    before[:at] + before[at + 1 :],
                    before[:at] + data.draw(st.binary(min_size=1, max_size=9)) + before[at:],
                    before[:at],
                    before[at + 1 :],
                ]
            )
        )  # fmt: skip
        path.write_bytes(after)
        assert bool(verify(directory).broken) == (after != before)
        list(records(directory))
        fill(directory, 3, ROOM, first=24)
        assert bool(verify(directory).broken) == (after != before)
        assert numbers_of_last(directory) == [24, 25, 26]


def numbers_of_last(directory):
    return [record.get("n") for record in list(records(directory))[-3:]]


@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=6).filter(lambda key: key not in {"seq", "prev"}),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=9),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=4,
            ),
        ),
        max_size=5,
    )
)
def test_any_records(written):
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "log"
        log = Log(directory)
        for record in written:
            log.append(record)
        log.close()
        read = list(records(directory))
        for record in read:
            del record["seq"], record["prev"]
        assert read == written
        assert verify(directory).broken == ()


def test_an_append_is_quick(directory):
    log = Log(directory)
    record = {"time": 1.5, "host": "example.org", "port": 443, "verdict": "allowed", "rule": "@pip"}
    taken = []
    for _ in range(500):
        start = time.perf_counter()
        log.append(record)
        taken.append(time.perf_counter() - start)
    assert sorted(taken)[250] < 0.001  # 0.04 ms alone; other tests run beside this one
