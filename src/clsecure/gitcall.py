"""How git is called: with a clean environment, and options by which it starts nothing.

A start asks git first of all where the checkout is, so this module imports next to nothing.
"""

from __future__ import annotations

import os

from clsecure.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Who the human is, where their configuration lies and how they reach the network. None of these
# names a repository, an index or an object store. (GIT_CONFIG_COUNT may set hooks: not kept.)
_KEPT = frozenset(
    f"GIT_{name}"
    for name in [
        "CONFIG_GLOBAL",
        "CONFIG_SYSTEM",
        "CONFIG_NOSYSTEM",
        "EXEC_PATH",
        "AUTHOR_NAME",
        "AUTHOR_EMAIL",
        "COMMITTER_NAME",
        "COMMITTER_EMAIL",
        "SSH",
        "SSH_COMMAND",
        "ASKPASS",
        "SSL_CAINFO",
        "SSL_NO_VERIFY",
        "HTTP_PROXY_AUTHMETHOD",
    ]
)

SAFE: tuple[str, ...] = (
    "--no-pager",
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "fetch.recurseSubmodules=no"),
    *("-c", "log.showSignature=false"),
)

MARK = "--clsecure-mark"  # rev-parse repeats unknown options: a separator that is no path
_ASKED = (
    *("--is-bare-repository", MARK, "--absolute-git-dir", MARK, "--git-common-dir", MARK),
    *("--show-toplevel", MARK, "HEAD^{commit}", "--symbolic-full-name", "HEAD"),
)


def clean_environment(
    extra: Mapping[str, str] | None = None, *, may_fetch: bool = False
) -> dict[str, str]:
    """Return this process's environment for git: no repository in it, no locks, no questions.

    Without `may_fetch`, a partial clone fetches nothing that it lacks: what is asked for may be
    named by a worker. (Git 2.45 has a variable for that; for older ones, no protocol is allowed.)
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _KEPT
    }
    fixed = {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "false",
        "LC_ALL": "C",
    }
    if not may_fetch:
        fixed |= {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
    return {**kept, **fixed, **(extra or {})}


def ask(directory: str) -> Program:
    """Ask git for the checkout that holds a directory; `git.discover` understands its answer.

    Raises FileNotFoundError, PermissionError.
    """
    argv = ("git", *SAFE, "rev-parse", "--path-format=absolute", *_ASKED)
    return Program(argv, clean_environment(), at=directory)
