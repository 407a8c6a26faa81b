"""Every shape of checkout a person may stand in: it looks the same inside, and stays as it is."""

from __future__ import annotations

import json

import pytest

from e2e.boxes import BOTH_WORKSPACES
from e2e.footprint import changes, footprint

pytestmark = pytest.mark.parametrize("kind", BOTH_WORKSPACES, ids=str, indirect=True)


def work(human, kind, cwd, script, *flags):
    """Let a scripted agent work there; return what it said."""
    human.agent(f"set -e\n{script}")
    return human.clsecure(*kind.flags, *flags, cwd=cwd).stdout


def bring_home(human, cwd, branch="home", **options):
    """Import, and return what the import says of itself."""
    ran = human.clsecure("import", "--branch", branch, "--yes", "--json", cwd=cwd, **options)
    return json.loads(ran.stdout)


def status_of(human, top, *names):
    """git's name-status between main and the branch that came home."""
    listed = human.run("git", "diff", "--name-status", "-z", *names, cwd=top).stdout
    fields = listed.split("\0")
    return dict(zip(fields[1::2], fields[0::2], strict=False))


def test_a_dirty_tree_is_seen_and_only_the_agents_work_comes_home(human, kind):
    top = human.repository(f"dirty-{kind}", {"staged": "1\n", "unstaged": "1\n", "gone": "1\n"})
    human.write(top / "staged", "2\n")
    human.run("git", "add", "staged", cwd=top)
    human.write(top / "unstaged", "2\n")
    human.run("rm", "gone", cwd=top)
    human.write(top / "untracked", "mine\n")
    git_status = human.run("git", "--no-optional-locks", "status", "--porcelain", cwd=top).stdout
    before = footprint(top)
    said = work(human, kind, top, "git status --porcelain; echo new > agents")
    assert said == git_status
    assert bring_home(human, top)["files"] == 1
    assert status_of(human, top, "main", "home") == {"agents": "A"}
    assert all("/home" in path for path in changes(before, footprint(top)))


def test_the_agent_may_commit_the_humans_changes(human, kind):
    top = human.repository(f"adopted-{kind}", {"file": "1\n"})
    human.write(top / "file", "2\n")
    human.write(top / "untracked", "mine\n")
    before = footprint(top)
    work(human, kind, top, "echo 3 >> file; rm untracked; git commit -qam both; echo 4 >> file")
    assert bring_home(human, top)["commits"] == 2
    assert human.run("git", "show", "home~1:file", cwd=top).stdout == "2\n3\n"
    assert human.run("git", "show", "home:file", cwd=top).stdout == "2\n3\n4\n"
    assert all("/home" in path for path in changes(before, footprint(top)))


def test_from_a_subdirectory(human, kind):
    top = human.repository(f"sub-{kind}", {"a/b/file": "1\n"})
    said = work(human, kind, top / "a/b", "pwd; echo 2 > file; echo 3 > ../../root")
    assert said == f"{top}/a/b\n"
    bring_home(human, top / "a")
    assert status_of(human, top, "main", "home") == {"a/b/file": "M", "root": "A"}


def test_with_a_detached_head(human, kind):
    top = human.repository(f"detached-{kind}", {"file": "1\n"})
    human.run("git", "switch", "-q", "--detach", cwd=top)
    said = work(human, kind, top, "git branch --show-current; echo 2 > file; git commit -qam two")
    assert said.strip() == ""
    assert bring_home(human, top)["commits"] == 1


def test_a_submodule_works_and_a_session_may_start_in_one(human, kind):
    library = human.repository(f"library-{kind}", {"lib": "1\n"})
    top = human.repository(f"super-{kind}", {"file": "1\n"})
    allow = ("-c", "protocol.file.allow=always")
    human.run("git", *allow, "submodule", "--quiet", "add", library, "lib dir", cwd=top)
    human.run("git", "commit", "-qm", "with submodule", cwd=top)
    before = footprint(top)
    said = work(
        human, kind, top, "git submodule status; cd 'lib dir'; cat lib; git log --format=%s"
    )
    assert said.split("lib dir")[1].split() == ["(heads/main)", "1", "first"]
    human.clsecure("discard", "--yes", cwd=top)
    said = work(human, kind, top / "lib dir", "echo 2 > lib; git commit -qam two; pwd")
    assert said == f"{top}/lib dir\n"
    assert bring_home(human, top / "lib dir")["commits"] == 1
    assert human.run("git", "show", "home:lib", cwd=top / "lib dir").stdout == "2\n"
    assert all("/home" in path for path in changes(before, footprint(top)))


def test_ignored_directories_are_there_and_work(human, kind):
    top = human.repository(f"ignored-{kind}", {".gitignore": "node_modules\n.venv\ntarget\n"})
    human.write(top / "node_modules/left-pad/index.js", "module.exports = 1\n")
    human.write(top / "target/debug/built", "#!/bin/sh\necho runs\n", mode=0o755)
    human.run("/usr/bin/python3", "-m", "venv", "--without-pip", ".venv", cwd=top)
    human.write(top / ".venv/lib/python3.11/site-packages/mine.py", "VALUE = 42\n")
    said = work(
        human,
        kind,
        top,
        "export PYTHONDONTWRITEBYTECODE=1\n"
        ".venv/bin/python -c 'import mine, sys; print(mine.VALUE, sys.prefix)'\n"
        ". .venv/bin/activate; python -c 'import mine'\n"
        "cat node_modules/left-pad/index.js; target/debug/built; echo 2 > target/more",
    )
    assert said == f"42 {top}/.venv\nmodule.exports = 1\nruns\n"
    shown = human.clsecure("show", "--json", cwd=top).stdout
    assert json.loads(shown)["ignored"] == 1
    assert not (top / "target/more").exists()


def test_secrets_are_hidden_and_stay(human, kind):
    top = human.repository(f"secrets-{kind}", {"tracked.env.example": "x\n", ".env.sample": "x\n"})
    for name in (".env", "conf/.env.local", "key.pem", "id_rsa"):
        human.write(top / name, "secret\n")
    before = footprint(top)
    human.agent("ls -A . conf; echo mine > .env; git add -A; git commit -qm all")
    ran = human.clsecure(*kind.flags, "--show", "id_rsa", cwd=top)
    listed = ran.stdout.split()
    assert {"id_rsa", ".env.sample"} <= set(listed)
    assert not {".env", ".env.local", "key.pem"} & set(listed)
    start = ran.stderr.splitlines()[0]
    assert "hidden: .env, conf/.env.local, key.pem" in start
    bring_home(human, top)
    assert human.run("git", "show", "home:.env", cwd=top).stdout == "mine\n"
    assert all("/home" in path for path in changes(before, footprint(top)))
