"""After a test run nothing that it made is on the machine: else the run fails and says what.

Other runs may be under way, so what counts is what belongs to the humans of this one; in CI, where
the machine is ours alone, everything counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import tempfile
from pathlib import Path

MADE = "CLSECURE_T_MADE"  # the file in which this run's processes note the humans that they make
_KEY_WORDS = ("claude-worker-", "clsecure-t-")
_LASTING = ("last-uid", "users.lock")  # root's memory of user ids, and its lock


def pytest_configure(config):
    if not hasattr(config, "workerinput") and MADE not in os.environ:
        descriptor, path = tempfile.mkstemp(prefix="clsecure-t-made-")
        os.close(descriptor)
        os.environ[MADE] = path
        config.clsecure_made = path


def pytest_sessionfinish(session):
    path = getattr(session.config, "clsecure_made", None)
    if path is None or os.geteuid() != 0:
        return
    made = dict(line.split() for line in Path(path).read_text().splitlines())
    os.unlink(path)
    del os.environ[MADE]
    found = remaining(made, everything=bool(os.environ.get("CI")))
    session.config.clsecure_left = found
    if found and not session.exitstatus:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter, config):
    for line in getattr(config, "clsecure_left", []):
        terminalreporter.write_line(f"LEFT BEHIND {line}", red=True)


def note(name, uid):
    """Note a human that a test makes."""
    if MADE in os.environ:
        with open(os.environ[MADE], "a", encoding="utf-8") as file:
            file.write(f"{name} {uid}\n")


def remaining(made, *, everything):
    """What is left of these humans (name to user id) and their workers, or of anybody's."""
    taken = {account.pw_uid for account in pwd.getpwall()}
    uids = {int(uid) for uid in made.values()} - taken  # an id may be another run's by now
    found = []
    for database in ("passwd", "group", "subuid", "subgid"):
        for line in Path("/etc", database).read_text().splitlines():
            name = line.split(":")[0]
            if name in made or (everything and name.startswith(_KEY_WORDS)):
                found.append(f"/etc/{database}: {name}")
    for directory in ("/etc/sudoers.d", "/home", "/tmp", "/opt", "/srv", "/run", "/dev/shm"):
        for path in Path(directory).glob("*"):
            marked = path.name.startswith(_KEY_WORDS) and everything
            if path.name.startswith("clsecure-t-made-"):
                continue
            if marked or any(path.name.startswith(name) for name in made):
                found.append(str(path))
    found += _sessions(made, everything)
    found += _processes(uids, made, everything)
    found += [str(path) for path in _cgroups() if everything]
    return found


def _sessions(made, everything):
    for state in Path("/var/lib/clsecure").glob("*"):
        if state.name in _LASTING:
            continue
        home = ""
        with contextlib.suppress(OSError, ValueError, KeyError):
            home = json.loads((state / "record.json").read_text())["home"]
        if everything or Path(home).name in made:
            yield str(state)


def _processes(uids, made, everything):
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = dict(
                line.split(":\t", 1)
                for line in (directory / "status").read_text().splitlines()
                if ":\t" in line
            )
            mounts = (directory / "mountinfo").read_text(errors="replace")
            named = any(f"/home/{name}" in mounts for name in made)
            worker = 66000 <= int(fields["Uid"].split()[0]) <= 99999
            if int(fields["Uid"].split()[0]) in uids or named or (everything and worker):
                yield f"process {directory.name} ({fields['Name']})"


def _cgroups():
    for parent in Path("/sys/fs/cgroup").glob("**/clsecure"):
        yield from (path for path in parent.glob("*") if path.is_dir())
