"""What README and docs claim is there: tests, modules, exit codes, dependencies, links."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from clsecure.errors import ExitCode

TOP = Path(__file__).parents[2]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
NAME = re.compile(r"[A-Za-z0-9-]+")


def names_in(path):
    """The names of the tests in a file; none where there is no such file."""
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page):
    named = TEST.findall(page.read_text())
    if page.name in {"README.md", "security.md"}:
        assert named
    for file, test in named:
        assert (TOP / file).exists(), file
        assert not test or test in names_in(TOP / file), f"{file}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_module_is_on_the_map():
    text = (TOP / "docs/architecture.md").read_text()
    table = text.partition("## Modules")[2].partition("## ")[0]
    named = {word for line in table.splitlines() for word in re.findall(r"`(\w+)`", line[:140])}
    package = TOP / "src/clsecure"
    there = {path.stem for path in package.glob("*.py") if path.stem[0] != "_"}
    there |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert named == there


def test_the_exit_codes_are_the_programs():
    rows = re.findall(r"^\| (\d+) \|", (TOP / "README.md").read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == [int(code) for code in ExitCode]


def test_every_dependency_has_its_reason():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
    ]
    names = {NAME.match(each)[0] for each in wanted}
    names |= set(re.findall(r"missing\+=\((\w[\w-]*)\)", (TOP / "scripts/setup").read_text()))
    page = (TOP / "docs/dependencies.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == names


def test_the_protocols_requests_are_all_named():
    from clsecure.helper.protocol import REQUESTS

    text = (TOP / "docs/architecture.md").read_text().partition("## Protocol")[2]
    said = text.partition("Requests:")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", said)) == set(REQUESTS)
