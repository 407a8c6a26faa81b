"""Where things are."""

from pathlib import Path

from clsecure import paths, process


def test_relative_directories_are_ignored_as_the_specification_says():
    environ = {"HOME": "/h", "XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config"}
    assert paths.state_directory(environ) == Path("/h/.local/state/clsecure")
    assert paths.user_config_files(environ)[0] == Path("/h/.config/clsecure/config")


def test_home_without_the_variable():
    assert paths.home({}).is_absolute()


class TestTop:
    def test_agrees_with_git(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        top = tmp_path / "project"
        deep = top / "a" / "b"
        deep.mkdir(parents=True)
        process.run("git", "init", "-q", top)
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        process.run("git", "-C", top, *identity, "commit", "-q", "--allow-empty", "-m", "one")
        process.run("git", "-C", top, "worktree", "add", "-q", tmp_path / "tree")
        (tmp_path / "tree" / "c").mkdir()
        (deep / ".git").mkdir()  # not a repository, and git looks further up, too
        for place in (top, deep, tmp_path / "tree", tmp_path / "tree" / "c"):
            said = process.run("git", "-C", place, "rev-parse", "--show-toplevel").text
            assert paths.find_top(place) == Path(said.rstrip("\n"))

    def test_outside(self, tmp_path):
        assert paths.find_top(tmp_path) is None
