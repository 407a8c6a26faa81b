"""Wherever a person has their `claude`, it starts in the box; what cannot start is named."""

from __future__ import annotations

import os
import shutil

import pytest

from e2e.boxes import BOXES

_SCRIPT = '#!/bin/sh\necho "agent in $PWD at $0"; exec "$(dirname "$(readlink -f "$0")")/data"\n'
_PLAIN = str.maketrans("[]/", "---")
_DATA = "#!/bin/sh\necho data is there\n"


@pytest.fixture
def top(human, request):
    """A repository, and a human without any client yet."""
    human.run(
        "rm", "-rf", *(human.home / name for name in ("bin", ".local", ".npm-global", ".nvm"))
    )
    human.run("rm", "-rf", human.home / "claude")
    return human.repository(f"src/{request.node.name.translate(_PLAIN)}")


def native(human):
    """The native installer's layout: a link to the newest of the versions."""
    versions = human.home / ".local/share/claude/versions"
    human.write(versions / "2.1.0", _SCRIPT.replace("/data", "/data-2.1.0"), mode=0o755)
    human.write(versions / "data-2.1.0", _DATA, mode=0o755)
    human.run("mkdir", "-p", human.home / ".local/bin")
    human.run("ln", "-s", versions / "2.1.0", human.home / ".local/bin/claude")
    return ".local/bin"


def npm_prefix(human):
    """`npm install -g` with a prefix in the home."""
    package = human.home / ".npm-global/lib/node_modules/@anthropic-ai/claude-code"
    human.write(package / "cli.sh", _SCRIPT.replace("/data", "/../platform/data"), mode=0o755)
    human.write(package.parent / "platform/data", _DATA, mode=0o755)
    human.run("mkdir", "-p", human.home / ".npm-global/bin")
    link = "../lib/node_modules/@anthropic-ai/claude-code/cli.sh"
    human.run("ln", "-s", link, human.home / ".npm-global/bin/claude")
    return ".npm-global/bin"


def nvm(human):
    """A script for node, and node itself, below ~/.nvm (here node is a copy of the shell)."""
    root = human.home / ".nvm/versions/node/v22.1.0"
    package = root / "lib/node_modules/@anthropic-ai/claude-code"
    script = _SCRIPT.replace("#!/bin/sh", "#!/usr/bin/env node")
    human.write(package / "cli.js", script, mode=0o755)
    human.write(package / "data", _DATA, mode=0o755)
    human.run("mkdir", "-p", root / "bin")
    human.run("cp", "/bin/dash", root / "bin/node")
    human.run(
        "ln", "-s", "../lib/node_modules/@anthropic-ai/claude-code/cli.js", root / "bin/claude"
    )
    return ".nvm/versions/node/v22.1.0/bin"


def in_home(human):
    """A program named claude in the home directory itself."""
    human.write(
        "claude",
        _SCRIPT.replace('; exec "$(dirname "$(readlink -f "$0")")/data"', "; echo data is there"),
        mode=0o755,
    )
    return ""


def in_bin(human):
    """A program of the human's own."""
    human.write("bin/claude", _SCRIPT, mode=0o755)
    human.write("bin/data", _DATA, mode=0o755)
    return "bin"


@pytest.mark.parametrize("place", [native, npm_prefix, nvm, in_home, in_bin])
def test_below_the_home(human, top, place):
    directory = human.home / place(human)
    path = f"{directory}:{human.environment['PATH']}"
    for kind in BOXES[:3]:
        ran = human.clsecure(*kind.flags, cwd=top, env={"PATH": path})
        assert ran.stdout.splitlines()[0].startswith(f"agent in {top} at ")
        assert ran.stdout.endswith("data is there\n")


def test_in_the_project(human, top):
    human.write(top / "tools/claude", _SCRIPT, mode=0o755)
    human.write(top / "tools/data", _DATA, mode=0o755)
    path = f"{top}/tools:{human.environment['PATH']}"
    assert human.clsecure(cwd=top, env={"PATH": path}).stdout.endswith("data is there\n")


@pytest.mark.parametrize("place", [native, npm_prefix, nvm])
def test_not_on_the_path(human, top, place):
    place(human)
    assert human.clsecure(cwd=top).stdout.endswith("data is there\n")


@pytest.mark.parametrize("prefix", ["/opt", "/srv", "/home", "/tmp"])
def test_elsewhere_on_this_machine(human, top, prefix):
    root = f"{prefix}/clsecure-test-{human.name}"
    try:
        for name, text in (("Cellar/claude/claude", _SCRIPT), ("Cellar/claude/data", _DATA)):
            os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
            with open(f"{root}/{name}", "w", encoding="ascii") as file:
                file.write(text)
            os.chmod(f"{root}/{name}", 0o755)
        os.makedirs(f"{root}/bin")
        os.symlink("../Cellar/claude/claude", f"{root}/bin/claude")
        path = f"{root}/bin:{human.environment['PATH']}"
        ran = human.clsecure(cwd=top, env={"PATH": path})
        assert "data is there" in ran.stdout
    finally:
        shutil.rmtree(root)


_UNFIT = {
    "broken": ("ln -s nowhere bin/claude", "bin/claude cannot be run: it is a broken link"),
    "loop": ("ln -s claude bin/claude", "bin/claude cannot be run: it is a loop of links"),
    "mode": ("touch bin/claude", "bin/claude cannot be run: it is not executable"),
    "directory": ("mkdir bin/claude", "bin/claude cannot be run: it is no file"),
    "interpreter": (
        "install -D -m 755 /dev/null bin/claude && echo '#!/nowhere/python3 -I' >bin/claude",
        "bin/claude cannot be run: its interpreter /nowhere/python3 is not there",
    ),
    "unreadable": (
        "echo '#!/root/python3' >bin/claude && chmod +x bin/claude",
        "bin/claude cannot be run: its interpreter /root/python3 is out of your reach",
    ),
    "absent": ("true", "claude is not installed: it is neither on your PATH nor"),
}


@pytest.mark.parametrize("state", _UNFIT)
def test_what_cannot_start_is_one_line_with_a_hint(human, top, state):
    command, expected = _UNFIT[state]
    human.run("sh", "-c", f"mkdir -p bin; {command}")
    before = human.workers()
    ran = human.clsecure(cwd=top, code=4)
    assert ran.stdout == ""
    message, hint = ran.stderr.splitlines()
    assert message.startswith("clsecure: ")
    assert expected in message
    assert hint.startswith("hint: npm install -g")
    assert human.workers() == before
