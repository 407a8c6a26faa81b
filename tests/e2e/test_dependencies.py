"""What a project has installed works in the box at once: nothing is installed or built again."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from e2e.boxes import BOXES

_KINDS = pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
_BASE = ".pyenv/versions/3.x/bin/python3"


@pytest.fixture(scope="module")
def interpreter(human):
    """A Python below the human's home, as pyenv lays it out; it is a copy of this machine's."""
    program = Path("/usr/bin/python3").resolve()
    library = f"/usr/lib/{program.name}"
    root = human.home / ".pyenv/versions/3.x"
    human.run("mkdir", "-p", root / "bin", root / "lib")
    human.run("cp", program, root / "bin")
    human.run("ln", "-s", program.name, root / "bin/python3")
    human.run("sh", "-c", f"cp -rL {library} '{root}/lib/' 2>/dev/null; true")
    human.run("rm", "-rf", root / "lib" / program.name / "EXTERNALLY-MANAGED")
    return human.home / _BASE


def exec_in(human, kind, top, script, **options):
    """What a script prints in the box."""
    return human.clsecure("exec", *kind.flags, "--", "sh", "-c", script, cwd=top, **options).stdout


@pytest.fixture(scope="module")
def environments(human, interpreter):
    """A project with a virtual environment, one of direnv's, and itself installed to be edited."""
    top = human.repository("src/python", {"lib/mine.py": "VALUE = 7\n", ".gitignore": ".*env*\n"})
    uv = Path(sys.executable).parent / "uv"
    for place in (".venv", ".direnv/python-3.x"):
        human.run(uv, "venv", "-q", "--no-config", "--python", interpreter, place, cwd=top)
    packages = next((top / ".venv/lib").glob("python3*/site-packages"))
    human.write(packages / "_mine.pth", f"{top}/lib\n")
    return top


@_KINDS
def test_a_virtual_environment_on_a_python_of_the_home(human, kind, environments):
    top = environments
    script = (
        ".venv/bin/python -c 'import mine, ssl, sys; print(mine.VALUE, sys.base_prefix)'; "
        ". .direnv/python-3.x/bin/activate && python -c 'import sys; print(sys.prefix)'"
    )
    base = (human.home / _BASE).parent.parent
    said = exec_in(human, kind, top, script)
    assert said == f"7 {base}\n{top}/.direnv/python-3.x\n"


@_KINDS
def test_an_active_environment_is_on_path_inside(human, kind, environments):
    top = environments
    env = {"VIRTUAL_ENV": f"{top}/.venv", "PATH": f"{top}/.venv/bin:{human.environment['PATH']}"}
    said = exec_in(human, kind, top, "command -v python; echo $VIRTUAL_ENV", env=env)
    assert said == f"{top}/.venv/bin/python\n{top}/.venv\n"


@pytest.fixture(scope="module")
def packages(human):
    """A project with a package that is a program for this machine, from the registry."""
    top = human.repository("src/node", {"package.json": "{}\n", ".gitignore": "node_modules\n"})
    human.write(top / "in.ts", "const n: number = 40; console.log(n + 2);\n")
    words = ("npm", "install", "--silent", "--no-fund", "--no-audit", "--no-save", "esbuild")
    human.run(*words, cwd=top, seconds=120)
    return top


@_KINDS
def test_modules_of_node_with_a_program_of_this_machine(human, kind, packages):
    script = "npx --offline esbuild in.ts --outfile=out.js --log-level=error && node out.js"
    assert exec_in(human, kind, packages, script) == "42\n"
    assert not (packages / "out.js").exists()


@_KINDS
def test_packages_of_the_humans_cache_need_no_network(human, kind, packages):
    script = (
        "mkdir -p /tmp/again && cd /tmp/again && echo '{}' > package.json && "
        "npm install --offline --silent --no-fund --no-audit esbuild && ls node_modules/.bin"
    )
    words = ("exec", *kind.flags, "--no-network", "--", "sh", "-c", script)
    assert human.clsecure(*words, cwd=packages).stdout == "esbuild\n"


@pytest.fixture(scope="module")
def crate(human):
    """A crate that has been built."""
    manifest = '[package]\nname = "mine"\nversion = "0.1.0"\nedition = "2021"\n'
    files = {
        "Cargo.toml": manifest,
        "src/lib.rs": "pub fn value() -> u32 { 42 }\n",
        "src/main.rs": 'fn main() { println!("{}", mine::value()); }\n',
        ".gitignore": "target\nCargo.lock\n",
    }
    top = human.repository("src/crate", files)
    if not shutil.which("cargo", path="/usr/bin"):
        pytest.skip("needs cargo")
    human.run("cargo", "build", "-q", "--offline", cwd=top, seconds=120)
    return top


@_KINDS
def test_a_warm_target_is_not_built_again(human, kind, crate):
    said = exec_in(human, kind, crate, "cargo build --offline -v 2>&1; target/debug/mine")
    assert "Fresh mine" in said
    assert "Compiling" not in said
    assert said.endswith("42\n")


def test_control_a_changed_file_is_built_again(human, crate):
    script = "echo '// more' >> src/lib.rs; cargo build --offline -v 2>&1"
    said = human.clsecure("exec", "-s", "changed", "--", "sh", "-c", script, cwd=crate).stdout
    assert "Compiling mine" in said
