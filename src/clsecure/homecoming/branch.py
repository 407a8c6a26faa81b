"""Makes branches of a session's work, and what a person may ask for next: switch to it, push it.

Everything that is made is made in one transaction of refs, so nothing is ever half done; working
tree, index, HEAD, configuration and all other refs stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from clsecure.errors import ExitCode, UserError
from clsecure.git import Git, Repository
from clsecure.homecoming import signing
from clsecure.homecoming.changes import changed
from clsecure.homecoming.nested import places
from clsecure.homecoming.refs import Names, namespace, update_refs, valid_branch
from clsecure.homecoming.work import Work
from clsecure.output import escape


@dataclass(frozen=True)
class Imported:
    """What an import made.

    `branch` is the new branch, `commits` how many of its commits are on no other branch of the
    human's, `files` how many files it changes against the session's start. `others` are the
    further refs: ("branch" | "tag" | "stash" | "ref" | "snapshot", full name), and what became of
    repositories inside: ("submodule" | "repository", words). Without a `branch` only they had work.
    """

    branch: str
    commits: int
    files: int
    warnings: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    signed: int = 0  # commits that are the session's with another id


def default_branch(project: str, session: str | None, now: datetime) -> str:
    """Return `claude/<project>[-<session>]-YYYYmmdd-HHMMSS`, always a valid name."""
    parts = [_word(part) for part in (project, session or "")]
    name = "-".join(part for part in parts if part) or "session"
    return f"claude/{name}-{now:%Y%m%d-%H%M%S}"


def _word(text: str) -> str:
    """Reduce a name to what is safe in a ref and in a shell."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:80]


def check_branch(repository: Repository, name: str) -> None:
    """Raise UserError (IMPORT) unless a branch of this name can be made."""
    _check_name(name)
    _check_free(_names(Git(repository)), name)


def import_work(
    repository: Repository,
    work: Work,
    *,
    branch: str,
    commit_message: str | None,
    sign: bool = False,
) -> Imported:
    """Make `branch` of the session's work.

    With a `commit_message` the uncommitted work becomes a commit of the human's on top; without
    one it stays at refs/clsecure/<key>/snapshot. Other branches with new commits become
    `<branch>.<name>`, tags keep their name if it is free. With `sign` all commits of the session
    are signed, but for those in repositories inside. Raises UserError with ExitCode.IMPORT; then
    nothing has been made.
    """
    git = Git(repository)
    _check_name(branch)
    names = _names(git)
    _check_free(names, branch)
    warnings = list(work.warnings)
    inner = import_nested(work, branch, with_uncommitted=commit_message is not None)
    tip = work.head
    if work.snapshot and commit_message is not None:
        tip = _commit(git, work, commit_message, warnings)
    if tip is None or not (work.commits or tip != work.head or work.branches or work.tags):
        if not inner:
            raise _nothing(work)
        left = _left(work, with_snapshot=True)
        return Imported("", 0, 0, tuple(warnings), (*inner, *left))
    names.add(f"refs/heads/{branch}")
    made = dict(_others(work, branch, names))
    is_head = tip == work.head
    signed: dict[str, str] = {}
    if sign:
        tips = [tip, *(each.oid for each in work.branches)]
        signed = signing.sign(git, work.key, tips, work.base)
        tip = signed.get(tip, tip)
        made = {name: (kind, signed.get(oid, oid)) for name, (kind, oid) in made.items()}
        if signed and any(each.oid not in signed for each in work.tags):
            warnings.append("annotated tags name the commits as they were, without your signature")
    creations = {f"refs/heads/{branch}": tip, **{name: oid for name, (_, oid) in made.items()}}
    already = ("--not", "--exclude=refs/clsecure/*", "--all")
    base = (work.base,) if git.has(work.base) else ()
    commits = int(git.run("rev-list", "--count", tip, *already, *base).text)
    update_refs(git, [f"create {name}\0{oid}\0" for name, oid in creations.items()])
    signing.remember(git, work.key, signed)
    others = [*inner, *((kind, name) for name, (kind, _) in made.items())]
    others += list(_left(work, with_snapshot=is_head))
    files = sum(1 for _ in changed(git, work.base, tip))
    return Imported(branch, commits, files, tuple(warnings), tuple(others), len(signed))


def import_nested(
    work: Work, branch: str, *, with_uncommitted: bool
) -> tuple[tuple[str, str], ...]:
    """Make branches of the work in the repositories inside, and return what became of each.

    Uncommitted work is taken as the session's commit of it, which is what the project's own
    records. Raises UserError with ExitCode.IMPORT.
    """
    made: list[tuple[str, str]] = []
    for nested in work.nested:
        inner = nested.work
        if nested.is_new:
            made.append(("repository", f"{nested.path}: {namespace(inner.key)}"))
            continue
        if with_uncommitted and inner.snapshot:
            inner = replace(inner, head=inner.tip, snapshot=None, commits=inner.commits + 1)
        if not (inner.commits or inner.branches or inner.tags):
            made += ((kind, f"{nested.path}: {name}") for kind, name in _left(inner))
            continue
        name = _names(Git(nested.repository)).free(f"refs/heads/{branch}")
        own = import_work(
            nested.repository,
            replace(inner, nested=()),
            branch=name.removeprefix("refs/heads/"),
            commit_message=None,
        )
        made.append(("submodule", f"{nested.path}: branch {own.branch}"))
        made += ((kind, f"{nested.path}: {name}") for kind, name in own.others)
    return tuple(made)


def _nothing(work: Work) -> UserError:
    if work.snapshot:
        kept = f"{namespace(work.key)}snapshot"
        hint = f"import it with a commit message, or look at it: git show {kept}"
        return _refused("there are no commits to import, only uncommitted work", hint)
    if work.stashes or work.others:
        hint = f"git for-each-ref {namespace(work.key)}"
        return _refused("there are no commits to import; other refs are kept", hint)
    return _refused("there is nothing to import: the session made no changes", "")


def _refused(message: str, hint: str) -> UserError:
    return UserError(message, hint=hint, code=ExitCode.IMPORT)


def _check_name(name: str) -> None:
    if not valid_branch(name):
        hint = "a name is made of letters, digits, '-', '_', '.' and '/', for example: claude/work"
        raise _refused(f"not a name for a branch: {escape(name)}", hint)


def _names(git: Git) -> Names:
    return Names(git.lines("for-each-ref", "--format=%(refname)"))


def _check_free(names: Names, branch: str) -> None:
    if names.has_room(f"refs/heads/{branch}"):
        return
    problem = "cannot stand beside those that there are"
    if not names.conflicts(f"refs/heads/{branch}"):
        problem = "exists already"
    hint = "choose another name with --branch NAME"
    raise _refused(f"the branch {escape(branch)} {problem}", hint)


def _commit(git: Git, work: Work, message: str, warnings: list[str]) -> str:
    """Commit the uncommitted work as the human, on top of the session's commits."""
    if not work.snapshot:
        raise ValueError("no uncommitted work")
    parent = ("-p", work.head) if work.head else ()
    arguments = ("commit-tree", "--no-gpg-sign", *parent, f"{work.snapshot.commit}^{{tree}}")
    text = message.encode("utf-8", "surrogateescape") + b"\n"
    made = git.run(*arguments, stdin=text, check=False)
    if made.returncode:  # git knows no name for the human
        who = git.run("log", "-1", "--format=%an%x00%ae", work.snapshot.commit).text.strip()
        name, _, mail = who.partition("\0")
        env = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", name), ("EMAIL", mail))
        }
        made = git.run(*arguments, stdin=text, env=env)
        warnings.append("your git has no user.name and user.email: committed as the session did")
    return made.text.strip()


def _others(work: Work, branch: str, names: Names) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (ref, (kind, object)) for the session's other branches and tags, under free names."""
    for other in work.branches:
        wanted = f"refs/heads/{branch}.{other.name.replace('/', '-')}"
        yield names.free(wanted), ("branch", other.oid)
    for tag in work.tags:
        own = f"refs/tags/{tag.name}"
        renamed = f"refs/tags/{branch}.{tag.name.replace('/', '-')}"
        yield names.free(own if names.has_room(own) else renamed), ("tag", tag.oid)


def _left(work: Work, *, with_snapshot: bool = True) -> Iterable[tuple[str, str]]:
    """Yield what stays in the session's own refs."""
    prefix = namespace(work.key)
    for number in range(len(work.stashes)):
        yield "stash", f"{prefix}stash/{number}"
    for name in work.others:
        yield "ref", f"{prefix}other/{name.removeprefix('refs/')}"
    if work.snapshot and with_snapshot:
        yield "snapshot", f"{prefix}snapshot"


def discard(repository: Repository, key: str, *, keep_left: bool = False) -> None:
    """Remove all of a session's own refs; what was imported stays.

    With `keep_left`, so do those which no import makes a branch of, and which hold the only copy:
    stashes, other refs, and uncommitted work that was not to be committed.
    """
    git, prefix = Git(repository), namespace(key)
    for other in places(git, key):
        discard(other, key, keep_left=keep_left)
    names = git.lines("for-each-ref", "--format=%(refname)", prefix)
    if keep_left:
        left = tuple(f"{prefix}{name}" for name in ("stash/", "other/", "snapshot", "nested/"))
        names = [name for name in names if not name.startswith(left)]
    update_refs(git, [f"delete {name}\0\0" for name in names])


def switch_to(repository: Repository, branch: str) -> None:
    """Check `branch` out. Raises UserError (IMPORT) where that would overwrite local changes."""
    git = Git(repository)
    ended = git.run("switch", "--no-guess", "--quiet", branch, check=False, may_fetch=True)
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.strip()]
        reason = escape(said[0].partition(b": ")[2] or said[0]) if said else "git gave no reason"
        hint = f"commit or stash your changes, then: git switch {escape(branch)}"
        raise _refused(f"not switched to {escape(branch)}: {reason}", hint)


def push_remote(repository: Repository) -> str:
    """Return the remote that the checked-out branch is pushed to, as git has it; "" for none."""
    git, branch = Git(repository), repository.head.branch
    remotes = git.lines("remote")
    keys = [f"branch.{branch}.pushRemote", "remote.pushDefault", f"branch.{branch}.remote"]
    for key in keys if len(remotes) > 1 else ():
        named = git.run("config", key, check=False).text.strip()
        if named in remotes:
            return named
    return "origin" if "origin" in remotes else next(iter(remotes), "")


def push(repository: Repository, branch: str, remote: str) -> None:
    """Push `branch` to `remote` on the human's terminal, where git may ask for a password.

    The human's own hooks run, unless core.hooksPath leads into the working tree: what is there
    may be the session's by now. Raises UserError (IMPORT) when git fails.
    """
    refspec = f"refs/heads/{branch}:refs/heads/{branch}"
    arguments = ("push", "--set-upstream", "--", remote, refspec)
    if Git(repository).on_terminal(*arguments, hooks=_own_hooks(repository)):
        hint = f"try it yourself: git push {escape(remote)} {escape(branch)}"
        raise _refused(f"the branch {escape(branch)} could not be pushed", hint)


def hooks_in_tree(repository: Repository) -> str | None:
    """Return the directory in the working tree that core.hooksPath names, for the review."""
    hooks, top = _hooks_path(repository), repository.top.resolve()
    if hooks is None or not hooks.is_relative_to(top):
        return None
    inside_git = any(
        hooks.is_relative_to(each.resolve()) for each in (repository.git_dir, repository.common_dir)
    )
    return None if inside_git else hooks.relative_to(top).as_posix()


def _own_hooks(repository: Repository) -> str | None:
    hooks = _hooks_path(repository)
    if hooks is None:
        return str(repository.common_dir / "hooks")
    return None if hooks_in_tree(repository) else str(hooks)


def _hooks_path(repository: Repository) -> Path | None:
    """Return what the human's core.hooksPath leads to."""
    arguments = ("config", "--type=path", "--get-all", "-z", "core.hooksPath")
    *own, _ours = Git(repository).run(*arguments).text.removesuffix("\0").split("\0")
    return (repository.top / own[-1]).resolve() if own else None
