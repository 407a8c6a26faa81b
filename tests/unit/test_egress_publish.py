"""The words of --publish."""

from __future__ import annotations

import pytest

from clsecure.egress.publish import Publication, parse
from clsecure.errors import UserError


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("3000", ("127.0.0.1", 3000, 3000)),
        ("8080:3000", ("127.0.0.1", 8080, 3000)),
        ("0.0.0.0:3000", ("0.0.0.0", 3000, 3000)),
        ("0.0.0.0:8080:3000", ("0.0.0.0", 8080, 3000)),
        ("[::1]:8080:3000", ("::1", 8080, 3000)),
        ("[::1]:3000", ("::1", 3000, 3000)),
    ],
)
def test_forms(text, meant):
    assert parse(text) == Publication(*meant)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "0",
        "65536",
        "x",
        "3000:",
        ":3000",
        "a:b:c",
        "1:2:3:4",
        "-1",
        "3000/udp",
        "host:3000",
        "::1:3000",
    ],
)
def test_nonsense(text):
    with pytest.raises(UserError) as caught:
        parse(text)
    assert caught.value.code == 2
    assert "8080:3000" in caught.value.hint
