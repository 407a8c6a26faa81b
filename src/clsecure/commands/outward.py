"""What an import does with the human's own key and remotes: it signs, and it pushes."""

from __future__ import annotations

from clsecure.choices import Push, Sign
from clsecure.config import Config
from clsecure.errors import ExitCode, UserError
from clsecure.git import Git, Repository
from clsecure.homecoming import branch as homebranch
from clsecure.homecoming import signing
from clsecure.output import Output


def wants_signature(repository: Repository, config: Config, output: Output) -> bool:
    """Decide, asking where possible, whether the session's commits are signed."""
    if config.sign is not Sign.ASK:
        return config.sign is Sign.ALWAYS
    if not signing.is_usual(Git(repository)):
        return False
    if not output.can_ask:
        output.note("the session's commits are not signed: --sign does it with your key")
        return False
    question = "Sign the session's commits with your key? They get new ids."
    return output.confirm(question, default=True, flag="--sign or --no-sign")


def check_push(repository: Repository, config: Config) -> None:
    """Refuse `--push` before anything is imported, where it cannot be. Raises UserError."""
    if not config.push_now:
        return
    if config.push is Push.NEVER:
        raise UserError(
            f"--push is not possible with push = never ({config.origin('push')})",
            hint="import without it, and push by yourself",
            code=ExitCode.USAGE,
        )
    if not homebranch.push_remote(repository):
        raise UserError(
            "there is no remote to push to",
            hint="git remote add origin ADDRESS, or import without --push",
            code=ExitCode.USAGE,
        )


def push(
    repository: Repository, branch: str, config: Config, output: Output, *, may_ask: bool = True
) -> str:
    """Push a branch where that was asked for; returns the remote, or "" where it was not.

    Raises UserError when git fails.
    """
    if not branch or config.push is Push.NEVER:
        return ""
    is_asked = may_ask and output.can_ask and not config.yes
    remote = homebranch.push_remote(repository) if config.push_now or is_asked else ""
    if not remote:
        return ""
    if not config.push_now and not output.confirm(f"Push it to {remote}?", default=False):
        return ""
    homebranch.push(repository, branch, remote)
    return remote
