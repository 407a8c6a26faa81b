"""Which files of a tree are hidden from a session."""

import os

import pytest
from gitworld import git, write

from clsecure.errors import UserError
from clsecure.reachoptions import HIDDEN
from clsecure.workspace.masks import start_scan

SECRET = [
    ".env",
    ".env.local",
    "a/.env",
    "a/b/.env.production",
    "server.pem",
    "tls.key",
    "x.p12",
    "x.pfx",
    "x.keystore",
    "x.jks",
    "vault.kdbx",
    "id_rsa",
    "id_ed25519_work",
    ".netrc",
    "_netrc",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    "main.tfstate",
    "main.tfstate.backup",
    "credentials.json",
    "credentials-prod.json",
    "service-account-1.json",
    ".ENV",
    "UPPER.PEM",
]
PUBLIC = [
    ".env.example",
    ".env.sample",
    ".env.prod.template",
    ".env.dist",
    "id_rsa.pub",
    "id_ed25519_work.pub",
    "environment.py",
    "keys.py",
    "pem",
    "credentials.py",
    "node_modules/x/test.pem",
    ".venv/cacert.pem",
    "target/debug/a.key",
    "src/main.py",
]
ODD = ["new\nline.pem", "c.pem\nd", ".env.new\nline", " .pem", os.fsdecode(b"\xff.pem"), "-x.key"]


def scan(world, **options):
    return start_scan(world.repository, **options).result()


def test_secrets_are_hidden_and_the_rest_is_not(world):
    for name in (*SECRET, *PUBLIC, *ODD):
        write(world.top / name, "x")
    hidden = set(scan(world))
    assert hidden == {*SECRET, *ODD} - {"c.pem\nd"}


def test_directories_are_hidden_whole(world):
    write(world.top / "home/.aws/credentials", "x")
    write(world.top / "home/.aws/key.pem", "x")
    write(world.top / ".ssh/id_rsa", "x")
    (world.top / ".gnupg").symlink_to(".ssh")
    assert scan(world) == (".gnupg", ".ssh", "home/.aws")


def test_what_git_tracks_is_never_hidden(world):
    for name in ("tests/cert.pem", "tests/other.pem", ".ssh/config", ".ssh/deep/id", ".env"):
        write(world.top / name, "x")
    world.git("add", "-f", "tests/cert.pem", ".ssh/config", ".env")
    assert scan(world) == (".ssh/deep/id", "tests/other.pem")


def test_many_matches_are_asked_about_at_once(world):
    for number in range(120):
        write(world.top / f"certs/{number}.pem", "x")
    world.git("add", "certs/7.pem")
    write(world.top / "certs/x:(glob)*.pem", "x")
    hidden = scan(world)
    assert len(hidden) == 120
    assert "certs/7.pem" not in hidden


def test_a_submodule_answers_for_its_own_files(world):
    git(world.top, "init", "-q", "lib")
    write(world.top / "lib/test.pem", "x")
    write(world.top / "lib/a/b.pem", "x")
    git(world.top / "lib", "add", "test.pem")
    assert scan(world) == ("lib/a/b.pem",)


def test_a_virtual_environment_called_env(world):
    write(world.top / ".env/pyvenv.cfg", "x")
    write(world.top / ".env/bin/python", "x")
    assert scan(world) == ()


@pytest.mark.parametrize(
    ("hide", "show", "expected"),
    [
        (["secret*"], [], {"secret.txt", "a/secret.txt"}),
        (["a/secret.txt"], [], {"a/secret.txt"}),
        (["/secret.txt"], [], {"secret.txt"}),
        (["**/b/*.txt"], [], {"a/b/x.txt", "b/x.txt"}),
        (["a/*"], [], {"a/secret.txt", "a/b"}),
        (["a/**"], [], {"a/secret.txt", "a/b"}),
        (["b"], [], {"a/b", "b"}),
        (["x.[ct]xt"], [], {"a/b/x.txt", "b/x.txt"}),
        (["x.[!t]xt"], [], set()),
        (["?.txt"], ["b/x.txt"], {"a/b/x.txt"}),
        (["a+b(c).txt"], [], {"a+b(c).txt"}),
        ([], [], set()),
        (["[x.txt"], [], set()),
    ],
)
def test_patterns(world, hide, show, expected):
    for name in ("secret.txt", "a/secret.txt", "a/b/x.txt", "b/x.txt", "a+b(c).txt"):
        write(world.top / name, "x")
    assert set(scan(world, hide=hide, show=show)) == expected


def test_show_lifts_a_default(world):
    write(world.top / ".env", "x")
    write(world.top / "a/.env", "x")
    assert scan(world, hide=HIDDEN, show=["a/.env"]) == (".env",)
    assert scan(world, show=[".env"]) == ()


def test_failures_are_not_taken_for_nothing_found(world, monkeypatch):
    with pytest.raises(UserError, match="not a pattern") as caught:
        start_scan(world.repository, hide=["[z-a]"])
    assert caught.value.code == 2
    write(world.tmp_path / "bin/find", "#!/bin/sh\nexit 9\n", 0o755)
    monkeypatch.setenv("PATH", f"{world.tmp_path}/bin:{os.environ['PATH']}")
    running = start_scan(world.repository)
    with pytest.raises(UserError, match="search for secrets") as caught:
        running.result()
    assert caught.value.code == 3
    repository = world.repository
    monkeypatch.setenv("PATH", str(world.tmp_path))
    with pytest.raises(UserError, match="find is not installed") as caught:
        start_scan(repository)
    assert caught.value.code == 4
