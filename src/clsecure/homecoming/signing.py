"""Signs a session's commits with the human's key, outside, as their own git would.

A signature is part of a commit, so each gets a new id, and so does what is built on it. Only
what the session made in the human's name is signed: commits of others that it fetched or merged
stay as they are, and so does what somebody has signed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clsecure.errors import ExitCode, UserError
from clsecure.git import Git
from clsecure.homecoming.refs import namespace, reason, update_refs

SIGNED = "signed"  # the ref for the list of what has been signed, and as which commit
_PERSON = re.compile(rb"(.*?) ?<([^<>]*)> (-?[0-9]+ [+-][0-9]{4})", re.DOTALL)
_FIELDS = ("NAME", "EMAIL", "DATE")


class Commit(NamedTuple):
    """A commit as it is stored; `author` and `committer` are name, address and date."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, ...]
    committer: tuple[str, ...]
    encoding: str
    is_signed: bool
    message: bytes


def is_usual(git: Git) -> bool:
    """Return whether the human's git signs commits unasked."""
    asked = git.run("config", "--type=bool", "--default=false", "commit.gpgSign", check=False)
    return asked.text.strip() == "true"


def sign(git: Git, key: str, tips: Sequence[str], base: str) -> dict[str, str]:
    """Make signed commits of the new ones that lead to `tips`; returns which became which.

    What an earlier import of the session has signed is taken from there. Nothing refers to the
    commits yet. Raises UserError (IMPORT) when git cannot sign.
    """
    known, made = _known(git, key), {}
    mail = git.run("var", "GIT_COMMITTER_IDENT", check=False).stdout
    own = _person(mail.strip())[1]
    for commit in _new(git, tips, base):
        if commit.oid in known:
            made[commit.oid] = known[commit.oid]
            continue
        parents = tuple(made.get(parent, parent) for parent in commit.parents)
        is_own = not commit.is_signed and bool(own) and commit.committer[1] == own
        if is_own or parents != commit.parents:
            made[commit.oid] = _again(git, commit, parents, is_own=is_own)
    return made


def remember(git: Git, key: str, made: dict[str, str]) -> None:
    """Keep what became of each commit, for the next import of the session."""
    if made:
        lines = "".join(f"{old} {new}\n" for old, new in {**_known(git, key), **made}.items())
        oid = git.run("hash-object", "-w", "--stdin", stdin=lines.encode()).text.strip()
        update_refs(git, [f"update {namespace(key)}{SIGNED}\0{oid}\0\0"])


def _known(git: Git, key: str) -> dict[str, str]:
    """Return what was signed before, as far as it is still here."""
    listed = git.run("cat-file", "blob", f"{namespace(key)}{SIGNED}", check=False).text
    pairs = dict(line.split(" ") for line in listed.splitlines())
    asked = "".join(f"{new}\n" for new in pairs.values()).encode()
    found = git.run("cat-file", "--batch-check", stdin=asked).text.splitlines() if pairs else []
    here = {line.split(" ")[0] for line in found if not line.endswith(" missing")}
    return {old: new for old, new in pairs.items() if new in here}


def _new(git: Git, tips: Sequence[str], base: str) -> Iterator[Commit]:
    """Yield the commits that no ref of the human's has, parents first."""
    known = ("--not", "--exclude=refs/clsecure/*", "--all", *([base] if git.has(base) else []))
    oids = git.lines("rev-list", "--topo-order", "--reverse", *tips, *known)
    asked = "".join(f"{oid}\n" for oid in oids).encode()
    answer = git.run("cat-file", "--batch", stdin=asked).stdout
    for oid in oids:
        header, _, answer = answer.partition(b"\n")
        size = int(header.split()[2])
        yield _parsed(oid, answer[:size])
        answer = answer[size + 1 :]


def _parsed(oid: str, content: bytes) -> Commit:
    head, _, message = content.partition(b"\n\n")
    lines = [line.partition(b" ") for line in head.split(b"\n") if not line.startswith(b" ")]
    fields = {name: value for name, _, value in lines}
    return Commit(
        oid=oid,
        tree=fields[b"tree"].decode("ascii"),
        parents=tuple(value.decode("ascii") for name, _, value in lines if name == b"parent"),
        author=_person(fields[b"author"]),
        committer=_person(fields[b"committer"]),
        encoding=os.fsdecode(fields.get(b"encoding", b"")),
        is_signed=b"gpgsig" in fields or b"gpgsig-sha256" in fields,
        message=message,
    )


def _person(text: bytes) -> tuple[str, ...]:
    found = _PERSON.fullmatch(text)
    if not found:
        return ("", "", "")
    name, mail, date = (os.fsdecode(each) for each in found.groups())
    return name, mail, f"@{date}"


def _again(git: Git, commit: Commit, parents: Sequence[str], *, is_own: bool) -> str:
    """Make the commit anew on other parents, signed where it is the human's own."""
    env = {
        f"GIT_{role}_{field}": value
        for role, person in (("AUTHOR", commit.author), ("COMMITTER", commit.committer))
        for field, value in zip(_FIELDS, person, strict=True)
    }
    encoding = ("-c", f"i18n.commitEncoding={commit.encoding}") if commit.encoding else ()
    signature = "--gpg-sign" if is_own else "--no-gpg-sign"
    above = [word for parent in parents for word in ("-p", parent)]
    words = (*encoding, "commit-tree", signature, *above, commit.tree)
    ended = git.run(*words, stdin=commit.message, env=env, check=False)
    if ended.returncode:
        raise UserError(
            f"the commits could not be signed: {reason(ended.stderr)}",
            hint="--no-sign imports them as they are",
            code=ExitCode.IMPORT,
        )
    return ended.text.strip()
