"""What of the human's environment the agent gets, and what nobody gets to see."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from e2e.boxes import BOXES
from world.human import PROGRAM

_SECRET = "sk-ant-very-secret-0123456789"
_FORWARDED = {
    "ANTHROPIC_BASE_URL": "https://gateway.example.org/path",
    "ANTHROPIC_AUTH_TOKEN": "token",
    "ANTHROPIC_API_KEY": _SECRET,
    "ANTHROPIC_MODEL": "m",
    "ANTHROPIC_DEFAULT_OPUS_MODEL": "o",
    "ANTHROPIC_DEFAULT_SONNET_MODEL": "s",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL": "h",
    "CLAUDE_CODE_SUBAGENT_MODEL": "sub",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "API_TIMEOUT_MS": "1000",
}
_IN_PLACE = {
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:3127/gateway.example.org/path",
    "ANTHROPIC_AUTH_TOKEN": "sk-clsecure-in-place-of-ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_API_KEY": "sk-clsecure-in-place-of-ANTHROPIC_API_KEY",
}
_NOT = {"GH_TOKEN": "gh-secret", "AWS_SECRET_ACCESS_KEY": "aws", "SSH_AUTH_SOCK": "/tmp/x"}


def variables(text):
    """Read the output of `env -0`."""
    return dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_variables(human, kind):
    top = human.repository(f"variables-{kind}")
    human.agent("env -0")
    given = {**_FORWARDED, **_NOT, "COLORTERM": "truecolor", "TZ": "Asia/Tokyo"}
    inside = variables(human.clsecure(*kind.flags, "-s", "name", cwd=top, env=given).stdout)
    assert {name: inside.get(name) for name in _FORWARDED} == {**_FORWARDED, **_IN_PLACE}
    assert not set(_NOT) & set(inside)
    assert inside["CLSECURE_SESSION"] == "name"
    assert (inside["TZ"], inside["COLORTERM"]) == ("Asia/Tokyo", "truecolor")
    assert inside["HOME"] == str(human.home)
    assert inside["USER"] == inside["LOGNAME"]
    assert inside["USER"].startswith("claude-worker-variables-")
    assert not [name for name in inside if name.startswith(("SUDO_", "FIREJAIL"))]
    plain = variables(
        human.clsecure("exec", "-s", "name", "--", "env", "-0", cwd=top, env=given).stdout
    )
    assert not set(_FORWARDED) & set(plain)
    words = ("--credentials", "inside", "-s", "name")
    given_in = variables(human.clsecure(*kind.flags, *words, cwd=top, env=given).stdout)
    assert {name: given_in.get(name) for name in _FORWARDED} == _FORWARDED


_WHO = {
    "GIT_AUTHOR_NAME": "Another Author",
    "EDITOR": "nano -w",
    "VISUAL": "vim",
    "LANG": "de_DE.UTF-8",
    "LC_TIME": "en_DK.UTF-8",
    "TERM": "xterm-direct",
    "FORCE_COLOR": "1",
    "TZ": "America/New_York",
}


@pytest.mark.parametrize("kind", BOXES[:5], ids=str, indirect=True)
def test_the_agent_works_as_the_human_would(human, kind):
    top = human.repository(f"who-{kind}")
    hook = 'echo "$(id -un) in $(pwd)" > by-hook; grep -q ok "$1"\n'
    human.write(top / ".git/hooks/commit-msg", f"#!/bin/sh\n{hook}", mode=0o755)
    human.agent(
        "git commit -q --allow-empty -s -m ok\n"
        "git commit -q --allow-empty -m refused || cat by-hook\n"
        "git log -1 --format='%an|%ae|%cn|%ad|%(trailers:only)'; env -0"
    )
    ran = human.clsecure(*kind.flags, cwd=top, env=_WHO)
    hooked, logged, _, rest = ran.stdout.split("\n", 3)
    assert hooked.startswith("claude-worker-who-")
    assert hooked.endswith(f" in {top}")
    author, mail, committer, date, signed = logged.split("|")
    assert (author, mail, committer) == ("Another Author", "human@example.org", "A Human")
    assert date.endswith(("-0500", "-0400"))
    assert signed == "Signed-off-by: A Human <human@example.org>"
    inside = variables(rest)
    assert {name: inside.get(name) for name in _WHO} == _WHO
    assert inside["CLSECURE_SESSION"] == "default"
    assert not (top / "by-hook").exists()


_SETTINGS_OF_GIT = """[user]
\tname = A Human
\temail = human@example.org
[core]
\thooksPath = ~/git-hooks
[format]
\tsignOff = true
[init]
\tdefaultBranch = trunk
[includeIf "gitdir:~/office/"]
\tpath = ~/git-at-work
"""


@pytest.mark.parametrize("kind", BOXES[:5], ids=str, indirect=True)
def test_the_humans_own_hooks_editor_and_name_for_some_places(human, kind):
    own = human.home / ".gitconfig"
    before = own.read_text()
    human.write("git-at-work", "[user]\n\temail = human@work.example\n")
    human.write("git-hooks/commit-msg", '#!/bin/sh\necho "Hook: $(id -un)" >> "$1"\n', mode=0o755)
    human.write("bin/my-editor", '#!/bin/sh\nprintf "from my editor\\n\\n" > "$1"\n', mode=0o755)
    top = human.repository(f"office/named-{kind}")
    human.write(own, _SETTINGS_OF_GIT)
    human.agent(
        "echo x > x; git add x; git commit -q\n"
        "git log -1 --format='%ae|%s|%(trailers:key=Hook,valueonly)'\n"
        "git format-patch --stdout -1 | grep ^Signed; git config core.hooksPath\n"
        "cd /tmp; git init -q new; cd new; git commit -q --allow-empty -m x; git branch\n"
        "git log -1 --format='%an %ae'"
    )
    try:
        ran = human.clsecure(*kind.flags, cwd=top, env={"EDITOR": "my-editor"}, code=None)
    finally:
        human.write(own, before)
    said = [line for line in ran.stdout.splitlines() if line]
    worker = next(name for name in human.workers() if name in ran.stderr)
    assert said == [
        f"human@work.example|from my editor|{worker}",
        "Signed-off-by: A Human <human@work.example>",
        "* trunk",
        "A Human human@work.example",  # whoever they are for the project they are in its session
    ], ran.stderr


_PLACE_AND_TIME = """
locale charmap; locale -a | sort | cksum; date -d @1700000000 +%z; cksum < /etc/localtime
TZ=America/St_Johns date -d @1700000000 +%z; tput -T xterm-256color colors; tput -T mine colors
"""


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_locales_time_and_terminals_are_the_humans(human, kind):
    top = human.repository(f"place-and-time-{kind}")
    described = "mine|a terminal of my own,\n\tcolors#77,\n"
    human.run("tic", "-x", "-", stdin=described)
    env = {"TERM": "mine", "TZ": "Asia/Kolkata", "LANG": "C.UTF-8"}
    own = human.run("sh", "-c", _PLACE_AND_TIME, env=env).stdout
    assert own.splitlines()[0] == "UTF-8"
    assert [own.splitlines()[number] for number in (2, 4, 5, 6)] == ["+0530", "-0330", "256", "77"]
    words = ("exec", *kind.flags, "--", "sh", "-c", _PLACE_AND_TIME)
    assert human.clsecure(*words, cwd=top, env=env).stdout == own


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_the_terminal_has_its_type_its_colours_and_its_size(human, kind):
    top = human.repository(f"terminal-{kind}")
    script = 'tty; stty size; tput colors; echo "$TERM $COLORTERM"; tput setaf 3 | od -An -c'
    words = (PROGRAM, "exec", *kind.flags, "--", "sh", "-c", script)
    env = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    screen = human.terminal(*words, cwd=top, env=env, size=(33, 111))
    for line in ("/dev/pts/", "33 111", "256", "xterm-256color truecolor", "033   [   3   3   m"):
        screen.expect_exact(line)
    screen.wait()


def test_the_kimi_provider(human):
    top = human.repository("kimi")
    human.agent("env -0")
    env = {"PROVIDER": "kimi", "KIMI_API_KEY": _SECRET, "ANTHROPIC_AUTH_TOKEN": "other"}
    ran = human.clsecure(cwd=top, env=env)
    inside = variables(ran.stdout)
    assert inside["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:3127/api.kimi.com/coding"
    assert inside["ANTHROPIC_API_KEY"] == _IN_PLACE["ANTHROPIC_API_KEY"]
    assert _SECRET not in ran.stdout
    assert "ANTHROPIC_AUTH_TOKEN" not in inside
    assert "network: the agent's API only (api.kimi.com:443)" in ran.stderr
    ran = human.clsecure("--provider", "kimi", cwd=top, code=4)
    assert ran.stderr.startswith("clsecure: provider kimi needs a key")


@pytest.mark.parametrize("kind", BOXES[:3], ids=str, indirect=True)
def test_no_secret_in_any_command_line_or_log(human, kind):
    top = human.repository(f"secret-{kind}")
    human.agent("echo ready; read go; echo $ANTHROPIC_API_KEY | wc -c")
    log = human.home / "log"
    env = {"ANTHROPIC_API_KEY": _SECRET, "CLSECURE_DEBUG": "1", "HOME": str(human.home)}
    seen = []
    for _ in ("first", "resumed"):
        words = (*kind.flags, "--credentials", "inside")
        running = human.start(
            *words, cwd=top, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert running.stdout.readline() == b"ready\n"
        seen += [line for line in _command_lines() if b"runuser" not in line]
        said, _ = running.communicate(b"go\n", timeout=30)
        assert said.split() == [b"%d" % (len(_SECRET) + 1)]
    assert any(b"clsecure" in line for line in seen)
    # The test's own way to start the program shows it; nothing that the program starts may.
    assert not [line for line in seen if _SECRET.encode() in line and b"\0env\0-i\0" not in line]
    state = human.home / ".local/state/clsecure"
    logs = [path.read_text() for path in state.rglob("*") if path.is_file()]
    assert not [text for text in logs if _SECRET in text]
    assert not log.exists()


def _command_lines():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            continue
    return found


_SETTINGS = """
setup_script = "env -0 > setup-env; echo setup says hello; echo set-up > from-setup"
install_dependencies = true
"""


def test_set_up_runs_once_in_the_box(human):
    top = human.repository(
        "set-up",
        {"requirements.txt": "./local\n", "local/setup.py": _PACKAGE, "local/mine.py": "V = 7\n"},
    )
    human.agent("cat from-setup; .venv/bin/python -c 'import mine; print(mine.V)'; rm from-setup")
    settings = human.write(".clsecurerc", _SETTINGS)
    try:
        env = {"GH_TOKEN": "gh-secret"}
        ran = human.clsecure(cwd=top, env=env, seconds=120)
        assert ran.stdout == "set-up\n7\n"
        assert "setup script, in the box\nsetup says hello\n" in ran.stderr
        inside = variables(human.clsecure("exec", "--", "cat", "setup-env", cwd=top).stdout)
        assert inside["GH_TOKEN"] == "gh-secret"
        assert inside["USER"].startswith("claude-worker-")
        again = human.clsecure(cwd=top, env=env, code=None)
        assert "setup script" not in again.stderr
        skipped = human.clsecure("-s", "b", "--skip-setup", cwd=top, code=None)
        assert "in the box" not in skipped.stderr
        human.write("bin/gh", "#!/bin/sh\necho gh-own-token\n", mode=0o755)
        human.clsecure("-s", "gh", "exec", "--", "true", cwd=top, seconds=120)
        read = human.clsecure("-s", "gh", "exec", "--", "cat", "setup-env", cwd=top).stdout
        assert variables(read)["GH_TOKEN"] == "gh-own-token"
    finally:
        human.run("rm", settings)
    assert not (top / ".venv").exists()


_PACKAGE = """
from setuptools import setup
setup(name="mine", version="1", py_modules=["mine"])
"""

_HOOK = """env -0 > "$HOME/hook-env-$CLSECURE_CLEANUP_LEVEL"
id -un; echo "level $CLSECURE_CLEANUP_LEVEL"
sleep 300 & exit 3
"""


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_the_cleanup_hook(human, kind):
    top = human.repository(f"hook-{kind}", {".clsecure/on-cleanup": _HOOK})
    human.agent("echo x > made")
    ran = human.clsecure(*kind.flags, cwd=top)
    worker = next(name for name in human.workers() if name in ran.stderr)
    assert f"cleanup hook (stop), in the box\n{worker}\nlevel stop\n" in ran.stderr
    assert "warning: the cleanup hook ended with code 3" in ran.stderr
    inside = variables(
        human.clsecure("exec", "--", "cat", f"{human.home}/hook-env-stop", cwd=top).stdout
    )
    wanted = {
        "CLSECURE_SESSION": "default",
        "CLSECURE_CLEANUP_LEVEL": "stop",
        "CLSECURE_PROJECT_DIR": str(top),
        "CLSECURE_WORKER_USER": worker,
        "CLSECURE_WORKER_HOME": str(human.home),
    }
    assert {name: inside[name] for name in wanted} == wanted
    ran = human.clsecure("cleanup", "--yes", cwd=top)
    assert "level purge" in ran.stderr
    assert f"removed: {worker}" in ran.stdout
    assert subprocess.run(["id", worker], capture_output=True, check=False).returncode == 1
    assert not (human.home / "hook-env-stop").exists()


def test_a_hook_is_ended_in_time(human):
    settings = {
        ".clsecure/config": "cleanup_hook_timeout = 5\n",
        ".clsecure/on-cleanup": "sleep 99\n",
    }
    top = human.repository("slow-hook", settings)
    human.agent("echo x > made")
    ran = human.clsecure(cwd=top, seconds=20)
    assert "warning: the cleanup hook was ended after 5 s (cleanup_hook_timeout)" in ran.stderr
    assert json.loads(human.clsecure("show", "--json", cwd=top).stdout)["uncommitted"] == 1
