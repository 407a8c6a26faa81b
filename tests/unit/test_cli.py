"""The program as it is started: exit codes, the one error boundary, and lean imports."""

import os
import stat
import subprocess
import sys

import pytest

import clsecure
from clsecure import __version__
from clsecure.cli import main
from clsecure.commandtable import COMMANDS
from clsecure.dispatch import guarded
from clsecure.errors import ExitCode, UserError

SOURCE = os.path.dirname(os.path.dirname(clsecure.__file__))
FROM_SOURCE = f"import sys; sys.path.insert(0, {SOURCE!r}); from clsecure.cli import main; "
START = [sys.executable, "-c", FROM_SOURCE + "sys.exit(main())"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("XDG_", "CLSECURE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PROVIDER", raising=False)
    return tmp_path


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["list", "--version"]])
def test_version(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out == f"clsecure {__version__}\n"


@pytest.mark.parametrize("words", [["-h"], ["--help"]])
def test_help(words, capsys):
    assert main(words) == 0
    text = capsys.readouterr().out
    for command in COMMANDS.values():
        assert f"\n  {command.name} " in text
    assert text.isascii() or text.isprintable() or "…" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_with_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {COMMANDS[name].usage}\n")
    assert "examples:\n  " in text


def test_help_fits_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 90


def test_a_mistake_is_one_line_a_hint_and_code_2(capsys):
    assert main(["--frobnicate\x1b[2J"]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[0] == r"clsecure: unknown option --frobnicate\x1b[2J"
    assert captured.err.splitlines()[1].startswith("hint: ")


class TestBoundary:
    def test_codes(self, capsys):
        def busy():
            raise UserError("the session is busy", hint="wait", code=ExitCode.BUSY)

        assert guarded(busy) == ExitCode.BUSY
        assert capsys.readouterr().err == "clsecure: the session is busy\nhint: wait\n"
        assert guarded(lambda: 42) == 42

    def test_interrupted(self, capsys):
        def interrupted():
            raise KeyboardInterrupt

        assert guarded(interrupted) == 130
        assert capsys.readouterr().err == "clsecure: interrupted\n"

    def test_a_defect_is_one_line_and_a_private_log(self, capsys, home):
        def defect():
            raise ValueError("what\nis this")

        assert guarded(defect) == 1
        log = home / ".local/state/clsecure/clsecure.log"
        assert capsys.readouterr().err == (
            "clsecure: internal error: ValueError: what is this\n"
            f"hint: details are in {log}; please report them\n"
        )
        assert "Traceback" in log.read_text()
        assert stat.S_IMODE(log.stat().st_mode) == 0o600

    def test_a_defect_without_a_place_for_the_log(self, capsys, monkeypatch, home):
        (home / "file").write_text("")
        monkeypatch.setenv("XDG_STATE_HOME", str(home / "file"))
        assert guarded(lambda: 1 // 0) == 1
        assert "CLSECURE_DEBUG=1" in capsys.readouterr().err

    def test_debug_shows_the_traceback(self, capsys, monkeypatch):
        monkeypatch.setenv("CLSECURE_DEBUG", "1")
        assert guarded(lambda: 1 // 0) == 1
        assert "Traceback" in capsys.readouterr().err

    def test_the_code_of_a_signal_passes(self):
        with pytest.raises(SystemExit) as caught:
            guarded(lambda: sys.exit(143))
        assert caught.value.code == 143


def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        [*START, "--help"], stdout=write, stderr=subprocess.PIPE, env=environ, check=False
    )
    os.close(write)
    assert ended.returncode == 141
    assert ended.stderr == b""


def test_a_directory_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["config"]) == 1
    assert capsys.readouterr().err.startswith("clsecure: the current directory is gone\n")


def test_an_ascii_terminal_is_no_error():
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run([*START, "--help"], env=environ, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--version"], ["argparse"]),
        (["--help"], ["dataclasses", "pathlib", "shutil", "clsecure.config"]),
        (["import", "--help"], ["dataclasses", "pathlib"]),
        (["config"], []),
    ],
)
def test_imports_are_lean(words, absent):
    script = FROM_SOURCE + "main(sys.argv[1:]); sys.stderr.write(' '.join(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-IS", "-c", script, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(ended.stderr.split())
    costly = {"rich", "asyncio", "shtab", "subprocess", "tempfile", "hashlib", "difflib"}
    assert not loaded & {*costly, "logging", "socket", *absent}
