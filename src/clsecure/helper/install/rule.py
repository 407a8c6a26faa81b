"""The sudo rule that lets one user start the helper, without arguments and without a password."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import subprocess

from ..accounts import PREFIX
from ..protocol import Refusal
from . import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DIRECTORY = "/etc/sudoers.d"
# The last rule counts, and files are read in the order of their names: one that asks for a password
# is most likely in an earlier file. Names with a dot are not read. sudoers(5), "@includedir".
_NAME = re.compile(r"zz-clsecure-([0-9]+)", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*", re.ASCII)
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def text(uid: int, name: str) -> str:
    """Return the rule: this user id, as root, exactly this program, no arguments."""
    # A name may hold what sudoers reads in its own way; the number is the user in any case.
    who = f", {name}," if _PLAIN.fullmatch(name) else ""
    return (
        f"# Made by `clsecure setup`: user {uid}{who} may start clsecure's helper. It takes no\n"
        "# arguments, and touches nothing that is not that user's. Undo: clsecure setup --remove\n"
        f'#{uid} ALL=(root) NOPASSWD: {tree.PROGRAM} ""\n'
    )


def account(uid: int) -> pwd.struct_passwd:
    """Return the user that gets a rule; raises Refusal for one that must not have any."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        raise Refusal(f"user id {uid} has no account", code=4) from None
    if found.pw_name.startswith(PREFIX):
        raise Refusal("a worker may not start sessions")
    return found


def install(uid: int) -> None:
    """Put the rule in place once sudo's own checker accepts it; raises Refusal and OSError."""
    user = account(uid)
    directory = tree.open_directory(DIRECTORY)
    name, new = f"zz-clsecure-{uid}", f".clsecure-{uid}.new"
    try:
        _unlink(new, directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, 0o440, dir_fd=directory), "w", encoding="utf-8") as file:
            file.write(text(uid, user.pw_name))
            file.flush()
            os.fchmod(file.fileno(), 0o440)
            os.fsync(file.fileno())
        _check(f"{DIRECTORY}/{new}")
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        if not _is_granted(user):
            _unlink(name, directory)
            raise Refusal(
                f"sudo does not let {user.pw_name} start the helper by the new rule",
                hint=f"is `@includedir {DIRECTORY}` the last line of /etc/sudoers?",
                code=4,
            )
    finally:
        _unlink(new, directory)
        os.close(directory)


def remove(uid: int) -> bool:
    """Remove one user's rule, or with 0 every one of them; False when there was none."""
    found = [name for name in _names() if uid in (0, int(name.rpartition("-")[2]))]
    for name in found:
        os.unlink(f"{DIRECTORY}/{name}")
    return bool(found)


def users() -> list[int]:
    """Return the user ids that have a rule."""
    return [int(name.rpartition("-")[2]) for name in _names()]


def _names() -> list[str]:
    try:
        found = os.listdir(DIRECTORY)
    except FileNotFoundError:
        return []
    return sorted(name for name in found if _NAME.fullmatch(name))


def _check(path: str) -> None:
    visudo = _find("visudo")
    if not visudo:
        raise Refusal("visudo is not there to check the rule", hint="install sudo", code=4)
    ended = _run(visudo, "-cf", path)
    if ended.returncode:
        raise Refusal(f"visudo refuses the rule: {ended.stderr.strip()}", code=1)


def _is_granted(user: pwd.struct_passwd) -> bool:
    """Start the helper as that user, who is not asked: it says that it does not sit on a socket."""
    sudo = _find("sudo")
    if not sudo:
        return False
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    ended = _run(
        *(sudo, "-k", "-n", "--", tree.PROGRAM),
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=groups,
        cwd="/",
    )
    return "on a socket" in ended.stderr


def _find(program: str) -> str:
    paths = (f"{directory}/{program}" for directory in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"))
    return next((path for path in paths if os.access(path, os.X_OK)), "")


def _run(*argv: str, **identity: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        **identity,
    )


def _unlink(name: str, directory: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
