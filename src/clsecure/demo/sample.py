"""Make the repository on which `clsecure demo` works: small, real, with a bug to be found."""

from __future__ import annotations

import os
from pathlib import Path

from clsecure.process import run

SECRET = "sk-demo-not-a-real-key"  # noqa: S105 - stands for one, in the untracked .env

FILES = {
    "README.md": "# basket\n\nPrices in cents. Test with `python3 -m unittest`.\n",
    ".gitignore": ".env\nnode_modules/\n__pycache__/\n",
    "basket/__init__.py": "",
    "basket/price.py": '''"""Prices in cents."""


def total(prices, discount=0):
    """Return the sum of `prices`, less a discount in percent."""
    amount = sum(prices)
    return amount - amount * discount // 10
''',
    "tests/__init__.py": "",
    "tests/test_price.py": """import unittest

from basket.price import total


class TotalTest(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(total([250, 199]), 449)


if __name__ == "__main__":
    unittest.main()
""",
}
UNTRACKED = {
    ".env": f"API_KEY={SECRET}\n",
    "node_modules/left-pad/index.js": "module.exports = (s, n) => String(s).padStart(n);\n",
}


def make_sample_repository(path: Path) -> None:
    """Make a git repository with two commits and some untracked files at `path`, a new directory.

    Raises FileExistsError when it exists, CommandFailed when git fails.
    """
    path.mkdir(parents=True)
    _git(path, "init", "--quiet", "--initial-branch=main")
    # Kept in the repository, so that commits can be made whatever the human's git knows.
    _git(path, "config", "user.name", "Demo")
    _git(path, "config", "user.email", "demo@example.invalid")
    _write(path, {name: FILES[name] for name in ("README.md", ".gitignore")})
    _commit(path, "Start the basket")
    _write(path, FILES)
    _commit(path, "Add up prices")
    _write(path, UNTRACKED)


def _write(path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def _commit(path: Path, message: str) -> None:
    _git(path, "add", "--all")
    _git(path, "-c", "commit.gpgSign=false", "commit", "--quiet", "-m", message)


def _git(path: Path, *words: str) -> None:
    """Run git without hooks, and without the variables of a git that runs us."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("GIT_")}
    run("git", "-c", f"core.hooksPath={os.devnull}", *words, cwd=path, env=environment)
