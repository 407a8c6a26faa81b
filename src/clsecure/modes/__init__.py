"""The modes: each says what this host lacks for it, and which engine it starts."""

from __future__ import annotations

from clsecure.choices import Engine, Mode
from clsecure.errors import ExitCode, UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from clsecure.facts import Facts

INSTALL = {
    "apt-get": "apt install {}",
    "dnf": "dnf install {}",
    "pacman": "pacman -S {}",
    "zypper": "zypper install {}",
}


def engine_for(mode: Mode, wanted: Engine, facts: Facts) -> str:
    """Return the engine's name for helper and start line; raises UserError (MISSING)."""
    if mode is Mode.USER:
        return "none"
    if mode is Mode.CONTAINER:
        require_podman("container mode")
        return "podman"
    if wanted is not Engine.AUTO:
        if wanted.value in facts.engines:
            return wanted.value
        raise UserError(
            f"{wanted} is not installed, and engine = {wanted} asks for it",
            hint=install_hint(wanted.value),
            code=ExitCode.MISSING,
        )
    if facts.engines:
        return facts.engines[0]
    raise UserError(
        "namespace mode needs firejail or bubblewrap, and neither is installed",
        hint=f"{install_hint('firejail')}, or use --mode user",
        code=ExitCode.MISSING,
    )


def require_podman(what: str) -> None:
    """Raise UserError (MISSING) where something is missing that podman needs for `what`."""
    from clsecure.facts import missing_for_containers

    missing = missing_for_containers()
    if not missing:
        return
    part = "which" if missing[0] == "podman" else f"and its {missing[0]}"
    raise UserError(
        f"{what} needs podman, {part} is not installed",
        hint=install_hint(" ".join(missing)),
        code=ExitCode.MISSING,
    )


def install_hint(package: str) -> str:
    """Return the command with which this host installs a package."""
    import shutil

    for program, words in INSTALL.items():
        if shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin"):
            return words.format(package)
    return f"install {package}"
