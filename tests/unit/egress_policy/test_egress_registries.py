"""`@npm` and its like: real clients with real configuration say which hosts are meant."""

import json
import time

import pytest
from clientworld import World, needs

from clsecure import process
from clsecure.egress import clients
from clsecure.egress.registries import WORDS
from clsecure.egress.rules import parse_rule
from clsecure.errors import ExitCode


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class TestEveryClient:
    @pytest.mark.parametrize("word", ["@perl", "pip", "", "@PIP", "@pi\x1bp"])
    def test_an_unknown_word(self, world, word):
        with pytest.raises(clients.UserError) as caught:
            world.expand(word)
        assert caught.value.code is ExitCode.USAGE
        assert all(each in caught.value.hint for each in WORDS)
        assert caught.value.message.isprintable()

    @pytest.mark.parametrize("word", sorted(set(WORDS) - {"@github"}))
    def test_a_client_that_is_not_there(self, world, word):
        world.environ["PATH"] = str(world.home)
        assert world.refuse(word).code is ExitCode.MISSING

    @pytest.mark.parametrize("word", sorted(set(WORDS) - {"@github"}))
    @pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "kill -9 $$"])
    def test_a_client_that_says_nothing_useful(self, world, word, script):
        for name in ("pip", "uv", "npm", "cargo", "go", "apt-get"):
            world.program(name, script)
        assert world.refuse(word).code is ExitCode.FAILURE

    def test_a_client_that_never_ends(self, world, monkeypatch):
        monkeypatch.setattr(clients, "SECONDS", 1)
        world.program("npm", "/bin/sleep 60 & /bin/sleep 60")
        before = time.monotonic()
        world.refuse("@npm")
        assert time.monotonic() - before < 10

    def test_a_program_of_the_project_is_never_run(self, world):
        ran = world.root / "ran"
        answer = f"echo 'registry = \"https://evil.test\"'; echo > {ran}"
        world.program("npm", answer, "project/node_modules/.bin")
        inside = world.environ["PATH"]
        (world.root / "link").symlink_to(inside)
        for path in (inside, "node_modules/.bin", ".", "", str(world.root / "link")):
            world.environ["PATH"] = path
            assert world.refuse("@npm").code is ExitCode.MISSING
        assert not ran.exists()
        world.program("npm", answer)
        assert world.expand("@npm") == ("evil.test:443",)
        assert ran.exists()

    def test_programs_run_outside_the_project(self, world, monkeypatch):
        monkeypatch.chdir(world.project)
        world.program("npm", 'echo "registry = \\"https://cwd.test:1$(pwd | /usr/bin/wc -c)\\""')
        assert world.expand("@npm") == ("cwd.test:12",)  # a slash and the end of a line

    @pytest.mark.parametrize("url", ["https://127.1/", "https://a b/", "https://x:99999/"])
    def test_a_url_without_a_host_is_told_without_its_password(self, world, url):
        secret = url.replace("//", "//me:secret@")
        world.program("npm", f"echo 'registry = \"{secret}\"'")
        error = world.refuse("@npm")
        assert "no valid host" in error.message
        assert "secret" not in error.message + error.hint


@needs("npm")
class TestNpm:
    @pytest.fixture(autouse=True)
    def npm(self, world):
        world.use("npm")

    def test_registries_of_scopes_and_credentials(self, world):
        world.write(
            "home/.npmrc",
            "registry=https://me:secret@npm.example.org:8443/path/\n"
            "@acme:registry=http://acme.example.org\n"
            "//acme.example.org/:_authToken=secret\n",
        )
        assert sorted(world.expand("@npm")) == ["acme.example.org:80", "npm.example.org:8443"]

    def test_a_variable(self, world):
        world.environ["npm_config_registry"] = "https://[2001:db8::1]/"
        assert world.expand("@npm") == ("[2001:db8::1]:443",)

    def test_npm_has_a_default(self, world):
        said = process.run("npm", "config", "get", "registry", env=world.environ, cwd="/").text
        host = said.strip().removeprefix("https://").rstrip("/")
        assert world.expand("@npm") == (f"{host}:443",)

    def test_the_project_is_not_asked(self, world, monkeypatch):
        usual = world.expand("@npm")
        world.write("project/.npmrc", "registry=https://evil.test/\n")
        world.write("project/package.json", "{}")
        monkeypatch.chdir(world.project)
        assert world.expand("@npm") == usual


class TestGo:
    def answer(self, world, **settings):
        world.program("go", f"echo '{json.dumps(settings)}'")
        return world.expand("@go")

    def test_proxies_and_the_checksum_database(self, world):
        found = self.answer(
            world, GOPROXY="https://a.test,http://me:secret@b.test:81|direct", GOSUMDB="sum.test"
        )
        assert found == ("a.test:443", "b.test:81", "sum.test:443")

    @pytest.mark.parametrize(
        ("database", "rules"),
        [
            ("off", ()),
            ("", ()),
            ("sum.test+0123abcd+KEY", ("sum.test:443",)),
            ("sum.test+0123abcd+KEY https://other.test/x", ("other.test:443",)),
        ],
    )
    def test_forms_of_the_database(self, world, database, rules):
        found = self.answer(world, GOPROXY="https://a.test", GOSUMDB=database)
        assert found == ("a.test:443", *rules)

    @pytest.mark.parametrize("proxy", ["direct", "off", "", "file:///srv/go"])
    def test_no_proxy(self, world, proxy):
        world.program("go", f"echo '{json.dumps({'GOPROXY': proxy, 'GOSUMDB': 'off'})}'")
        assert "names no proxy" in world.refuse("@go").message

    @needs("go")
    def test_the_real_one(self, world):
        world.use("go")
        usual = world.expand("@go")
        assert len(usual) >= 2
        world.write("project/go.mod", "module x\n\ngo 1.99\n\ntoolchain go1.99.9\n")
        world.environ |= {"GOPROXY": "https://go.example.org", "GOSUMDB": "off"}
        assert world.expand("@go") == ("go.example.org:443",)


@needs("apt-get")
class TestApt:
    @pytest.fixture(autouse=True)
    def apt(self, world):
        for part in ("apt.conf.d", "sources.list.d", "preferences.d", "trusted.gpg.d"):
            (world.root / "etc" / part).mkdir(parents=True)
        (world.root / "lists/partial").mkdir(parents=True)
        text = f'Dir::Etc "{world.root}/etc/"; Dir::State::lists "{world.root}/lists/";\n'
        world.environ["APT_CONFIG"] = world.write("apt.conf", text)

    def test_both_forms_of_sources(self, world):
        world.write(
            "etc/sources.list",
            "deb [trusted=yes] http://old.example.org:8080/debian stable main\n"
            "# deb http://commented.test/ stable main\n"
            "deb file:/srv/debian stable main\n"
            "deb cdrom:[Debian]/ stable main\n",
        )
        world.write(
            "etc/sources.list.d/more.sources",
            "Types: deb\n"
            "URIs: https://me:secret@deb.example.org/debian\n mirror+https://m.example.org/list\n"
            "Suites: stable\nComponents: main\n\n"
            "Enabled: no\nTypes: deb\nURIs: https://off.test\nSuites: stable\nComponents: main\n",
        )
        assert sorted(world.expand("@apt")) == [
            "deb.example.org:443",
            "m.example.org:443",
            "old.example.org:8080",
        ]

    def test_no_sources(self, world):
        assert "no host is configured" in world.refuse("@apt").message


class TestGithub:
    @pytest.fixture(autouse=True)
    def repository(self, world):
        world.environ["GIT_CONFIG_NOSYSTEM"] = "1"
        process.run("git", "init", "-q", world.project, env=world.environ)

    def remote(self, world, url, name="origin"):
        argv = ("git", "-C", world.project, "config", "--add", f"remote.{name}.url", url)
        process.run(*argv, env=world.environ)

    def test_nothing(self, world):
        world.refuse("@github")

    @pytest.mark.parametrize(
        ("url", "rules"),
        [
            ("https://me:secret@github.example.org/x.git", True),
            ("git@GitHub.example.org:x/y.git", True),
            ("ssh://git@GitHub.example.org:2222/x", True),
            ("git@code.example.org:x/y.git", ("code.example.org",)),
            ("https://code.example.org:8443/x", ("code.example.org",)),
            ("git@10.0.0.1:x", ("10.0.0.1",)),
            ("[2001:db8::1]:x", ("2001:db8::1",)),
            ("alias:x", ("alias",)),
            ("https://notgithub.example.org/x", ("notgithub.example.org",)),
        ],
    )
    def test_remotes(self, world, url, rules):
        self.remote(world, url)
        usual = ("github.example.org", "*.github.example.org")
        assert world.expand("@github") == (usual if rules is True else rules)

    @pytest.mark.parametrize(
        "url",
        ["/srv/x.git", "./a:b", "../x", "file:///srv/x", "ext::sh -c x", "-x:y", "https://127.1/x"],
    )
    def test_remotes_without_a_host(self, world, url):
        self.remote(world, url)
        world.refuse("@github")

    def test_url_rewriting_and_several_remotes(self, world):
        world.write("home/.gitconfig", '[url "https://code.example.org/"]\n insteadOf = work:\n')
        self.remote(world, "work:x")
        self.remote(world, "git@other.example.org:x", "other")
        assert world.expand("@github") == ("code.example.org", "other.example.org")

    @pytest.mark.parametrize("place", ["home/.config/gh", "xdg/gh", "own"])
    def test_the_hosts_of_gh(self, world, place):
        world.write(
            f"{place}/hosts.yml",
            "# written by gh\n"
            "github.example.org:\n    user: me\n    oauth_token: secret\n    users:\n        me:\n"
            '"ghe.example.org":\n    git_protocol: ssh\n',
        )
        if place == "own":
            world.environ["GH_CONFIG_DIR"] = str(world.root / "own")
        elif place == "xdg/gh":
            world.environ["XDG_CONFIG_HOME"] = str(world.root / "xdg")
        self.remote(world, "git@code.example.org:x")
        found = world.expand("@github")
        assert found == (
            "github.example.org",
            "*.github.example.org",
            "ghe.example.org",
            "*.ghe.example.org",
            "code.example.org",
        )
        assert [parse_rule(rule).text for rule in found] == list(found)

    def test_a_file_that_cannot_be_read(self, world):
        (world.home / ".config/gh/hosts.yml").mkdir(parents=True)
        assert "cannot read" in world.refuse("@github").message
