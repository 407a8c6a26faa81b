"""Which of the human's git settings a session gets: an allow-list, without credentials.

What is kept is what decides how git reads the tree and names the author. What is left out runs
programs of the human's (hooks, monitors, helpers, signing), opens other files (includes,
templates) or holds secrets (headers, user information in addresses).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from clsecure.giturls import without_credentials

_KEPT_NAMES = frozenset(
    [
        "user.name",
        "user.email",
        "author.name",
        "author.email",
        "committer.name",
        "committer.email",
        "core.filemode",
        "core.ignorecase",
        "core.precomposeunicode",
        "core.autocrlf",
        "core.eol",
        "core.symlinks",
        "core.sparsecheckout",
        "core.sparsecheckoutcone",
        "core.quotepath",
        "core.abbrev",
        "core.whitespace",
        "core.protecthfs",
        "core.protectntfs",
        "core.bigfilethreshold",
        "core.commentchar",
        "index.sparse",
        "index.version",
        "init.defaultbranch",
        "commit.cleanup",
        "format.signoff",
        "commit.verbose",
        "push.default",
        "i18n.commitencoding",
        "extensions.objectformat",
        "extensions.partialclone",
    ]
)
_KEPT_SECTIONS = frozenset(
    ["filter", "lfs", "remote", "branch", "submodule", "diff", "merge", "pull", "rebase"]
)
_DROPPED_NAMES = frozenset(
    [
        "uploadpack",
        "receivepack",
        "proxy",
        "proxyauthmethod",
        "vcs",
        "helper",
        "external",
        "gpgsign",
        "verifysignatures",
        "extraheader",
        "sslkey",
        "sslcert",
        "storage",
    ]
)


class Entry(NamedTuple):
    """One setting: where it was set, its key in three parts, its value (None: no "=" at all)."""

    scope: str
    section: str
    subsection: str
    name: str
    value: str | None

    @property
    def key(self) -> str:
        """The key in git's spelling."""
        return ".".join(part for part in (self.section, self.subsection, self.name) if part)


def entries(listing: bytes) -> Iterator[Entry]:
    """Read the output of `git config --list --show-scope -z`."""
    fields = listing.split(b"\0")
    for scope, field in zip(fields[::2], fields[1::2], strict=False):
        key, equals, value = os.fsdecode(field).partition("\n")
        section, _, rest = key.partition(".")
        subsection, _, name = rest.rpartition(".")
        yield Entry(os.fsdecode(scope), section, subsection, name, value if equals else None)


def value_of(settings: Iterable[Entry], key: str) -> str | None:
    """Return the effective value of `key`: the last one set."""
    found = None
    for entry in settings:
        if entry.key == key:
            found = entry.value
    return found


def promisor(settings: Iterable[Entry]) -> str | None:
    """Return the address of the remote which has what a partial clone lacks; None: nothing is."""
    settings = list(settings)
    named = [each.subsection for each in settings if each.name == "promisor"]
    named += [each.value or "" for each in settings if each.key == "extensions.partialclone"]
    if not named:
        return None
    return without_credentials(value_of(settings, f"remote.{named[0]}.url") or "")


def session_config(
    settings: Iterable[Entry], *, worktree: str | None, hooks: str | None = None
) -> str:
    """Return the configuration file of a session's git directory.

    `worktree` is the absolute path for `core.worktree`, for a git directory that needs it, and
    `hooks` a directory of hooks in the tree.
    """
    kept = [_without_credentials(entry) for entry in settings if _is_kept(entry)]
    extended = any(entry.section == "extensions" for entry in kept)
    ours = {
        "repositoryformatversion": "1" if extended else "0",
        "bare": "false",
        "logallrefupdates": "true",
        # The index was copied from another filesystem: its inode numbers and change times do not
        # fit, and without these two the first status would read every file.
        "checkstat": "minimal",
        "trustctime": "false",
    }
    if hooks is not None:
        ours["hookspath"] = hooks
    if worktree is not None:
        ours["worktree"] = worktree
    fixed = [Entry("", "core", "", name, value) for name, value in ours.items()]
    fixed += [Entry("", "gc", "", "auto", "0"), Entry("", "maintenance", "", "auto", "false")]
    return "".join(render(entry) for entry in (*kept, *fixed))


def home_config(settings: Iterable[Entry]) -> str:
    """Return what of the human's own settings is for every repository, such as who they are."""
    kept = [each for each in settings if each.scope == "global" and _is_kept(each)]
    return "".join(render(_without_credentials(each)) for each in kept)


def render(entry: Entry) -> str:
    """Return the setting as lines of a configuration file."""
    header = f'{entry.section} "{_quote(entry.subsection)}"' if entry.subsection else entry.section
    if entry.value is None:
        return f"[{header}]\n\t{entry.name}\n"
    value = _quote(entry.value).replace("\n", "\\n").replace("\t", "\\t").replace("\b", "\\b")
    return f'[{header}]\n\t{entry.name} = "{value}"\n'


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _is_kept(entry: Entry) -> bool:
    if entry.key in _KEPT_NAMES:
        return True
    return (
        entry.section in _KEPT_SECTIONS
        and entry.name not in _DROPPED_NAMES
        and "\n" not in entry.subsection
    )


def _without_credentials(entry: Entry) -> Entry:
    value = None if entry.value is None else without_credentials(entry.value)
    subsection = without_credentials(entry.subsection)
    return Entry(entry.scope, entry.section, subsection, entry.name, value)
