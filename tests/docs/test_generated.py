"""The reference and the manual page say what the program does."""

import shutil
import subprocess
from pathlib import Path

import pytest

from clsecure import documentation
from clsecure.commandtable import COMMANDS
from clsecure.errors import ExitCode
from clsecure.options import OPTIONS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("configuration.md", documentation.configuration_page()),
        ("clsecure.1", documentation.manual_page()),
    ],
)
def test_is_not_stale(name, text):
    assert (DOCS / name).read_text() == text, "run python -m clsecure.documentation"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    command = COMMANDS[name]
    assert command.summary
    assert command.description
    assert command.examples
    assert f".SS clsecure {name} " in documentation.manual_page()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_documented(option):
    manual = documentation.manual_page().replace("\\-", "-")
    assert option.flags or option.key, "an option that nobody can set"
    for flag in option.flags:
        assert flag.help
        assert all(word in manual for word in flag.words)
    if option.key:
        assert option.meaning
        reference = documentation.configuration_page()
        assert f"\n## `{option.key}`\n" in reference
        assert all(f"`{alias}`" in reference for alias in option.aliases)


def test_every_exit_code_is_documented():
    for code in ExitCode:
        assert f"\n.B {int(code)}\n" in documentation.manual_page()


@pytest.mark.parametrize("flag", ["--cleanup-all", "--list", "--config", "--shell", "--info"])
def test_the_flags_of_old_are_documented(flag):
    assert flag in documentation.manual_page().replace("\\-", "-")


@pytest.mark.skipif(not shutil.which("groff"), reason="groff checks the manual page")
def test_the_manual_page_is_well_formed():
    argv = ["groff", "-man", "-ww", "-z", "-Tutf8", str(DOCS / "clsecure.1")]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stderr
    assert said == ""
