"""Limits in settings: how they are written, and that a project can only lower them."""

import pytest

from clsecure import amounts
from clsecure.config import merge, parse
from clsecure.declaration import Kind
from clsecure.errors import ExitCode, UserError
from clsecure.options import BY_NAME
from clsecure.values import Layer, Origin, convert

PROJECT = Origin(Layer.PROJECT, ".clsecure/config")
USER = Origin(Layer.USER, "/home/me/config")


def effective(name, *, project=None, user=None, flag=None):
    entries = []
    for origin, text in ((PROJECT, project), (USER, user)):
        if text is not None:
            entries += parse(f"{name} = {text}", origin).entries
    if flag is not None:
        entries.append(convert(BY_NAME[name], flag, Origin(Layer.COMMAND_LINE, f"--{name}")))
    config = merge(entries)
    return getattr(config, name), config.origin(name).layer


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("memory", "512M", 512 << 20),
        ("memory", "4g", 4 << 30),
        ("memory", "1.5 GiB", 3 << 29),
        ("memory", "100000K", 100_000 << 10),
        ("disk", "67108864", 64 << 20),
        ("disk", "2TB", 2 << 40),
        ("disk", "Unlimited", None),
        ("cpus", "2", 2.0),
        ("cpus", "1.5", 1.5),
        ("pids", "100", 100),
        ("pids", "unlimited", None),
        ("time", "90s", 90),
        ("time", "90", 90),
        ("time", "30m", 1800),
        ("time", "1h30m", 5400),
        ("time", "2D", 172_800),
    ],
)
def test_how_they_are_written(name, text, expected):
    assert effective(name, user=text) == (expected, Layer.USER)


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("memory", "63M", "64M to 1024T, or unlimited"),
        ("memory", "-1G", "64M to"),
        ("memory", "1e9", "64M to"),
        ("memory", "4 GB/s", "64M to"),
        ("memory", "", "64M to"),
        ("memory", "\u0661\u0662G", "64M to"),
        ("disk", "31M", "32M to 8T"),
        ("disk", "9" * 400, "32M to"),
        ("cpus", "0", "0.05 to 8192"),
        ("cpus", "nan", "0.05 to"),
        ("cpus", "1,5", "0.05 to"),
        ("pids", "15", "16 to"),
        ("pids", "1.5", "16 to"),
        ("time", "0s", "1s to"),
        ("time", "1w", "1s to"),
        ("time", "m", "1s to"),
    ],
)
def test_what_is_no_limit_is_refused_with_what_is_allowed(name, text, hint):
    with pytest.raises(UserError) as caught:
        effective(name, user=text)
    assert f"/home/me/config:1: {name} cannot be" in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("project", "user", "flag", "expected"),
    [
        (None, None, None, (None, Layer.DEFAULT)),
        ("1G", None, None, (1 << 30, Layer.PROJECT)),
        ("1G", "2G", None, (1 << 30, Layer.PROJECT)),
        ("3G", "2G", None, (2 << 30, Layer.USER)),
        ("2G", "2G", None, (2 << 30, Layer.USER)),
        ("unlimited", "2G", None, (2 << 30, Layer.USER)),
        ("unlimited", None, None, (None, Layer.DEFAULT)),
        ("1G", "unlimited", None, (1 << 30, Layer.PROJECT)),
        ("1G", "2G", "4G", (4 << 30, Layer.COMMAND_LINE)),
        ("8G", None, "4G", (4 << 30, Layer.COMMAND_LINE)),
        ("1G", None, "unlimited", (None, Layer.COMMAND_LINE)),
    ],
)
def test_a_project_may_only_lower_what_the_person_has(project, user, flag, expected):
    assert effective("memory", project=project, user=user, flag=flag) == expected


@pytest.mark.parametrize("name", ["cpus", "pids", "disk", "time"])
def test_so_for_every_limit(name):
    low, high = {
        "cpus": ("0.5", "1.5"),
        "pids": ("64", "100"),
        "disk": ("64M", "1G"),
        "time": ("90s", "30m"),
    }[name]
    assert effective(name, project=low, user=high)[1] is Layer.PROJECT
    assert effective(name, project=high, user=low)[1] is Layer.USER


def test_trust_does_not_let_a_project_raise_them():
    entries = [
        *parse("memory = 8G", PROJECT).entries,
        *parse("memory = 2G", USER).entries,
    ]
    assert merge(entries, trusted=True).memory == 2 << 30


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Kind.SIZE, 512 << 20, "512M"),
        (Kind.SIZE, 3 << 29, "1.5G"),
        (Kind.SIZE, 1000, "1000"),
        (Kind.TIME, 90, "90s"),
        (Kind.TIME, 5400, "1h30m"),
        (Kind.CPUS, 1.5, "1.5"),
        (Kind.CPUS, 2.0, "2"),
        (Kind.COUNT, 100, "100"),
        (Kind.SIZE, None, "unlimited"),
    ],
)
def test_words_for_a_person(kind, value, expected):
    assert amounts.words(kind, value) == expected
