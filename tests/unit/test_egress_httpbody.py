"""The body ends where it says, and what follows is nobody's second request."""

import http.client
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.egress.httpbody import MAX_LINE, Body
from clsecure.egress.httphead import BadHead, Head, parse

SECOND = b"GET /second HTTP/1.1\r\nHost: other.test\r\n\r\n"
PIECES = st.lists(st.integers(0, 400), max_size=6)


def fed(body, data, cuts):
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return b"".join(body.take(data[start:end]) for start, end in itertools.pairwise(edges))


def head(length=None):
    field = ("Transfer-Encoding", b"chunked")
    if length is not None:
        field = ("Content-Length", str(length).encode())
    return Head("POST", "/", "HTTP/1.1", (field,))


class Recorder:
    """Stands where a socket would, and keeps what is sent."""

    def __init__(self):
        self.sent = b""

    def sendall(self, data):
        self.sent += data

    def close(self):
        pass


def request_of_python(chunks):
    connection = http.client.HTTPConnection("example.org")
    connection.sock = recorder = Recorder()
    connection.request("POST", "/", iter(chunks), encode_chunked=True)
    return recorder.sent


@given(data=st.binary(max_size=300), cuts=PIECES)
def test_a_length(data, cuts):
    body = Body(head(len(data)))
    assert fed(body, data + SECOND, cuts) == data
    assert body.is_complete


@given(chunks=st.lists(st.binary(min_size=1, max_size=90), max_size=4), cuts=PIECES)
def test_chunks_as_another_program_writes_them(chunks, cuts):
    sent = request_of_python(chunks)
    read, length = parse(sent)
    body = Body(read)
    assert fed(body, sent[length:] + SECOND, cuts) == sent[length:]
    assert body.is_complete


@given(chunks=st.lists(st.binary(min_size=1, max_size=90), max_size=4))
def test_no_part_is_taken_for_the_whole(chunks):
    sent = request_of_python(chunks)
    data = sent[parse(sent)[1] :]
    body = Body(head())
    for at in range(len(data)):
        assert not body.is_complete
        assert body.take(data[at : at + 1]) == data[at : at + 1]
    assert body.is_complete


def test_a_trailer():
    data = b"3\r\nabc\r\n0\r\nX-Sum: 5\r\nX-Other: 6\r\n\r\n"
    body = Body(head())
    assert body.take(data + SECOND) == data


def test_no_body():
    body = Body(head(0))
    assert body.is_complete
    assert body.take(SECOND) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\r\n0\n\r\n",
        b"3\r\nabc\r\n0\r\n\n",
        b"3\rX\nabc\r\n",
        b"3\r\r\nabc\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nab\r\n0\r\n\r\n",
        b"3;a=b\r\nabc\r\n0\r\n\r\n",
        b"3;\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"-1\r\nabc\r\n0\r\n\r\n",
        b"1_0\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"g\r\n",
        b"1" + b"0" * 15 + b"\r\n",
        b"0" * (MAX_LINE + 1),
        b"0\r\nContent-Length: 3\r\n\r\n",
        b"0\r\nTransfer_Encoding: chunked\r\n\r\n",
        b"0\r\nHost: other.test\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\n" + SECOND,
        b"0\r\n" + b"A: bbbbbb\r\n" * 1000,
    ],
)
def test_refusals(data):
    for size in (1, len(data)):
        body = Body(head())
        with pytest.raises(BadHead):
            fed(body, data, range(0, len(data), size))
        assert not body.is_complete


@given(
    data=st.lists(
        st.sampled_from([b"\r\n", b"\n", b"\r", b"0", b"3", b"a", b";", b"abc", b"A: b", b" "]),
        max_size=14,
    ).map(b"".join),
    cuts=PIECES,
)
def test_the_standard_library_reads_the_same_end(data, cuts):
    body = Body(head())
    try:
        taken = fed(body, data, cuts)
    except BadHead:
        return
    assert data.startswith(taken)
    if body.is_complete:
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        reader = io.BytesIO(answer + data)
        reader.makefile = lambda *_: reader
        reader.close = lambda: None
        response = http.client.HTTPResponse(reader)
        response.begin()
        response.read()
        assert reader.read() == data[len(taken) :]
