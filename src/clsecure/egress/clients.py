"""Ask the human's own client programs where they get things, without trusting the project.

A program is looked for on the human's PATH, but never inside the project, and runs outside it: a
file in the project must not choose a host that then passes, nor a program that then runs here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from clsecure.egress.names import BadHost, parse_host
from clsecure.errors import ExitCode, UserError
from clsecure.process import CommandFailed, run

SECONDS = 20  # for one question; several programs start slowly, and two ask their registry
_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}  # RFC 9110, RFC 4251, git-daemon(1)


class Clients:
    """The programs of one human; `word` is what an error names, such as "@pip"."""

    def __init__(self, word: str, environ: Mapping[str, str], project: Path) -> None:
        self.word = word
        self.environ = dict(environ)
        self.project = project
        self.home = Path(environ.get("HOME") or Path.home())

    def find(self, *programs: str) -> str:
        """Return the path of the first of `programs` that is there, or ""."""
        project = self.project.resolve()
        directories = [
            entry
            for entry in self.environ.get("PATH", os.defpath).split(os.pathsep)
            if os.path.isabs(entry) and not Path(entry).resolve().is_relative_to(project)
        ]
        places = (shutil.which(each, path=os.pathsep.join(directories)) for each in programs)
        return next((place for place in places if place), "") if directories else ""

    def need(self, *programs: str) -> str:
        """Return what `find` does; raises UserError (MISSING) where there is none."""
        if place := self.find(*programs):
            return place
        raise self.error(
            f"{' and '.join(programs)} not found outside the project", code=ExitCode.MISSING
        )

    def ask(
        self,
        *argv: str,
        environ: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        either_way: bool = False,
    ) -> str:
        """Run a program and return what it said, or "" where it failed or took too long.

        It runs in `/`, where no project's files are. `environ` stands in place of the human's.
        With `either_way` a program that failed has been expected to, and its words on standard
        error are returned.
        """
        said = {"LC_ALL": "C", "NO_COLOR": "1", "COLUMNS": "1000"}
        env = {**(self.environ if environ is None else environ), **said}
        # timeout(1) ends what the program has started, too.
        timeout = shutil.which("timeout", path=os.defpath) or "timeout"
        limit = (timeout, "--kill-after=2", str(SECONDS))
        try:
            ended = run(*limit, *argv, env=env, cwd="/", stdin=stdin, check=not either_way)
        except (CommandFailed, OSError):
            return ""
        return os.fsdecode(ended.stderr) if either_way else ended.text

    def error(self, message: str, *, code: ExitCode = ExitCode.FAILURE) -> UserError:
        """Return the error for a place that cannot be found; `message` bears no secret."""
        hint = f"list the hosts themselves in place of {self.word}, such as packages.example.org"
        return UserError(f"{self.word}: {message}", hint=hint, code=code)

    def rule(self, url: str) -> str:
        """Return the text of the rule for a URL's host and port, or "" for a place on this host.

        What else the URL holds stays here: often it is a password. Raises UserError.
        """
        try:
            parts = urlsplit(url.strip())
            scheme = parts.scheme.lower().rpartition("+")[2]  # sparse+https, mirror+http
            if scheme not in _PORTS or not parts.netloc:
                return ""
            host = str(parse_host(parts.hostname or ""))
            port = parts.port or _PORTS[scheme]
        except (BadHost, ValueError):  # a port that is no number
            raise self.error("a configured URL has no valid host") from None
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def read(self, path: Path) -> str:
        """Return the text of a configuration file, "" where there is none; raises UserError."""
        try:
            return path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except (OSError, UnicodeError):
            raise self.error(f"cannot read {path}") from None

    def toml(self, path: Path) -> Mapping[str, object]:
        """Return what a TOML file says; raises UserError."""
        import tomllib

        try:
            return tomllib.loads(self.read(path))
        except tomllib.TOMLDecodeError:
            raise self.error(f"not a valid TOML file: {path}") from None

    def config_home(self) -> Path:
        """Return the directory of the human's configuration files, as XDG has it."""
        given = self.environ.get("XDG_CONFIG_HOME", "")
        return Path(given) if os.path.isabs(given) else self.home / ".config"


@contextmanager
def scratch() -> Iterator[str]:
    """Give a directory of its own to a program that needs one."""
    with tempfile.TemporaryDirectory(prefix="clsecure-") as directory:
        yield directory


def table(value: object) -> Mapping[str, object]:
    """Return a TOML table, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def strings(value: object) -> list[str]:
    """Return a TOML string, or the strings of an array, as a list."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]
