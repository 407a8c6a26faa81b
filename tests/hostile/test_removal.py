"""A worker's removal is complete, and says so only when it is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import remains
from caller import Caller, open_request

from clsecure.helper.protocol import Failed, List, Listed, Opened, Remove, Removed

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def project(human):
    return human.repository()


@pytest.fixture
def session(human, project, request):
    """A kept session."""
    name = f"gone-{abs(hash(request.node.name)) % 10**6}"
    with Caller(human.account.pw_uid) as caller:
        answer = caller.ask(open_request(human, project, session=name))
        assert isinstance(answer, Opened), answer
    return answer.session


def remove(human, session):
    with Caller(human.account.pw_uid) as caller:
        answer = caller.ask(Remove(worker=session.worker))
    assert caller.said == ""
    return answer


def test_nothing_is_left(human, session):
    places = [Path(at, f"left-{session.uid}") for at in ("/tmp", "/var/tmp", "/dev/shm")]
    mail = Path("/var/mail", session.worker)
    mail.parent.mkdir(exist_ok=True)
    for path in (*places, mail):
        path.write_text("x")
        os.chown(path, session.uid, session.uid)
    assert len(remains.names(session.worker)) >= 4  # as a control: it was there
    assert isinstance(remove(human, session), Removed)
    assert remains.names(session.worker) == {}
    assert not remains.has_user(session.worker)
    assert not [path for path in places if path.exists()]
    assert [
        path for path in Path("/var/lib/clsecure").iterdir() if path.name == session.worker
    ] == []


def test_a_process_of_the_workers_elsewhere_is_ended(human, session):
    process = subprocess.Popen(
        [
            "setpriv",
            f"--reuid={session.uid}",
            "--clear-groups",
            "sh",
            "-c",
            "trap '' TERM; sleep 300",
        ]
    )
    assert isinstance(remove(human, session), Removed)
    assert process.wait(5) == -9


@pytest.mark.parametrize("place", ["home", "upper"])
def test_a_file_that_cannot_be_removed_is_named(human, session, place):
    path = remains.STATE / session.worker / place / "stays"
    path.write_text("x")
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        answer = remove(human, session)
        assert isinstance(answer, Failed), answer
        assert answer.code == 1
        assert "stays" in answer.message
        with Caller(human.account.pw_uid) as caller:
            kept = caller.ask(List()).sessions
        assert session.worker in [one.worker for one in kept]  # it can be tried again
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    assert isinstance(remove(human, session), Removed)
    assert remains.names(session.worker) == {}


def test_a_leftover_in_a_shared_place_is_named(human, session):
    path = Path("/tmp", f"left-{session.uid}")
    path.mkdir()
    os.chown(path, session.uid, session.uid)
    answer = remove(human, session)
    assert isinstance(answer, Failed)
    assert str(path) in answer.message
    assert remains.has_user(session.worker)
    path.rmdir()
    assert isinstance(remove(human, session), Removed)


def test_the_command_says_so_too(human):
    project = human.repository("src/says")
    human.clsecure("exec", "--mode", "user", "--", "true", cwd=project)
    worker = next(one for one in human.workers() if one.startswith("claude-worker-says-"))
    path = remains.STATE / worker / "home/stays"
    path.write_text("x")
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        for words in (("cleanup", "--all", "--yes"), ("discard", "--yes")):
            ended = human.clsecure(*words, cwd=project, code=None)
            assert ended.returncode != 0, words
            assert "removed: " + worker not in ended.stdout
            assert len(ended.stderr.splitlines()) <= 2
            if words[0] == "cleanup":
                assert "stays" in ended.stderr
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    ended = human.clsecure("cleanup", "--all", "--yes", cwd=project)
    assert f"removed: {worker}" in ended.stdout
    assert remains.names(worker) == {}


def test_a_file_that_only_has_the_name_does_not_stop_it(human, other, session):
    # Anybody may make this in /tmp: it must neither be removed nor be in the way.
    path = Path("/tmp", session.worker)
    other.run("mkdir", path)
    assert isinstance(remove(human, session), Removed)
    assert path.is_dir()
    path.rmdir()


def test_user_ids_are_not_used_again(human, project):
    seen = []
    for number in range(3):
        with Caller(human.account.pw_uid) as caller:
            answer = caller.ask(open_request(human, project, session=f"id{number}"))
            seen.append(answer.session.uid)
            caller.discard(answer)
    assert sorted(set(seen)) == seen


def test_a_user_of_another_tool_is_left_alone(human, project):
    request = open_request(human, project, session="foreign")
    theirs = request.workers[0]
    subprocess.run(["useradd", "--no-create-home", theirs], check=True)
    try:
        with Caller(human.account.pw_uid) as caller:
            answer = caller.ask(request)
            assert isinstance(answer, Opened), answer
            assert answer.session.worker == request.workers[1]
            caller.discard(answer)
            only = request.replace(workers=(theirs,))
            answer = caller.ask(only)
            assert isinstance(answer, Failed)
            assert answer.code == 5
        assert remains.has_user(theirs)
    finally:
        subprocess.run(["userdel", theirs], check=True)


def test_a_damaged_record_hides_no_other_session(human, session):
    record = remains.STATE / session.worker / "record.json"
    before = record.read_text()
    damages = ("{", "", "[]", "\xff", json.dumps({**json.loads(before), "project": [1]}))
    try:
        for damage in damages:
            record.write_text(damage, encoding="latin-1")
            with Caller(human.account.pw_uid) as caller:
                listed = caller.ask(List())
                assert isinstance(listed, Listed), (damage, listed)
                assert session.worker not in [one.worker for one in listed.sessions]
            assert isinstance(remove(human, session), Failed)
    finally:
        record.write_text(before)
    assert isinstance(remove(human, session), Removed)


def test_a_state_that_is_a_link_is_not_followed(human, session, tmp_path):
    state = remains.STATE / session.worker
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    (state / "home").rename(state / "home-aside")
    (state / "home").symlink_to(elsewhere)
    assert isinstance(remove(human, session), Removed)
    assert (elsewhere / "file").read_text() == "x"
