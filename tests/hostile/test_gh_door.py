"""GitHub's program from inside the box: the human's own one runs outside, for this project alone."""

from __future__ import annotations

import json

import pytest
from probe import mode_options

from world.github import NAMES, new_github
from world.internet import inside, new_internet

pytestmark = pytest.mark.root

TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def internet(human, tmp_path_factory):
    made = tmp_path_factory.mktemp("internet")
    with new_internet(made, NAMES) as internet, inside(human, internet):
        yield internet


@pytest.fixture
def github(internet):
    with new_github(internet) as server:
        yield server


@pytest.fixture(scope="module")
def project(human, internet):
    top = human.repository("src/gh", {"text": "from a file\n"})
    human.run("git", "remote", "add", "origin", "https://github.com/o/n.git", cwd=top)
    human.write("ca.pem", internet.authority.read_text())
    return top


def shell(human, project, script, *options, code=0):
    env = {"GH_TOKEN": TOKEN, "SSL_CERT_FILE": f"{human.home}/ca.pem"}
    words = ("exec", *options, "--", "sh", "-c", script)
    return human.clsecure(*words, cwd=project, env=env, code=code)


def mutations(github):
    return [each for each in github.heard if "mutation " in each.get("query", "")]


@pytest.mark.parametrize("box", ["user", "firejail", "podman"])
def test_the_agent_lists_and_opens_requests(human, project, github, box):
    script = """
    git switch -q -c claude/work 2>/dev/null || git switch -q claude/work
    gh pr list && gh pr view 7 --json title && gh repo view | head -n 1
    gh pr create --title 'a title' --body-file text --draft
    echo by input | gh issue comment '#7' -F - -R o/n
    env | grep -c 'ghp_'; cat ~/.config/gh/* 2>&1 | grep -c ghp_
    """
    ran = shell(human, project, script, "--allow-push", *mode_options(box), code=1)
    assert ran.stdout.splitlines() == [
        "7\ta change\tclaude/x\tOPEN\t2026-01-01 00:00:00 +0000 UTC",
        '{"title":"a change"}',
        "name:\to/n",
        "https://github.com/o/n/pull/8",
        "https://github.com/o/n/pull/7#c1",
        "0",
        "0",
    ]
    assert {each["who"] for each in github.heard} == {f"token {TOKEN}"}
    made, commented = (each["variables"]["input"] for each in mutations(github))
    assert (made["title"], made["body"], made["draft"]) == ("a title", "from a file\n", True)
    assert made["headRefName"] == "claude/work"
    assert commented["body"] == "by input\n"
    decided = json.loads(human.clsecure("net", "--json", cwd=project).stdout)
    assert {(each["host"], each["reason"]) for each in decided if each["way"] == "gh"} >= {
        ("github.com", "pr create"),
        ("github.com", "issue comment"),
    }


REFUSED = (
    "api user",
    "api graphql -f query=x",
    "auth token",
    "auth status --show-token",
    "secret list",
    "workflow run x",
    "gist create text",
    "repo view other/repo",
    "repo clone other/repo",
    "repo delete --yes",
    "release create v1",
    "alias set x '!id'",
    "extension install x/y",
    "pr merge 7",
    "pr checkout 7",
    "pr close 7",
    "pr view https://github.com/other/repo/pull/1",
    "pr view 7 -R other/repo",
    "pr view 7 --repo=other/repo",
    "pr view 7 -Rother/repo",
    "pr list --search repo:other/repo",
    "pr list --jq env.GH_TOKEN",
    "pr list --json title --jq env",
    "pr list --json title,$(id)",
    "pr list --template x",
    "pr list --web",
    "pr view 7 8",
    "pr view -- -R other/repo",
    "pr create --title x --body y --head main",
    "pr create --title x --body y --head other:claude/x",
    "pr create --title x --body-file=/etc/hosts --head main",
    "pr create --recover /etc/passwd",
    "pr comment 7 --editor",
    "--help",
    "",
)


def test_nothing_else_is_run(human, project, github):
    lines = [f"echo '== {each.split()[0] if each else ''}'; gh {each} 2>&1" for each in REFUSED]
    ran = shell(human, project, "git switch -q main; " + "\n".join(lines), "--allow-push", code=1)
    answers = ran.stdout.split("== ")[1:]
    assert len(answers) == len(REFUSED)
    assert [each for each in answers if "clsecure: " not in each] == []
    assert github.heard == []
    assert TOKEN not in ran.stdout


def test_control_the_human_gets_all_of_it(human, project, github):
    env = {"GH_TOKEN": TOKEN, "SSL_CERT_FILE": f"{human.home}/ca.pem"}
    run = human.run(
        "gh", "pr", "list", "-R", "o/n", "--json", "title", "--jq", "env.GH_TOKEN", env=env
    )
    assert TOKEN in run.stdout
    human.run("gh", "pr", "view", "7", "-R", "other/repo", env=env)
    human.run("gh", "api", "user", env=env)
    assert "repo" in {each.get("variables", {}).get("repo") for each in github.heard}
    assert github.heard[-1]["path"] == "/user"


def test_words_stay_words(human, project, github):
    script = """
    gh issue comment 7 --body '--repo=other/repo' && gh issue comment 7 -b '$(id)
    -R other/repo'
    """
    shell(human, project, script, "--allow-push")
    assert [each["variables"]["input"]["body"] for each in mutations(github)] == [
        "--repo=other/repo",
        "$(id)\n    -R other/repo",
    ]
    asked = [each["variables"] for each in github.heard if "owner" in each.get("variables", {})]
    assert {(each["owner"], each.get("repo") or each.get("name")) for each in asked} == {("o", "n")}


_GARBAGE = r"""
import socket
for said in (b"", b"\n", b"{}\n", b"[1]\n", b'{"words": 7, "branch": ""}\n', b"\xff" * 100 + b"\n",
             b"x" * 600000, b'{"words": ["pr", "list", "a\\u0000b"], "branch": ""}\n'):
    with socket.create_connection(("127.0.0.1", 9419)) as door:
        door.settimeout(12)
        try:
            door.sendall(said)
            door.shutdown(socket.SHUT_WR)
            print(len(door.recv(10000)) < 300)
        except OSError:
            print(True)
"""


def test_what_is_no_question_is_no_command(human, project, github):
    script = f"python3 - <<'END'\n{_GARBAGE}\nEND\ngh pr list"
    ran = shell(human, project, script, "--allow-push")
    assert ran.stdout.splitlines()[:8] == ["True"] * 8
    assert ran.stdout.splitlines()[8].startswith("7\ta change")


def test_without_the_right_to_push_there_is_none(human, project, github):
    ran = shell(human, project, "gh pr list; ls /run/clsecure/bin", code=2)
    assert "a change" not in ran.stdout
    assert github.heard == []
