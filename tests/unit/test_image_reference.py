"""What a person writes for an image, and what is made of skopeo's complaints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.errors import ExitCode, UserError
from clsecure.helper.imagerecords import Image
from clsecure.images import choose, complaints, reference, unused

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12", "docker.io/library/debian:12"),
        ("someone/tool", "docker.io/someone/tool:latest"),
        ("docker.io/debian:12", "docker.io/library/debian:12"),
        ("docker://docker.io/library/debian:12", "docker.io/library/debian:12"),
        ("registry.example.org/a/b/c:v1.2-x", "registry.example.org/a/b/c:v1.2-x"),
        ("registry.example.org:5000/a", "registry.example.org:5000/a:latest"),
        ("registry:5000/a:1", "registry:5000/a:1"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a__b/c--d:1", "localhost:5000/a__b/c--d:1"),
        ("[::1]:5000/a:1", "[::1]:5000/a:1"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}"),
        (f"debian:12@{DIGEST}", f"docker.io/library/debian@{DIGEST}"),  # the digest decides
    ],
)
def test_a_reference_is_completed(tmp_path, text, name):
    found = reference.parse(text, tmp_path)
    assert found.name == name
    assert found.source == f"docker://{name}"
    assert reference.parse(name, tmp_path) == found


@pytest.mark.parametrize(
    ("text", "is_local"),
    [
        ("localhost/a", True),
        ("localhost:5000/a", True),
        ("127.0.0.1:5000/a", True),
        ("127.9.9.9/a", True),
        ("[::1]:5000/a", True),
        ("127.0.0.1.example.org/a", False),
        ("localhost.example.org/a", False),
        ("192.168.1.1:5000/a", False),
        ("debian", False),
    ],
)
def test_tls_is_done_without_on_loopback_alone(tmp_path, text, is_local):
    assert reference.parse(text, tmp_path).is_local is is_local


@pytest.mark.parametrize(
    "text",
    ["", "-x", "--creds=a", "a b", "UPPER", "a/../b", "/a", "a/", "a:", "a@sha256:12", "a\n",
     "docker://", "dir:/etc", "oci-archive:", "oci-archive:none.tar", "docker-archive:/",
     "a" * 2000],
)  # fmt: skip
def test_what_is_none_is_refused(tmp_path, text):
    with pytest.raises(UserError) as refused:
        reference.parse(text, tmp_path)
    assert refused.value.code == ExitCode.USAGE


@given(st.text(max_size=60))
def test_whatever_is_written_becomes_no_option(text):
    from pathlib import Path

    try:
        found = reference.parse(text, Path("/nowhere"))
    except UserError:
        return
    assert found.source.startswith("docker://")
    assert found.source.isprintable()
    assert " " not in found.source


def test_an_archive_is_named_by_its_whole_path(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"")
    found = reference.parse("oci-archive:a.tar:1", tmp_path)
    assert found.name == found.source == f"oci-archive:{tmp_path}/a.tar:1"


def image(digits, *references, running=False):
    return Image(
        digest="sha256:" + digits * 32,
        references=references,
        size=1,
        entries=1,
        architecture="",
        environment=(),
        entrypoint=(),
        command=(),
        directory="",
        created="",
        pulled=0,
        running=running,
    )


STORE = (image("ab", "docker.io/library/debian:12"), image("ac"), image("ad", running=True))


@pytest.mark.parametrize("text", ["debian:12", "ababab", "sha256:ababababab", "ABABAB"])
def test_an_image_is_chosen_by_name_or_digest(tmp_path, text):
    assert choose(STORE, text, tmp_path) is STORE[0]


@pytest.mark.parametrize("text", ["debian:13", "abcdef", "abab"])
def test_no_image_is_chosen_by_chance(tmp_path, text):
    with pytest.raises(UserError, match="there is no image"):
        choose(STORE, text, tmp_path)


def test_two_images_of_one_beginning(tmp_path):
    with pytest.raises(UserError, match="more than one"):
        choose((image("ab"), image("ab")), "ababab", tmp_path)


def test_what_nobody_uses():
    assert unused(STORE, {STORE[0].digest}) == (STORE[1],)
    assert unused(STORE, ()) == STORE[:2]


def explained(message):
    source = reference.parse("registry.example.org/a:1", None)  # type: ignore[arg-type]
    return complaints.explain(f'time="x" level=fatal msg="{message}"\n', source)


@pytest.mark.parametrize(
    ("message", "words", "code"),
    [
        ("writing blob: no space left on device", "no room to fetch", 4),
        ("copying: Digest did not match, expected a, got b", "does not have the digest", 3),
        ("reading blob: unexpected EOF", "cut short", 1),
        ("pinging: dial tcp 10.0.0.1:443: connect: connection refused", "cannot be reached", 1),
        ("dial tcp: lookup x: no such host", "cannot be reached", 1),
        ("reading manifest 1 in x: manifest unknown", "there is no image", 2),
        ("unauthorized: authentication required", "does not let you have", 3),
        (r"choosing image: no image found in manifest list for \"x\"", "architecture", 2),
    ],
)
def test_a_complaint_that_is_known(message, words, code):
    error = explained(message)
    assert words in error.message
    assert "registry.example.org/a:1" in error.message
    assert error.hint
    assert error.code == code


def test_a_complaint_that_is_not_known_is_passed_on():
    error = explained(r"something \"new\" " + "x" * 1000)
    assert error.message.startswith("registry.example.org/a:1 cannot be fetched: ")
    assert len(error.message) < 400
