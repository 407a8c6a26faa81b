"""MCP servers and hooks start as on the host, wherever in the home they lie; what lacks is said."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from e2e.boxes import BOXES
from e2e.claudeworld import SERVER

pytestmark = pytest.mark.client

_WORKED = "sunny, with ['PLACE'], a sibling"
_TOOL = {"name": "mcp__weather__forecast", "input": {}}
_PACKAGE = '{"name": "tiny-weather", "version": "1.0.0", "bin": {"tiny-weather": "server.py"}}'


def _declare(human, servers, settings=None):
    human.write(".claude.json", json.dumps({"mcpServers": servers}), mode=0o600)
    human.write(".claude/settings.json", json.dumps(settings or {}), mode=0o600)


def _lay_out(human):
    """The ways in which people have servers of their own: name to declaration."""
    home = human.home
    for place in ("mcp/script", "mcp/package/src", "mcp/env/app"):
        human.write(f"{place}/server.py", f"#!/usr/bin/env python3\n{SERVER}", mode=0o755)
        human.write(f"{place}/sibling.py", 'WORD = "a sibling"\n')
    human.write("mcp/script/requirements.txt", "")
    human.write("mcp/package/pyproject.toml", '[project]\nname = "weather"\n')
    human.write("mcp/package/.env", "WEATHER_KEY=secret\n")
    human.write("mcp/env/pyproject.toml", '[project]\nname = "weather"\n')
    human.run("python3", "-m", "venv", "--without-pip", home / "mcp/env/.venv")
    return {
        "a program": {"command": f"{home}/mcp/script/server.py"},
        "a script": {"command": "python3", "args": [f"{home}/mcp/package/src/server.py"]},
        "its own environment": {
            "command": f"{home}/mcp/env/.venv/bin/python",
            "args": ["-u", f"{home}/mcp/env/app/server.py"],
        },
        "the home by its variable": {
            "command": "python3",
            "args": ["${HOME}/mcp/script/server.py"],
        },
    }


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_servers_elsewhere_in_the_home_start(human, kind, play):
    top = human.repository(f"src/mcp-{kind}")
    for number, (name, server) in enumerate(_lay_out(human).items()):
        _declare(human, {"weather": {**server, "env": {"PLACE": "here"}}})
        api, variables = play([{"tool": _TOOL}, {"bash": "cat ~/mcp/package/.env"}, "done"])
        options = ("-s", f"n{number}", *kind.flags)
        ran = human.clsecure(*options, "--", "-p", "go", cwd=top, env=variables)
        weather, secret = (each["text"] for each in api.tool_results()[-2:])
        assert weather == _WORKED, name
        assert "WEATHER_KEY" not in secret
        assert "warning: the MCP server" not in ran.stderr, name
        hidden = f"not in the session: {human.home}/mcp/package/.env: by its name it is"
        assert (hidden in ran.stderr) == (name == "a script"), ran.stderr


@pytest.fixture
def tiny(human, tmp_path):
    """A package of a server, packed, and a registry on loopback that serves it."""
    human.write("tiny/package.json", _PACKAGE)
    human.write("tiny/server.py", f"#!/usr/bin/env python3\n{SERVER}", mode=0o755)
    human.write("tiny/sibling.py", 'WORD = "a sibling"\n')
    human.run("npm", "pack", "--silent", cwd=human.home / "tiny")
    packed = human.home / "tiny/tiny-weather-1.0.0.tgz"
    tmp_path.chmod(0o755)
    shutil.copy(packed, tmp_path)
    digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path)) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        where = {"tarball": f"{url}/{packed.name}", "integrity": f"sha512-{digest}"}
        version = {**json.loads(_PACKAGE), "dist": where}
        tags = {"latest": "1.0.0"}
        document = {"name": "tiny-weather", "dist-tags": tags, "versions": {"1.0.0": version}}
        (tmp_path / "tiny-weather").write_text(json.dumps(document))
        Thread(target=server.serve_forever, daemon=True).start()
        yield packed, url
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize("by", ["registry", "file"])
def test_npx_starts_what_the_person_has_without_a_network(human, play, tiny, by):
    packed, url = tiny
    top = human.repository(f"src/npx-{by}")
    spec = "tiny-weather@latest" if by == "registry" else f"file:{packed}"
    registry = {"npm_config_registry": url}
    human.run("npx", "-y", spec, cwd=top, env=registry, seconds=100)
    server = {"command": "npx", "args": ["-y", spec], "env": {"PLACE": "here", **registry}}
    _declare(human, {"weather": server})
    api, variables = play([{"tool": _TOOL}, "done"])
    ran = human.clsecure("--", "-p", "go", cwd=top, env=variables)
    assert api.tool_results()[-1]["text"] == _WORKED
    assert "warning" not in ran.stderr


def test_uvx_starts_what_the_person_has_without_a_network(human, play):
    top = human.repository("src/uvx")
    wheel = human.home / "wheels/tiny_weather-1.0-py3-none-any.whl"
    files = {
        "tiny_weather.py": f"def main():\n    exec(SOURCE)\nSOURCE = {SERVER!r}\n",
        "sibling.py": 'WORD = "a sibling"\n',
        "tiny_weather-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-weather\n"
        "Version: 1.0\n",
        "tiny_weather-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        "tiny_weather-1.0.dist-info/entry_points.txt": "[console_scripts]\n"
        "tiny-weather = tiny_weather:main\n",
    }
    files["tiny_weather-1.0.dist-info/RECORD"] = "".join(f"{name},,\n" for name in files)
    human.run("mkdir", "-p", wheel.parent, human.home / ".local/bin")
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    for name in ("uv", "uvx"):
        shutil.copy(Path(sys.executable).parent / name, human.home / ".local/bin")
    words = ["--from", str(wheel), "tiny-weather"]
    path = f"{human.home}/.local/bin"
    human.run(f"{path}/uvx", *words, seconds=100)
    _declare(human, {"weather": {"command": "uvx", "args": words, "env": {"PLACE": "here"}}})
    api, variables = play([{"tool": _TOOL}, "done"])
    variables["PATH"] = f"{path}:{variables['PATH']}"
    ran = human.clsecure("--", "-p", "go", cwd=top, env=variables)
    assert api.tool_results()[-1]["text"] == _WORKED
    assert "warning" not in ran.stderr


def test_what_a_server_or_a_hook_lacks_is_said_before_the_agent_starts(human):
    home, top = human.home, human.repository("src/lacks")
    human.agent("true")
    human.write("Documents/letter.txt", "a letter\n")
    human.write(".ssh/tool.py", "secret\n")
    human.write(".claude/hooks/x.sh", "#!/bin/sh\n", mode=0o755)
    human.write("alone/plain.sh", "#!/bin/sh\n", mode=0o755)
    servers = {
        "one": {"command": "no-such-runtime"},
        "two": {"command": "docker", "args": ["run", "-i", "image"]},
        "three": {"command": "python3", "args": [f"{home}/gone/server.py"]},
        "four": {"command": "cat", "args": ["-u", f"{home}/Documents"]},
        "five": {"command": f"{home}/.ssh/tool.py"},
        "six": {"command": f"{home}/alone/plain.sh"},
        "se\x1b[31mven": {"command": "neither-is\x1b[2J-this"},
        "eight": {"type": "http", "url": "https://example.org/mcp"},
        "nine": {"command": "git"},
    }
    lines = ["jqx -r .a", "cd x && y", "A=1 ~/.claude/hooks/x.sh", '"$CLAUDE_PROJECT_DIR"/x']
    hooks = [{"hooks": [{"type": "command", "command": line} for line in lines]}]
    _declare(human, servers, {"hooks": {"Stop": hooks}, "statusLine": {"command": "no-such-line"}})
    shared = {"command": "node", "args": [f"{home}/alone/theirs.js"]}
    human.write("alone/theirs.js", "x\n")
    human.write(top / ".mcp.json", json.dumps({"mcpServers": {"theirs": shared}}))
    ran = human.clsecure("--", "-p", cwd=top)
    told = [line for line in ran.stderr.splitlines() if line.startswith("warning: ")]
    lacks, install = "which the session does not have", "which is not on your PATH: install it"

    def shows(name):
        return f": `expose = {home}/{name}` shows it"

    assert [line.removeprefix("warning: ") for line in told] == [
        f"the MCP server one starts no-such-runtime, {install}",
        "the MCP server two starts docker: `docker = podman` gives the session containers",
        f"the MCP server three starts {home}/gone/server.py, which is not there",
        f"the MCP server four is given {home}/Documents, {lacks}{shows('Documents')}",
        f"the MCP server five starts {home}/.ssh/tool.py, {lacks}: credentials are kept there",
        f"the MCP server se\\x1b[31mven starts neither-is\\x1b[2J-this, {install}",
        f"your hook on Stop starts jqx, {install}",
        f"your status line starts no-such-line, {install}",
        f"the MCP server theirs starts {home}/alone/theirs.js, {lacks}{shows('alone/theirs.js')}",
    ]
    read = f"cat {home}/alone/theirs.js {home}/.ssh/tool.py {home}/Documents/letter.txt"
    seen = human.clsecure("exec", "--", "sh", "-c", read, cwd=top, code=None).stdout
    assert seen == ""  # what a project's file names is not shown, nor are places of credentials
    again = human.clsecure("--docker", "podman", "--expose", "~/Documents", "--", "-p", cwd=top)
    assert "MCP server two" not in again.stderr
    assert "MCP server four" not in again.stderr
