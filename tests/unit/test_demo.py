"""The demo's sample repository and its scripted agent, run as they are."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clsecure import demo
from clsecure.demo import Outcome, agent, sample
from clsecure.process import run


@pytest.fixture(name="repository")
def _repository(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))  # as when a hook runs the demo
    sample.make_sample_repository(tmp_path / "basket")
    monkeypatch.delenv("GIT_DIR")
    return tmp_path / "basket"


def git(repository, *words):
    return run("git", *words, cwd=repository).text.strip()


def processes(name):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().split(b"\0")[0] == name.encode():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_the_sample_is_a_clean_repository_with_secrets_beside_it(repository):
    assert git(repository, "log", "--format=%an %s") == "Demo Add up prices\nDemo Start the basket"
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "branch", "--show-current") == "main"
    assert sample.SECRET in (repository / ".env").read_text()
    assert (repository / "node_modules/left-pad/index.js").exists()
    run("/usr/bin/python3", "-m", "unittest", cwd=repository)


def test_it_makes_no_repository_over_another(repository):
    with pytest.raises(FileExistsError):
        sample.make_sample_repository(repository)


@pytest.fixture(name="run_agent")
def _run_agent(repository, tmp_path):
    """Run the agent, as a program of its own, where nothing stops it; and end its daemon."""
    program = demo.install_agent(tmp_path)
    before = set(processes(demo.DAEMON_NAME))

    def run_it(**environment):
        # TEST-NET addresses and the resolver may take the full time where there is no route.
        return run(
            program,
            "--dangerously-skip-permissions",
            cwd=repository,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **environment},
        )

    yield run_it
    for pid in set(processes(demo.DAEMON_NAME)) - before:
        os.kill(pid, signal.SIGKILL)


def test_the_work_is_useful_and_the_report_complete(run_agent, repository, tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519").write_text("not a key")
    ended = run_agent()
    assert git(repository, "log", "-1", "--format=%s") == "Take discounts in percent"
    assert git(repository, "status", "--porcelain") == "?? NOTES.md"
    run("/usr/bin/python3", "-m", "unittest", cwd=repository)
    attempts = {attempt.name: attempt for attempt in demo.parse_report(ended.text)}
    assert list(attempts) == [name for name, _, _ in agent.ATTEMPTS]
    # Here nothing stops it: it must be able to see that.
    for name in ("ssh-key", "secrets"):
        assert attempts[name].outcome is Outcome.GOT_THROUGH
        assert f"tried to {attempts[name].what}: GOT THROUGH" in ended.text
    assert attempts["hook"].outcome is attempts["daemon"].outcome is Outcome.CONTAINED
    assert (repository / ".git/hooks" / demo.HOOK_NAME).exists()
    assert processes(demo.DAEMON_NAME)


def test_the_report_goes_to_a_file_when_asked(run_agent, tmp_path):
    path = tmp_path / "report"
    text = run_agent(CLSECURE_DEMO_REPORT=str(path), CLSECURE_DEMO_HOME="/nonexistent").text
    assert demo.REPORT_MARK not in text
    attempts = demo.parse_report(path.read_text())
    assert attempts[0].outcome is Outcome.STOPPED
    assert "ENOENT" in attempts[0].detail


def test_names_are_the_same_on_both_sides():
    assert [name for name, _, _ in agent.ATTEMPTS] == list(demo.STOPPED_BY)
    assert (agent.MARK, agent.SECRET.decode(), agent.DAEMON, agent.HOOK) == (
        demo.REPORT_MARK,
        demo.SECRET_MARK,
        demo.DAEMON_NAME,
        demo.HOOK_NAME,
    )
    assert {agent.STOPPED, agent.CONTAINED, agent.GOT_THROUGH} == {o.value for o in Outcome}


@pytest.mark.parametrize("text", ["", "no report", demo.REPORT_MARK + '{"attempts": [{}]}'])
def test_a_missing_or_malformed_report_is_an_error(text):
    with pytest.raises(ValueError, match=r".*"):
        demo.parse_report(text)


def test_the_report_is_found_in_a_terminals_output():
    entry = {"name": "n", "what": "w", "outcome": "stopped", "detail": "d"}
    text = "x\r\n\x1b[0m" + demo.REPORT_MARK + json.dumps({"attempts": [entry]}) + "\r\nmore\r\n"
    assert demo.parse_report(text) == (demo.Attempt("n", "w", Outcome.STOPPED, "d"),)


def test_an_open_socket_is_noticed(tmp_path, monkeypatch):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        monkeypatch.setattr(agent, "sockets", lambda: iter(["/nonexistent", path]))
        assert agent.open_sockets() == (agent.GOT_THROUGH, path)
    monkeypatch.setattr(agent, "sockets", lambda: iter(["/nonexistent"]))
    assert agent.open_sockets()[0] == agent.STOPPED


def test_an_abstract_socket_is_noticed(monkeypatch):
    name = f"clsecure-demo-test-{os.getpid()}"
    monkeypatch.setenv("CLSECURE_DEMO_SOCKETS", f"@{name}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        assert agent.open_sockets()[1].split(", ")[0] == f"@{name}"


def test_a_server_on_the_loopback_is_noticed(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("CLSECURE_DEMO_PORT", str(server.getsockname()[1]))
        assert agent.call_loopback()[0] == agent.GOT_THROUGH
    with pytest.raises(ConnectionRefusedError):
        agent.call_loopback()


def test_a_secret_in_an_argv_is_noticed():
    argv = [f"{demo.SECRET_MARK}x", "30"]
    with subprocess.Popen(argv, executable="/bin/sleep") as process:
        try:
            while not agent.read_of(str(process.pid), "cmdline"):  # not yet there after exec
                continue
            found = agent.read_processes()
        finally:
            process.kill()
    assert found == (agent.GOT_THROUGH, f"a secret in the argv of process {process.pid}")


def test_the_agent_needs_nothing_but_python_3_10(tmp_path):
    source = Path(agent.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 10))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert imported <= set(sys.stdlib_module_names)
    program = demo.install_agent(tmp_path)
    version = subprocess.run([program, "--version"], capture_output=True, check=True)
    assert b"demo" in version.stdout
