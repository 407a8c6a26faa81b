"""One session is one at a time; different sessions are none of each other's business."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import remains
from caller import Caller, open_request

from clsecure.helper.protocol import Failed, Opened, Remove

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def project(human):
    return human.repository()


def test_a_second_start_says_busy_and_harms_nothing(human, project):
    human.agent("echo work > work.txt; echo ready > ~/ready; sleep 300")
    first = human.start("--mode", "user", cwd=project, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    worker = None
    while time.monotonic() < deadline:
        found = list(remains.STATE.glob("claude-worker-project-*/home/ready"))
        if found:
            worker = found[0].parent.parent.name
            break
        time.sleep(0.05)
    assert worker, "the first did not start"
    for words in (
        (),
        ("--fresh", "--yes"),
        ("exec", "--", "true"),
        ("import", "--yes"),
        ("discard", "--yes"),
        ("show",),
        ("cleanup", "--yes"),
        ("cleanup", "--all", "--yes"),
    ):
        ended = human.clsecure(*words, cwd=project, code=5)
        assert "running already" in ended.stderr, words
        assert len(ended.stderr.splitlines()) <= 2
    assert first.poll() is None
    listed = json.loads(human.clsecure("list", "--json").stdout)
    assert [session["status"] for session in listed] == ["running"]
    assert remains.is_locked(worker)
    words = ["pkill", "-TERM", "-u", str(human.account.pw_uid), "-f", "clsecure"]
    subprocess.run(words, check=True)
    first.wait(20)
    assert not remains.is_locked(worker)
    human.clsecure("import", "--branch", "b", "--yes", cwd=project)
    assert human.run("git", "show", "b:work.txt", cwd=project).stdout == "work\n"
    human.clsecure("discard", "--yes", cwd=project)


def test_two_first_starts_at_once_make_one_session(human, project):
    def start(_):
        with Caller(human.account.pw_uid) as caller:
            answer = caller.ask(open_request(human, project, session="race"))
            time.sleep(1)
            return answer

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(start, range(4)))
    opened = [answer for answer in answers if isinstance(answer, Opened)]
    refused = [answer for answer in answers if isinstance(answer, Failed)]
    assert len(opened) == 1, answers
    assert {answer.code for answer in refused} == {5}
    with Caller(human.account.pw_uid) as caller:
        again = caller.ask(open_request(human, project, session="race", action="resume"))
        assert again.session.worker == opened[0].session.worker
        caller.discard(again)


def test_ten_sessions_at_once(human, project):
    names = [f"s{number}-{secrets.token_hex(2)}" for number in range(10)]

    def work(name):
        source = f"echo {name} > {name}.txt; sleep 0.5; id -un"
        words = ("exec", "--mode", "user", "--session", name, "--", "sh", "-c", source)
        return human.clsecure(*words, cwd=project).stdout.split()[-1]

    with ThreadPoolExecutor(10) as pool:
        workers = list(pool.map(work, names))
    assert len(set(workers)) == 10
    listed = {
        session["session"]: session["worker"]
        for session in json.loads(human.clsecure("list", "--json").stdout)
    }
    assert {name: listed[name] for name in names} == dict(zip(names, workers, strict=True))
    with Caller(human.account.pw_uid) as caller:
        for worker in workers:
            assert (remains.STATE / worker / "upper").is_dir()
            caller.ask(Remove(worker=worker))
    assert [worker for worker in workers if remains.names(worker)] == []
