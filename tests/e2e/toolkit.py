"""What the tests of tools need on disk and as servers: a kit that the box can read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.toolbox import COMMANDS, ONLY_BY_PROXY
from world import packages
from world.internet import OTHER, UPSTREAM, Internet, inside, new_internet
from world.sshserver import new_ssh_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from world import Human

WAYS = ("proxy", "direct")
GROUP_HOSTS = {
    each: f"{each}.allowed.test"
    for each in ("pip-index", "pip-files", "npm-registry", "go-proxy", "cargo-index", "apt-mirror")
}
TOOLS = [tool for tool in COMMANDS if tool != "apt" or shutil.which("apt-get")]

_GET = """\
import java.net.URI;
import java.net.http.*;
public class Get {
    public static void main(String[] words) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(words[0])).build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.body());
    }
}
"""
_CRATE = """\
[package]
name = "user"
version = "0.0.0"
[dependencies]
tiny = "1"
"""
_CARGO = """\
[source.crates-io]
replace-with = "other"
[source.other]
registry = "sparse+https://@INDEX@/cargo/"
"""


def host(tool: str, way: str, domain: str) -> str:
    """The name that a tool asks for: by it the log tells which tool took which way."""
    return f"{tool}-{way}.{domain}"


def attempts(*domains: str, ways: Iterable[str] = WAYS) -> list[tuple[str, str, str]]:
    """What each tool does, for toolbox.py."""
    return [
        (tool, way, host(tool, way, domain))
        for tool in TOOLS
        for way in ways
        if way == "proxy" or tool not in ONLY_BY_PROXY
        for domain in domains
    ]


class Kit:
    """A human on an internet with everything to fetch, and the directory that goes into boxes."""

    def __init__(self, human: Human, internet: Internet) -> None:
        self.human, self.internet = human, internet
        self.place = internet.directory / "kit"
        self.venv = Path(sys.prefix)

    def command(self, name: str, wanted: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
        """The command line that does all of this."""
        (self.place / name).write_text(json.dumps(list(wanted)))
        return ("/usr/bin/python3", str(self.place / "toolbox.py"), str(self.place), name)

    def in_box(
        self,
        name: str,
        wanted: Iterable[tuple[str, str, str]],
        *flags: str,
        prefix: tuple[str, ...] = (),
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Do all of this in a box of its own; `prefix` are words before the command there."""
        exposed = ("--expose", str(self.place), "--show", "trust.p12", "--expose", str(self.venv))
        argv = (*prefix, *self.command(name, wanted))
        top = self.human.home / "src" / name
        if not top.exists():
            self.human.repository(f"src/{name}")
        ran = self.human.clsecure(
            "exec", *exposed, *flags, "--", *argv, cwd=top, seconds=200, **options
        )
        return json.loads(ran.stdout)

    def outside(self, name: str, wanted: Iterable[tuple[str, str, str]]) -> list[dict[str, Any]]:
        """Do all of this as the human, on the same internet."""
        return json.loads(self.human.run(*self.command(name, wanted), seconds=200).stdout)

    def decisions(self, name: str) -> list[dict[str, Any]]:
        """What is on record of that box."""
        ran = self.human.clsecure("net", "--json", cwd=self.human.home / "src" / name)
        return json.loads(ran.stdout)


@contextmanager
def new_kit(human: Human) -> Iterator[Kit]:
    """Make it, with its servers running."""
    names = {host(*each[:2], "allowed.test"): UPSTREAM for each in attempts("")}
    names |= {host(*each[:2], "evil.test"): OTHER for each in attempts("")}
    names |= dict.fromkeys(GROUP_HOSTS.values(), UPSTREAM)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clsecure-t-")))
        internet = stack.enter_context(new_internet(directory, names))
        kit = Kit(human, internet)
        files = directory / "files"
        packages.write(files, GROUP_HOSTS["pip-files"])
        if "apt" in TOOLS:
            packages.write_debian(files)
        repository = _repository(human, directory)
        server = stack.enter_context(new_ssh_server(internet, (UPSTREAM, OTHER), human, repository))
        kit.place.mkdir()
        texts = {
            "ca.pem": internet.authority.read_text(),
            "ssh-user": server.user,
            "key": server.key,
            "host-key": server.host_key,
            "venv": str(kit.venv),
            "Get.java": _GET,
            "crate.toml": _CRATE,
            "cargo.toml": _CARGO,
            "toolbox.py": Path(__file__).with_name("toolbox.py").read_text(),
        }
        for name, text in texts.items():
            (kit.place / name).write_text(text)
        _trust_store(kit.place)
        stack.enter_context(inside(human, internet))
        yield kit


def _repository(human: Human, directory: Path) -> Path:
    work = human.repository("served/work", {"README": f"{packages.WORD}\n"})
    bare = work.with_name("project.git")
    human.run("git", "clone", "-q", "--bare", work, bare)
    (directory / "git").mkdir()
    (directory / "git/project.git").symlink_to(bare)
    return bare


def _trust_store(place: Path) -> None:
    words = f"-importcert -noprompt -alias tests -file {place}/ca.pem"
    store = f"-keystore {place}/trust.p12 -storetype PKCS12 -storepass changeit"
    subprocess.run(["keytool", *words.split(), *store.split()], check=True, capture_output=True)
