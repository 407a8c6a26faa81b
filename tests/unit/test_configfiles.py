"""Reading real files: which one counts, what a repository can plant, and the environment."""

import os

import pytest

from clsecure.choices import Docker, Mode, Provider
from clsecure.configfiles import load, read_project
from clsecure.errors import ExitCode, UserError
from clsecure.paths import state_directory
from clsecure.store import Store
from clsecure.values import Entry, Layer, Origin


class World:
    """A home and a project."""

    def __init__(self, root):
        self.home = root / "home"
        self.top = root / "project"
        (self.home / ".config/clsecure").mkdir(parents=True)
        (self.top / ".clsecure").mkdir(parents=True)
        self.environ = {"HOME": str(self.home)}
        self.user_file = self.home / ".config/clsecure/config"
        self.project_file = self.top / ".clsecure/config"

    def load(self, *given):
        return load(self.top, self.environ, given)

    def refuse(self, *given):
        with pytest.raises(UserError) as caught:
            self.load(*given)
        return caught.value


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_nothing_set(world):
    assert world.load().warnings == ()
    assert load(None, world.environ).mode is Mode.NAMESPACE


def test_user_file_in_config_directory_comes_before_the_one_of_old(world):
    (world.home / ".clsecurerc").write_text("mode = container\n")
    assert world.load().mode is Mode.CONTAINER
    world.user_file.write_text("\nmode = user\n")
    config = world.load()
    assert config.mode is Mode.USER
    assert str(config.origin("mode")) == f"{world.user_file}:2"


def test_xdg_config_home(world, tmp_path):
    (tmp_path / "xdg/clsecure").mkdir(parents=True)
    (tmp_path / "xdg/clsecure/config").write_text("mode = user")
    world.environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert world.load().mode is Mode.USER


def test_a_byte_order_mark_and_carriage_returns_are_fine(world):
    world.user_file.write_bytes(b"\xef\xbb\xbfmode = user\r\ndocker = yes\r\n")
    assert world.load().mode is Mode.USER
    assert world.load().docker is Docker.HOST


def test_text_that_is_not_utf8_is_refused_with_its_line(world):
    world.user_file.write_bytes(b"mode = user\nsetup_script = \xff\n")
    error = world.refuse()
    assert error.message == f"{world.user_file}:2: this line is not UTF-8 text"
    assert error.code is ExitCode.USAGE


def test_an_open_file_with_a_secret_is_warned_about(world):
    world.user_file.write_text("kimi_api_key = sk-1")
    world.user_file.chmod(0o644)
    assert "chmod 600" in world.load().warnings[0]
    world.user_file.chmod(0o600)
    assert world.load().warnings == ()


def test_layers_in_order(world):
    world.project_file.write_text("cleanup_hook_timeout = 10\nskip_docker_autodetect = yes")
    world.user_file.write_text("cleanup_hook_timeout = 20\nprovider = anthropic")
    world.environ["PROVIDER"] = "kimi"
    config = world.load()
    assert config.cleanup_hook_timeout == 20
    assert config.skip_docker_autodetect is True
    assert config.provider is Provider.KIMI
    assert str(config.origin("provider")) == "environment variable PROVIDER"
    assert str(config.origin("skip_docker_autodetect")) == ".clsecure/config:2"
    flag = Entry("provider", Provider.ANTHROPIC, Origin(Layer.COMMAND_LINE, "--provider"))
    assert world.load(flag).provider is Provider.ANTHROPIC


def test_key_from_the_environment(world):
    world.environ["KIMI_API_KEY"] = "sk-2"
    assert world.load().kimi_api_key.reveal() == "sk-2"


def test_an_empty_variable_is_not_set(world):
    world.environ["PROVIDER"] = ""
    assert world.load().origin("provider").layer is Layer.DEFAULT


def test_a_variable_of_another_program_is_named_and_can_be_overruled(world):
    world.environ["PROVIDER"] = "virtualbox"
    error = world.refuse()
    assert error.message == "environment variable PROVIDER cannot be 'virtualbox'"
    assert "--provider on the command line" in error.hint
    flag = Entry("provider", Provider.ANTHROPIC, Origin(Layer.COMMAND_LINE, "--provider"))
    assert world.load(flag).provider is Provider.ANTHROPIC


def test_exposed_paths_are_absolute(world, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    world.user_file.write_text("expose = ~/.m2, /opt//sdk/")
    flag = Entry("expose", ("../data",), Origin(Layer.COMMAND_LINE, "--expose"))
    assert world.load(flag).expose == (
        f"{world.home}/.m2",
        "/opt/sdk",
        str(tmp_path.parent / "data"),
    )


def test_a_relative_path_in_a_file_is_refused(world):
    world.user_file.write_text("expose = data")
    assert world.refuse().message == f"{world.user_file}:1: expose data is not an absolute path"


def test_project_configuration_of_old_is_warned_about(world):
    (world.top / ".clsecure.conf").write_text("mode = user")
    assert world.load().warnings == (".clsecure.conf is not read; use .clsecure/config",)


def test_trust_is_for_this_project_and_this_content(world):
    world.project_file.write_text("mode = user")
    assert world.load().mode is Mode.NAMESPACE
    store = Store(state_directory(world.environ))
    store.trust(world.top / "other", world.project_file.read_bytes())
    assert world.load().mode is Mode.NAMESPACE
    store.trust(world.top, world.project_file.read_bytes())
    assert world.load().mode is Mode.USER
    assert world.load().warnings == ()
    world.project_file.write_text("mode = user\n")
    assert world.load().mode is Mode.NAMESPACE


def test_a_projects_hosts_are_a_wish_until_the_human_agrees(world):
    world.project_file.write_text("allow = docs.test, cdn.test:443")
    world.user_file.write_text("allow = mine.test, cdn.test:443")
    config = world.load()
    assert config.allow == ("mine.test", "cdn.test:443")
    assert config.asked == ("docs.test",)
    store = Store(state_directory(world.environ))
    store.agree(world.top / "other", world.project_file.read_bytes())
    assert world.load().asked == ("docs.test",)
    store.agree(world.top, world.project_file.read_bytes())
    assert set(world.load().allow) == {"docs.test", "cdn.test:443", "mine.test"}
    assert world.load().asked == ()
    world.project_file.write_text("allow = docs.test, cdn.test:443, more.test")
    assert world.load().asked == ("docs.test", "more.test")


def test_to_agree_to_hosts_is_not_to_trust_the_mode(world):
    world.project_file.write_text("allow = docs.test\nmode = user")
    store = Store(state_directory(world.environ))
    store.agree(world.top, world.project_file.read_bytes())
    assert world.load().allow == ("docs.test",)
    assert world.load().mode is Mode.NAMESPACE
    store.trust(world.top, world.project_file.read_bytes())
    assert world.load().mode is Mode.USER


class TestPlantedFiles:
    """What a repository could put at .clsecure/config."""

    def test_link_out_of_the_project(self, world, tmp_path):
        (tmp_path / "outside").write_text("mode = container")
        world.project_file.symlink_to(tmp_path / "outside")
        error = world.refuse()
        assert error.message == ".clsecure/config is a link that leaves the project"
        assert error.code is ExitCode.REFUSED

    def test_directory_that_is_a_link_out_of_the_project(self, world, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere/config").write_text("mode = container")
        (world.top / ".clsecure").rmdir()
        (world.top / ".clsecure").symlink_to(tmp_path / "elsewhere")
        assert world.refuse().code is ExitCode.REFUSED

    def test_link_inside_the_project(self, world):
        (world.top / "settings").write_text("mode = container")
        world.project_file.symlink_to("../settings")
        assert world.load().mode is Mode.CONTAINER

    @pytest.mark.parametrize("target", ["config", "../nowhere"])
    def test_link_to_itself_or_nowhere(self, world, target):
        world.project_file.symlink_to(target)
        assert "cannot be read" in world.refuse().message

    def test_fifo_does_not_block(self, world):
        os.mkfifo(world.project_file)
        error = world.refuse()
        assert error.message == ".clsecure/config is not a regular file"
        assert error.code is ExitCode.REFUSED

    def test_directory(self, world):
        world.project_file.mkdir()
        assert world.refuse().message == ".clsecure/config is not a regular file"

    def test_size_limit(self, world):
        world.project_file.write_text("#" * (64 << 10))
        assert read_project(world.top)
        world.project_file.write_text("#" * ((64 << 10) + 1))
        error = world.refuse()
        assert error.message == ".clsecure/config is larger than 64 KiB"
        assert error.code is ExitCode.REFUSED
