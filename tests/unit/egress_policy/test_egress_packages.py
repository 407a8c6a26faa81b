"""pip, uv and cargo: the hosts of indexes, and those that the packages themselves are on."""

import json
import re
import shutil
from pathlib import Path

import pytest
from clientworld import World, needs, serving, wheel

from clsecure import process
from clsecure.egress import cargoregistry, pythonindex
from clsecure.egress.clients import Clients
from clsecure.egress.rules import parse_rule


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def index():
    """Serve a Python index at 127.0.0.1 whose files are at another port of localhost."""
    pages = {}
    files = {"/pip-1.0-py3-none-any.whl": wheel("pip")}
    with serving(pages) as port, serving(files) as other:
        link = f'<a href="http://localhost:{other}/pip-1.0-py3-none-any.whl">pip</a>'
        pages["/simple/pip/"] = f"<!DOCTYPE html><html><body>{link}</body></html>".encode()
        yield port, other


@needs("pip")
class TestPip:
    @pytest.fixture(autouse=True)
    def pip(self, world):
        alone = world.root / "pip-alone"  # a uv beside it would be asked, too
        alone.mkdir()
        (alone / "pip").symlink_to(shutil.which("pip"))
        world.environ["PATH"] = f"{alone}:/usr/bin:/bin"

    def configure(self, world, text):
        world.write("home/.config/pip/pip.conf", text)

    def test_its_default(self, world):
        found = world.expand("@pip")
        help_text = process.run("pip", "install", "--help", env=world.environ, cwd="/").text
        usual = re.search(r"default\s+https://([^/]+)/", help_text)[1]
        assert found[0] == f"{usual}:443"
        assert len(found) == 2
        assert [parse_rule(rule).text for rule in found] == list(found)
        assert world.expand("@pip") == found
        self.configure(world, f"[global]\nindex-url = https://me:secret@{usual}/simple\n")
        assert world.expand("@pip") == found

    def test_configured_indexes_stand_in_its_place(self, world):
        self.configure(
            world,
            "[global]\n"
            "index-url = https://me:secret@pip.invalid:8443/simple\n"
            "extra-index-url =\n    https://a.invalid/simple\n    http://b.invalid/simple\n"
            "find-links = https://c.invalid/wheels /srv/wheels\n",
        )
        assert world.expand("@pip") == (
            "pip.invalid:8443",
            "a.invalid:443",
            "b.invalid:80",
            "c.invalid:443",
        )
        world.environ["PIP_INDEX_URL"] = "https://d.invalid/simple"
        assert world.expand("@pip")[0] == "d.invalid:443"

    def test_the_host_of_files_is_asked_of_the_index(self, world, index):
        port, other = index
        url = f"http://me:secret@127.0.0.1:{port}/simple"
        wheels = world.root / "wheels"  # a newer one on this host does not say where others are
        wheels.mkdir()
        (wheels / "pip-2.0-py3-none-any.whl").write_bytes(wheel("pip", "2.0"))
        self.configure(world, f"[install]\nindex-url = {url}\nfind-links = {wheels}\n")
        assert world.expand("@pip") == (f"127.0.0.1:{port}", f"localhost:{other}")
        assert not list(world.root.rglob("pip-1.0.dist-info"))


class TestUv:
    def test_settings(self, world):
        world.write(
            "home/.config/uv/uv.toml",
            'extra-index-url = ["https://extra.test/simple"]\n'
            "[pip]\n"
            'index-url = "https://pip.test/simple"\n'
            "[[index]]\n"
            'url = "https://more.test/simple"\n'
            "[[index]]\n"
            'url = "https://default.test/simple"\n'
            "default = true\n",
        )
        world.environ["UV_INDEX"] = "named=https://named.test/?a=b https://plain.test"
        found, more = pythonindex._uv_settings(Clients("@pip", world.environ, world.project))
        assert found == "https://default.test/simple"
        assert set(more) >= {
            "https://named.test/?a=b",
            "https://plain.test",
            "https://more.test/simple",
            "https://extra.test/simple",
        }
        world.environ["UV_DEFAULT_INDEX"] = "https://variable.test"
        found, _ = pythonindex._uv_settings(Clients("@pip", world.environ, world.project))
        assert found == "https://variable.test"

    def test_a_file_that_is_no_toml(self, world):
        world.write("home/.config/uv/uv.toml", "index-url = ")
        world.program("uv", "exit 1")
        assert "not a valid TOML file" in world.refuse("@pip").message

    @needs("uv")
    def test_the_real_one(self, world, index):
        port, other = index
        directory = world.root / "uv-alone"
        directory.mkdir()
        (directory / "uv").symlink_to(Path(shutil.which("uv")).resolve())
        world.environ["PATH"] = str(directory)
        usual = pythonindex._uv_default(Clients("@pip", world.environ, world.project), "uv")
        assert usual.startswith("https://")
        url = f"http://me:secret@127.0.0.1:{port}/simple"
        world.write("home/.config/uv/uv.toml", f'index-url = "{url}"\n')
        assert world.expand("@pip") == (f"127.0.0.1:{port}", f"localhost:{other}")


def cargo_release():
    """Major and minor of the cargo that is there; (0, 0) without one."""
    if shutil.which("cargo") is None:
        return 0, 0
    said = process.run("cargo", "--version", check=False).text
    return tuple(int(part) for part in re.findall(r"[0-9]+", said)[:2]) or (0, 0)


RELEASE = cargo_release()
# From 1.68 on a registry's index can be asked by HTTP ("sparse"); before that it is a repository.
ASKS_BY_HTTP = RELEASE >= (1, 68)


class CargoWorld:
    @pytest.fixture(autouse=True)
    def cargo(self, world):
        world.use("cargo")
        for name in ("RUSTUP_HOME", "CARGO_HOME"):  # rustup looks for its toolchains there
            usual = Path.home() / f".{name.partition('_')[0].lower()}"
            if name == "RUSTUP_HOME" and usual.is_dir():
                world.environ[name] = str(usual)

    def configure(self, world, text):
        world.write("home/.cargo/config.toml", text)

    @pytest.fixture
    def registry(self):
        pages = {"/index/config.json": json.dumps({"dl": "https://dl.invalid/{crate}"}).encode()}
        with serving(pages) as port:
            yield port


@needs("cargo")
class TestAnyCargo(CargoWorld):
    def test_a_circle(self, world):
        self.configure(
            world,
            '[source.crates-io]\nreplace-with = "a"\n[source.a]\nreplace-with = "crates-io"\n',
        )
        assert "circle" in world.refuse("@cargo").message

    @pytest.mark.parametrize("is_old", [not ASKS_BY_HTTP])
    def test_where_the_downloads_are_is_known_or_asked_for(self, world, registry, is_old):
        self.configure(
            world,
            '[source.crates-io]\nreplace-with = "mine"\n'
            f'[source.mine]\nregistry = "sparse+http://127.0.0.1:{registry}/index/"\n',
        )
        downloads = () if is_old else ("dl.invalid:443",)
        assert world.expand("@cargo") == (f"127.0.0.1:{registry}", *downloads)


class CargoByHttp(CargoWorld):
    def test_its_default(self, world):
        human = Clients("@cargo", world.environ, world.project)
        usual = cargoregistry._ask_default(human, human.need("cargo"))
        host = re.fullmatch(r"https://([^/]+)/", usual)[1]
        kept = {"dl": "https://dl.example.org/crates", "api": "https://api.example.org"}
        world.write(f"home/.cargo/registry/index/{host}-0123/config.json", json.dumps(kept))
        world.write("home/.cargo/registry/index/other-0123/config.json", '{"dl": "https://x.test"}')
        assert world.expand("@cargo") == (f"{host}:443", "dl.example.org:443")

    def test_a_source_that_replaces_it(self, world, registry):
        self.configure(
            world,
            '[source.crates-io]\nreplace-with = "near"\n'
            '[source.near]\nregistry = "sparse+https://near.invalid/"\nreplace-with = "mine"\n'
            f'[source.mine]\nregistry = "sparse+http://127.0.0.1:{registry}/index/"\n',
        )
        assert world.expand("@cargo") == (f"127.0.0.1:{registry}", "dl.invalid:443")

    def test_other_registries_beside_a_directory(self, world, registry):
        self.configure(
            world,
            '[source.crates-io]\nreplace-with = "vendored"\n'
            '[source.vendored]\ndirectory = "/srv/vendor"\n'
            f'[registries]\nacme = {{ index = "sparse+http://127.0.0.1:{registry}/index/" }}\n'
            'git = { index = "ssh://git@git.invalid/index.git" }\n',
        )
        world.environ["CARGO_REGISTRIES_MY_OWN_INDEX"] = "sparse+https://me:secret@own.invalid/"
        assert set(world.expand("@cargo")) == {
            f"127.0.0.1:{registry}",
            "dl.invalid:443",
            "git.invalid:22",
            "own.invalid:443",
        }

    def test_the_project_is_not_asked(self, world, registry, monkeypatch):
        self.configure(
            world,
            '[source.crates-io]\nreplace-with = "mine"\n'
            f'[source.mine]\nregistry = "sparse+http://127.0.0.1:{registry}/index/"\n',
        )
        world.write(
            "project/.cargo/config.toml",
            '[registries.evil]\nindex = "sparse+https://evil.test/"\n'
            '[source.mine]\nregistry = "sparse+https://evil.test/"\n',
        )
        monkeypatch.chdir(world.project)
        assert world.expand("@cargo") == (f"127.0.0.1:{registry}", "dl.invalid:443")


if ASKS_BY_HTTP:

    class TestCargoByHttp(CargoByHttp):
        """With a cargo that can; see `TestAnyCargo` for one that cannot."""
