"""`clsecure config` and `clsecure completion`, as a person calls them."""

import json
import os
import subprocess

import pytest
from inline_snapshot import snapshot

from clsecure.cli import main
from clsecure.options import OPTIONS


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("XDG_", "CLSECURE_"))]:
        monkeypatch.delenv(name)
    for name in ("PROVIDER", "KIMI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    top = tmp_path / "project"
    (top / ".git").mkdir(parents=True)
    (top / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (top / ".clsecure").mkdir()
    (top / "src").mkdir()
    monkeypatch.chdir(top / "src")
    return top


def test_table(project, capsys, monkeypatch):
    (project / ".clsecure/config").write_text("cleanup_hook_timeout = 9\n")
    monkeypatch.setenv("KIMI_API_KEY", "sk-1")
    assert main(["config", "--no-network", "--hide", "a\x1bb"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == snapshot("""\
setting                 value                        set by
mode                    namespace                    default
engine                  auto                         default
image                   host                         default
writable                false                        default
workspace               auto                         default
network                 none                         --no-network
allow                   -                            default
publish                 -                            default
docker                  none                         default
skip_docker_autodetect  false                        default
hide                    27 default patterns, a\\x1bb  default, --hide
show                    5 default patterns           default
expose                  -                            default
agent                   claude                       default
agent_command           -                            default
credentials             auto                         default
api_key_command         -                            default
web_tools               false                        default
provider                anthropic                    default
kimi_api_key            set                          environment variable KIMI_API_KEY
memory                  unlimited                    default
cpus                    unlimited                    default
pids                    unlimited                    default
disk                    unlimited                    default
time                    unlimited                    default
install_dependencies    false                        default
setup_script            -                            default
on_exit                 ask                          default
push                    ask                          default
push_branches           claude/*                     default
push_force              false                        default
sign                    ask                          default
cleanup_hook_timeout    9                            .clsecure/config:1
""")


def test_the_flag_of_old_is_the_same(project, capsys):
    assert main(["config"]) == 0
    table = capsys.readouterr().out
    assert main(["--config"]) == 0
    assert capsys.readouterr().out == table


def test_json(project, capsys, monkeypatch):
    monkeypatch.setenv("KIMI_API_KEY", "sk-1")
    assert main(["config", "--json", "--mode", "user"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {option.name for option in OPTIONS if option.key}
    assert document["mode"] == {"value": "user", "layer": "command_line", "origins": ["--mode"]}
    assert document["kimi_api_key"]["value"] == "set"
    assert document["expose"]["value"] == []


def test_a_weaker_mode_needs_trust(project, capsys):
    (project / ".clsecure/config").write_text("# ours\nmode = user\n")
    assert main(["config", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["mode"]["value"] == "namespace"
    assert "warning: .clsecure/config:2: mode user is weaker than namespace" in captured.err
    assert main(["config", "trust"]) == 0
    assert f"trusted: .clsecure/config:2: mode = user, in {project}\n" in capsys.readouterr().out
    assert main(["config", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["mode"]["value"] == "user"
    assert captured.err == ""


def test_trust_of_nothing(project, capsys, monkeypatch, tmp_path):
    assert main(["config", "trust"]) == 1
    assert "has no .clsecure/config" in capsys.readouterr().err
    (project / ".clsecure/config").write_text("mode = container\n")
    assert main(["config", "trust"]) == 0
    assert "lowers nothing" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert main(["config", "trust"]) == 1
    assert "is not in a git repository" in capsys.readouterr().err


def test_outside_of_a_repository(project, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["config"]) == 0


def test_a_bad_value_stops_with_code_2(project, capsys, tmp_path):
    (tmp_path / ".clsecurerc").write_text("mode = strong\n")
    assert main(["config"]) == 2
    assert capsys.readouterr().err == (
        f"clsecure: {tmp_path}/.clsecurerc:1: mode cannot be 'strong'\n"
        "hint: allowed: user, namespace, container\n"
    )


def test_bash_completes_commands_and_flags(project, capsys, tmp_path):
    assert main(["completion", "bash"]) == 0
    (tmp_path / "completion").write_text(capsys.readouterr().out)
    script = """
        . "$1"; COMP_WORDS=(clsecure "$2"); COMP_CWORD=1; COMP_LINE="clsecure $2"
        _shtab_clsecure; echo "${COMPREPLY[@]}"
    """

    def complete(word):
        argv = ["bash", "-c", script, "bash", str(tmp_path / "completion"), word]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()

    assert "completion" in complete("comp")
    assert set(complete("--on")) == {"--on-exit"}


def test_zsh_completion_is_for_clsecure(project, capsys):
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef clsecure\n")
