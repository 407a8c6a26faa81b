"""The ways in which people have Claude installed, made of the real client for a test's human."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_MODULES = "lib/node_modules/@anthropic-ai/claude-code"
_BREW, _LOCAL = "/home/linuxbrew", "/usr/local"
# The human's commands get a view of the host in which it has a directory more.
_VIEW = ("unshare", "--mount", "--propagation", "private", "sh", "-ec")
_WITH_BREW = """
here=$1; shift
mkdir -p "$here/home" && mount --bind "$HOME_OF" "$here/home"
mount -t tmpfs -o mode=755 tmpfs /home && mkdir "$HOME_OF" /home/linuxbrew
mount --move "$here/home" "$HOME_OF"
mount --bind "$here" /home/linuxbrew
exec "$@"
"""
_WITH_LOCAL = """
here=$1; shift
mount --bind "$here" /usr/local
exec "$@"
"""


@dataclass(frozen=True)
class Way:
    """One way: the directory that it puts on PATH (`~` is the home), and whose host it changes."""

    name: str
    path: str
    view: str = ""  # what makes the human's view of the host; empty: it lies in the home

    def __str__(self) -> str:
        return self.name


WAYS = (
    Way("native", "~/.local/bin"),
    Way("npm", "~/.npm-global/bin"),
    Way("nvm", "~/.nvm/versions/node/v20.20.2/bin"),
    Way("homebrew", f"{_BREW}/.linuxbrew/bin", view=_WITH_BREW),
    Way("usr", f"{_LOCAL}/bin", view=_WITH_LOCAL),
)


def install(way: Way, human, client: Path, elsewhere: Path) -> dict[str, str]:
    """Install the client that way, at `elsewhere` if not in the home; returns the variables."""
    program = client.resolve()
    if way.name == "native":
        _place(program, human.home / ".local/share/claude/versions/2.1.197")
        _link(human.home / ".local/bin/claude", human.home / ".local/share/claude/versions/2.1.197")
    elif way.name == "homebrew":
        brew = elsewhere / ".linuxbrew"
        _place(program, brew / "Caskroom/claude-code/2.1.197/claude")
        _link(brew / "bin/claude", "../Caskroom/claude-code/2.1.197/claude")
    else:
        prefix = human.home / way.path[2:-4] if way.path.startswith("~/") else elsewhere
        package = program.parents[1]
        for name in ("package.json", "cli-wrapper.cjs"):
            (prefix / _MODULES).mkdir(parents=True, exist_ok=True)
            shutil.copy(package / name, prefix / _MODULES)
        _place(program, prefix / _MODULES / "bin/claude.exe")
        _link(prefix / "bin/claude", f"../{_MODULES}/bin/claude.exe")
        if way.name == "nvm":
            _link(prefix / "bin/node", shutil.which("node"))
    owner = human.account if not way.view or way.name == "homebrew" else None
    if owner:
        for top in (human.home, elsewhere):
            human_owns(top, owner.pw_uid, owner.pw_gid)
    if way.view:
        script = f"HOME_OF={human.home}\n{way.view}"
        human.prefix = (*_VIEW, script, "sh", str(elsewhere))
    path = way.path.replace("~", str(human.home), 1)
    return {"PATH": f"{path}:/usr/local/bin:/usr/bin:/bin"}


def human_owns(top: Path, uid: int, gid: int) -> None:
    """Give what root made below a directory to the human, but for the program, which is shared."""
    for directory, names, files in os.walk(top):
        for name in (*names, *files):
            path = f"{directory}/{name}"
            status = os.lstat(path)
            if status.st_uid == 0 and (status.st_nlink == 1 or os.path.isdir(path)):
                os.lchown(path, uid, gid)


def _place(program: Path, at: Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(program, at)
    except OSError:  # another file system
        shutil.copy(program, at)


def _link(at: Path, target: str | Path | None) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(str(target))
