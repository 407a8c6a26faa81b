"""Records and messages of the helper: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import contextlib
import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.helper import protocol, wire
from clsecure.helper.protocol import REQUESTS, Exec, Found, Listener, Open, Plant, Seed, Session
from clsecure.helper.records import MAX_TEXT, BadField, Record

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
SESSION = {
    "worker": "w",
    "project": "/p",
    "session": "",
    "uid": 1,
    "human": 2,
    "mode": "user",
    "engine": "none",
    "workspace": "overlay",
    "base": "0",
    "git_dir": "/p/.git",
    "home": "/h",
    "objects": ["/o"],
    "created": 3,
}


def over_a_socket(message, kinds, descriptors=()):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        wire.send(ours, message, descriptors)
        return wire.receive(theirs, kinds)


@given(argv=st.lists(TEXT, max_size=4), cwd=TEXT, rows=st.integers(), confined=st.booleans())
def test_what_goes_in_comes_out(argv, cwd, rows, confined):
    message = Exec(argv=tuple(argv), environment=(), cwd=cwd, rows=rows, confined=confined)
    assert over_a_socket(message, REQUESTS) == (message, [])


def test_odd_bytes_of_a_path_survive():
    message = protocol.Find(project=os.fsdecode(b"/a\xff\xfeb"), session="")
    received = over_a_socket(message, REQUESTS)
    assert os.fsencode(received[0].project) == b"/a\xff\xfeb"


def test_what_does_not_fit_travels_in_a_memory_file():
    message = Exec(argv=("x" * 500_000,), environment=(), cwd="/")
    null = os.open("/dev/null", os.O_RDONLY)
    received, descriptors = over_a_socket(message, REQUESTS, (null,))
    assert received == message
    assert len(descriptors) == 1
    assert os.path.samestat(os.fstat(descriptors[0]), os.fstat(null))
    for each in (null, *descriptors):
        os.close(each)


def test_nested_and_optional_records():
    session = Session.from_json(SESSION)
    assert session.objects == ("/o",)
    assert session.commits == -1
    found = Found(session=session)
    assert Found.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert Found.from_json({"session": None}).session is None
    assert Plant.from_json({"seeds": [{"area": "git", "path": "HEAD", "mode": 420}]}).seeds == (
        Seed(area="git", path="HEAD", mode=420),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uid", True),
        ("uid", 1.0),
        ("uid", "1"),
        ("uid", None),
        ("running", 1),
        ("running", None),
        ("worker", 5),
        ("worker", None),
        ("worker", "a\0b"),
        ("worker", "\ud800"),
        ("worker", "x" * (MAX_TEXT + 1)),
        ("objects", "/o"),
        ("objects", {"0": "/o"}),
        ("objects", [["/o"]]),
        ("objects", [1]),
    ],
)
def test_a_wrong_type_is_refused_by_its_name(name, value):
    with pytest.raises(BadField, match=rf"^Session\.{name}: "):
        Session.from_json({**SESSION, name: value})


@pytest.mark.parametrize("name", ["worker", "uid", "objects", "created"])
def test_a_missing_field_is_refused(name):
    with pytest.raises(BadField, match=f"{name} is missing"):
        Session.from_json({key: value for key, value in SESSION.items() if key != name})


def test_a_field_too_many_is_refused():
    with pytest.raises(BadField, match="unknown field 'root'"):
        Session.from_json({**SESSION, "root": True})


@given(JSON)
def test_any_document_is_a_record_or_a_bad_field(document):
    for kind in (Session, Open, Exec, Listener):
        try:
            assert isinstance(kind.from_json(document), kind)
        except BadField as error:
            assert "\n" not in str(error)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_bad_field(raw):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(b"=" + raw)
        with contextlib.suppress(BadField):
            wire.receive(theirs, REQUESTS)


def test_an_answer_is_no_request():
    with pytest.raises(BadField, match="unknown verb"):
        over_a_socket(protocol.Removed(), REQUESTS)


def test_records_cannot_be_changed():
    record = Listener(role="proxy", address="127.0.0.1", port=1)
    with pytest.raises(AttributeError):
        record.port = 2
    assert record.replace(port=2).port == 2
    assert record.port == 1
    assert record != record.replace(port=2)
    assert hash(record) == hash(record.replace())
    with pytest.raises(TypeError):
        Listener(role="", address="")
    with pytest.raises(TypeError):
        Listener(role="", address="", port=1, more=1)


def test_every_field_of_every_message_can_be_checked():
    # A field type that `from_json` does not know would be a KeyError in root's process.
    for kinds in (REQUESTS, protocol.ANSWERS, protocol.INIT_ANSWERS):
        for kind in kinds.values():
            assert issubclass(kind, Record)
            for name, _ in kind._fields:
                document = {other: object() for other, _ in kind._fields}
                with pytest.raises(BadField):
                    kind.from_json({**document, name: object()})
