"""Programs beside ours: what they write, how they end, and that nothing of them stays."""

import os
import signal
import subprocess
import time
from functools import partial

import pytest

from clsecure import jsontext
from clsecure.program import Program, spawn

BOTH = "i=0; while [ $i -lt 40000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done; exit 3"


def shell(script, at="", **more):
    return Program(("sh", "-c", script), {**os.environ, **more}, at=at)


def descriptors():
    return set(os.listdir("/proc/self/fd"))


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_output_beyond_what_a_pipe_holds_comes_whole():
    before = descriptors()
    code, output, said = shell(BOTH).result()
    assert code == 3
    assert output.split() == [b"out%d" % n for n in range(40_000)]
    assert said.split() == [b"err%d" % n for n in range(40_000)]
    assert descriptors() == before


def test_the_code_of_a_signal_is_negative():
    assert shell("kill -TERM $$").result() == (-signal.SIGTERM, b"", b"")


def test_its_world_is_what_was_said(tmp_path):
    here, before = os.getcwd(), descriptors()
    own = os.fsencode(str(os.dup2(0, 200, inheritable=False)))
    program = shell("pwd; echo $WORD; cat; ls /proc/self/fd", at=str(tmp_path), WORD="said")
    assert os.getcwd() == here
    _, output, _ = program.result()
    os.close(int(own))
    place, word, *there = output.split()
    assert (place, word) == (os.fsencode(tmp_path), b"said")
    assert {b"0", b"1", b"2"} <= set(there)
    assert own not in there
    assert descriptors() == before


def test_it_reads_what_it_is_given(tmp_path):
    (tmp_path / "given").write_text("words\n")
    with (tmp_path / "given").open("rb") as file:
        assert Program(("cat",), os.environ, stdin=file.fileno()).result() == (0, b"words\n", b"")


def test_a_closed_reader_ends_it():
    # Python ignores SIGPIPE, and its children would inherit that.
    read, write = os.pipe2(os.O_CLOEXEC)
    os.close(read)
    pid = spawn(("sh", "-c", "echo words"), os.environ, {1: write})
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGPIPE


@pytest.mark.parametrize(
    ("argv", "at"), [(("no-such-program",), ""), (("true",), "/no-such-directory")]
)
def test_what_is_not_there_is_said(argv, at):
    before, here = descriptors(), os.getcwd()
    with pytest.raises(FileNotFoundError):
        Program(argv, os.environ, at=at)
    assert (descriptors(), os.getcwd()) == (before, here)


def test_closing_ends_it_and_may_be_repeated():
    before = descriptors()
    program = shell("echo $$; exec sleep 60")
    pid = program._pid
    program.close()
    program.close()
    assert not is_alive(pid)
    assert descriptors() == before


def test_git_leaves_no_lock_when_it_is_ended(tmp_path):
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True)
    run(("git", "init", "-q", "-b", "main", "."))
    given, ours = os.pipe2(os.O_CLOEXEC)
    words = ("git", "update-ref", "--stdin")
    program = Program(words, os.environ, at=str(tmp_path), stdin=given)
    tree = run(("git", "hash-object", "-w", "-t", "tree", "/dev/null")).stdout.decode().strip()
    commit = (*("git", "-c", "user.name=x", "-c", "user.email=x"), "commit-tree", "-m", "x", tree)
    made = run(commit).stdout.decode().strip()
    os.write(ours, f"start\nupdate refs/x/base {made}\nprepare\n".encode())
    lock = tmp_path / ".git/refs/x/base.lock"
    deadline = time.monotonic() + 30
    while not lock.exists():
        assert time.monotonic() < deadline
    program.close()
    os.close(ours)
    os.close(given)
    assert not lock.exists()


def test_an_interrupt_leaves_nothing():
    before = descriptors()
    program = shell("exec sleep 60")
    pid = program._pid
    before_it = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            program.result()
    finally:
        signal.signal(signal.SIGALRM, before_it)
    assert time.monotonic() - began < 30
    assert not is_alive(pid)
    assert descriptors() == before


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\\u00e9"]}', {"a": [1, 2.5, None, True, "\u00e9"]}),
        ('{"ä": "é\U0001f600"}'.encode(), {"ä": "é\U0001f600"}),
        (b" [] \n", []),
    ],
)
def test_json_of_all_languages(content, value):
    assert jsontext.read(content) == value


@pytest.mark.parametrize("content", [b"", b"{", b"{} {}", b"\xff", b'{"a": NaN}', "é".encode()])
def test_what_is_no_json(content):
    with pytest.raises(ValueError, match=r"JSON|decode|Expecting"):
        jsontext.read(content)
