"""Install and remove, for one user id; what was done is printed as one JSON document."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from contextlib import contextmanager

from .. import trust
from ..engines import PYTHON
from ..protocol import Refusal
from . import rule, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ARGUMENTS = 2
_OLDEST = (3, 10)
_MAX_ID = 0xFFFF_FFFE  # the one above means "no user" to the kernel


def main(arguments: list[str]) -> int:
    """Do it and print {"lines": […]}, or {"message", "hint", "code"}; returns an exit code."""
    if len(arguments) != _ARGUMENTS or arguments[0] not in _ACTIONS or not _is_id(arguments[1]):
        sys.stderr.write("this program is started by `clsecure setup`\n")
        return 2
    if os.geteuid() != 0:
        sys.stderr.write("this program is started by `clsecure setup`, as root\n")
        return 2
    os.umask(0o022)
    try:
        document: dict[str, object] = {"lines": _ACTIONS[arguments[0]](int(arguments[1]))}
    except Refusal as refusal:
        document = refusal.answer.to_json()
    except OSError as error:
        document = {"message": f"setup failed: {error}", "hint": "", "code": 1}
    print(json.dumps(document))  # noqa: T201 - read by clsecure, from a pipe
    return 0


def install(uid: int) -> list[str]:
    """Install the helper, and a rule unless `uid` is 0; raises Refusal and OSError."""
    package = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if sys.version_info < _OLDEST:
        raise Refusal(f"{PYTHON} is older than 3.10", code=4)
    reason = trust.why_not(PYTHON)
    if reason:
        raise Refusal(f"the helper would run on a Python that is not root's alone: {reason}")
    with _lock():
        if uid:
            rule.account(uid)
        tree.install(tree.read_sources(package), rule.users())
        lines = [f"installed: {tree.PLACE}/{tree.NAME}"]
        if uid:
            rule.install(uid)
            tree.mark(uid, has_rule=True)
            name = rule.account(uid).pw_name
            lines.append(f"sudo rule: {name} may start {tree.PROGRAM}, and nothing else; tried")
        else:
            lines.append("no sudo rule: root needs none, and no user was named")
    return lines


def remove(uid: int) -> list[str]:
    """Remove the user's rule, and the helper with the last rule; with 0 everything."""
    with _lock():
        lines = ["removed: the sudo rule"] if rule.remove(uid) else []
        others = len(rule.users())
        if others:
            tree.mark(uid, has_rule=False)
            lines.append(f"kept: {tree.PLACE}/{tree.NAME}, for {others} other user(s)")
        elif tree.remove():
            lines.append(f"removed: {tree.PLACE}/{tree.NAME}")
    return lines or ["nothing was installed"]


_ACTIONS = {"install": install, "remove": remove}


def _is_id(word: str) -> bool:
    return word.isascii() and word.isdigit() and int(word) <= _MAX_ID


@contextmanager
def _lock() -> Iterator[None]:
    # On sudo's own file, which only root can open: nobody else can hold it. Without sudo only
    # root is here.
    try:
        file = os.open("/etc/sudoers", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
