"""`clsecure setup`: root's own copy of the helper, and a sudo rule for it."""

from __future__ import annotations

import json
import os
import pwd

from clsecure import ahead, privileged, process
from clsecure.errors import ExitCode, UserError
from clsecure.invocation import Invocation

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def run(invocation: Invocation) -> int:
    """Install or remove, through one sudo."""
    removes = invocation.flag("remove")
    uid = _user(invocation)
    for line in _as_root(
        "remove" if removes else "install", uid, may_ask=invocation.output.can_ask
    ):
        invocation.output.say(line)
    return ExitCode.OK


def _user(invocation: Invocation) -> int:
    """Return the user id that gets the rule: the named one, us, or who called sudo; 0 for none."""
    if "for_user" in invocation.options:
        name = str(invocation.options["for_user"].value)
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            raise UserError(
                f"there is no user {name}", hint="--for takes a user's name", code=ExitCode.USAGE
            ) from None
    called = invocation.environ.get("SUDO_UID", "")
    if os.getuid() == 0 and called.isascii() and called.isdigit():
        return int(called)
    return os.getuid()


def _as_root(action: str, uid: int, *, may_ask: bool) -> list[str]:
    program = f"{ahead.PACKAGE}/install"
    argv = (ahead.PYTHON, "-IS", program, action, str(uid))
    if os.getuid() != 0:
        sudo = ahead.sudo_path()
        if not sudo:
            raise privileged.no_sudo()
        argv = (sudo, *(() if may_ask else ("-n",)), "--", *argv)
    ended = process.run(*argv, env=_ENVIRONMENT, check=False)
    try:
        document = json.loads(ended.stdout)
    except ValueError:
        said = os.fsdecode(ended.stderr).strip()
        raise UserError(
            f"setup could not be run as root: {said or f'exit code {ended.returncode}'}",
            hint="an administrator can do it for you: clsecure setup --for YOU",
            code=ExitCode.MISSING,
        ) from None
    if "message" in document:
        code = ExitCode(document["code"])
        raise UserError(document["message"], hint=document["hint"], code=code)
    return [str(line) for line in document["lines"]]
