"""What a worker leaves in its home, tree and git directory changes nothing of the host's, ever.

Each trap is set in a session; then the session is resumed, shown, imported and removed. Every step
goes on or ends with one clear line, and the canaries of host and human are as they were.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from probe import mode_options

pytestmark = pytest.mark.root

GO_ON, SAYS_SO = "goes on", "says so"
TRAPS = {
    "config-to-passwd": ("rm .git/config; ln -s /etc/passwd .git/config", GO_ON),
    "config-to-the-humans": ("rm .git/config; ln -s HOME/.gitconfig .git/config", GO_ON),
    "head-to-a-file": ("rm .git/HEAD; ln -s /etc/hostname .git/HEAD", SAYS_SO),
    "pipes-in-git": (
        "for f in config packed-refs info/exclude; do rm -f .git/$f; mkfifo .git/$f; done",
        GO_ON,
    ),
    "alternates-to-root": ("echo /root >> .git/objects/info/alternates", GO_ON),
    "objects-to-etc": ("rm -rf .git/objects; ln -s /etc .git/objects", SAYS_SO),
    "hooks": (
        (
            "mkdir -p .git/hooks; for h in post-checkout pre-commit reference-transaction; do "
            "printf '#!/bin/sh\\ntouch CANARY/ran' > .git/hooks/$h; chmod +x .git/hooks/$h; done; "
            "git config core.hooksPath .git/hooks; git config core.fsmonitor 'touch CANARY/ran'"
        ),
        GO_ON,
    ),
    "scratch-to-etc": ("ln -s CANARY .git/clsecure-export-1; ln -s /etc .git/x.damaged", GO_ON),
    "home-of-links": (
        (
            "rm -rf ~/.claude ~/.claude.json; ln -s CANARY/file ~/.claude.json; "
            "ln -s CANARY ~/.claude;"
            "ln -s CANARY/file ~/.bashrc; ln -sf CANARY/file ~/.gitconfig; mkdir -p ~/.config;"
            "ln -s CANARY ~/.config/firejail; ln -s CANARY/file ~/.Xauthority;"
            "mkdir ~/.config/git; echo '[bad' > ~/.config/git/config"
        ),
        GO_ON,
    ),
    "parent-to-etc": ("mv ~/src ~/moved; ln -s /etc ~/src", GO_ON),
    "parent-to-a-pipe": ("mv ~/src ~/moved; mkfifo ~/src", GO_ON),
    "parent-closed": ("chmod 000 ~/src", GO_ON),
    "tree-closed": ("chmod 000 .", GO_ON),
    "git-closed": ("chmod 000 .git", GO_ON),
    "home-closed": ("chmod 000 ~", GO_ON),
    "git-emptied": ("rm -rf .git/*", SAYS_SO),
    "links-in-the-tree": (
        (
            "ln -s CANARY/file link; ln -s CANARY dir; rm -r sub; ln -s CANARY sub; "
            "mkfifo pipe; mkfifo sub2; ln -s loop loop"
        ),
        GO_ON,
    ),
    "a-link-for-the-hook": ("mkdir -p .clsecure; ln -s CANARY/hook .clsecure/on-cleanup", GO_ON),
    "deep": (
        (
            "python3 -c \"import os\nfor n in range(1200): os.mkdir('d'); os.chdir('d')\"; "
            "cd ~; python3 -c \"import os\nfor n in range(3000): os.mkdir('d'); os.chdir('d')\""
        ),
        SAYS_SO,
    ),
}


class Canaries:
    """Files of the host and the human which no session may touch."""

    def __init__(self, human, name):
        self.directory = Path("/srv", f"{human.name}-{name}")
        self.directory.mkdir()
        (self.directory / "file").write_text("untouched\n")
        (self.directory / "hook").write_text("#!/bin/sh\ntouch hooked\n")
        for path in (self.directory, *self.directory.iterdir()):
            os.chmod(path, 0o777)  # nothing but the box keeps a worker off
        self._home = human.home
        self._before = self.state()

    def state(self):
        paths = [*self.directory.rglob("*"), self._home / ".gitconfig", Path("/etc/hostname")]
        paths += [Path("/etc/shells"), *self._home.glob(".bash*")]
        return {path: print_of(path) for path in paths}

    def unchanged(self):
        return self.state() == self._before


def print_of(path):
    status = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return status.st_mode, status.st_uid, status.st_mtime_ns, content


@pytest.fixture
def canaries(human, request):
    made = Canaries(human, f"canaries-{abs(hash(request.node.name)) % 10**8}")
    yield made
    subprocess.run(["rm", "-rf", made.directory], check=True)


def host_state(human, project):
    """The human's repository, but for the refs that clsecure makes."""
    refs = human.run("git", "for-each-ref", cwd=project).stdout.splitlines()
    kept = [line for line in refs if "refs/clsecure/" not in line and "refs/heads/b" not in line]
    files = {
        path: print_of(path)
        for path in project.rglob("*")
        if not path.is_dir()
        and ".git/objects/" not in str(path)
        and "/.git/refs" not in str(path)
        and "/.git/logs" not in str(path)
        and "packed-refs" not in str(path)
    }
    return kept, files


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_catches_nothing(human, canaries, trap):
    box = "firejail" if trap in ("home-of-links", "home-closed", "parent-to-etc") else "user"
    script, outcome = TRAPS[trap]
    script = script.replace("CANARY", str(canaries.directory)).replace("HOME", str(human.home))
    project = human.repository(f"src/{trap}", {"README": "hello\n", "sub/file": "x\n"})
    # What a worker's first commit of another name would show, whatever becomes of the rest.
    human.agent(f"echo work > work.txt\n{script}")
    before = host_state(human, project)
    steps = [mode_options(box)]
    answers = []
    for words in (*steps, ("show",), ("diff",), ("import", "--branch", "b", "--yes")):
        answers.append(run(human, project, *words))
        assert canaries.unchanged(), words
        human.agent("true")
    last = answers[-1]
    if outcome == GO_ON:
        assert last.returncode == 0, last.stderr
        brought = human.run("git", "show", "b:work.txt", cwd=project).stdout
        assert brought == "work\n"
    else:
        assert last.returncode == 6, last
        assert "it is all still in the session" in last.stderr
    assert host_state(human, project) == before
    removed = run(human, project, "discard", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert canaries.unchanged()
    (worker,) = re.findall(r"^removed: (\S+)$", removed.stdout, re.MULTILINE)
    assert not Path("/var/lib/clsecure", worker).exists()


def run(human, project, *words):
    ended = human.clsecure(*words, cwd=project, code=None, seconds=60)
    assert "Traceback" not in ended.stderr
    assert "internal error" not in ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("clsecure: ")]
    if ended.returncode:
        assert len(errors) == 1, ended.stderr
    return ended


def test_control_the_canaries_can_be_written_outside(human, canaries):
    human.run("sh", "-c", f"echo x >> {canaries.directory}/file")
    assert not canaries.unchanged()


def test_many_small_names_take_time_in_proportion(human):
    # 20,000 as a stand-in for more: what counts is that nothing takes the square of it.
    taken = {}
    for count in (2_000, 20_000):
        project = human.repository(f"src/many-{count}")
        human.agent(
            f"mkdir many; (cd many; seq {count} | xargs touch); git add -A; git commit -qm many"
        )
        human.clsecure("--mode", "user", cwd=project)
        start = time.monotonic()
        human.clsecure("import", "--branch", "b", "--yes", cwd=project)
        human.clsecure("discard", "--yes", cwd=project)
        taken[count] = time.monotonic() - start
        names = human.run("git", "ls-tree", "--name-only", "b:many", cwd=project).stdout.split()
        assert len(names) == count
    assert taken[20_000] < 10 * taken[2_000] + 5
