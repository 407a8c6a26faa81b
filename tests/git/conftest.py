"""Every test has a HOME and a git configuration of its own; the machine's are locked out."""

import os

import pytest
from gitworld import World


@pytest.fixture(autouse=True)
def hermetic(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("GIT_", "XDG_", "SSH_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Human\n\temail = human@example.org\n[init]\n\tdefaultBranch = main\n"
    )
    return home


@pytest.fixture
def world(tmp_path, hermetic):
    return World(tmp_path)
