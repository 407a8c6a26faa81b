"""What clsecure says of a session before it begins is what the session then is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clsecure.helper.layout import FILES
from e2e.boxes import BOXES
from e2e.footprint import changes, footprint


@pytest.mark.parametrize("kind", BOXES, ids=str, indirect=True)
def test_a_dry_run_tells_and_changes_nothing(human, kind):
    top = human.repository(f"dry-{kind}")
    human.write(top / ".env", "secret\n")
    human.agent("echo ran > made; cat /proc/self/mountinfo")
    before = footprint(human.home)
    ran = human.clsecure(*kind.flags, "--dry-run", "--", "a b", cwd=top)
    assert changes(before, footprint(human.home)) == {}
    told = dict(line.split(": ", 1) for line in ran.stdout.splitlines() if ": " in line)
    assert told["worker"] not in Path("/etc/passwd").read_text()
    assert told["hidden"] == ".env"
    assert told["namespaces"] == "mount pid ipc uts net cgroup"
    assert told["network"] == "the agent's API only (api.anthropic.com:443)"
    assert told["command"] == f"{human.home}/bin/claude --dangerously-skip-permissions 'a b'"
    assert kind.engine in (told["engine"], "none")
    started = human.clsecure(*kind.flags, cwd=top)
    for words in (told["mode"], told["network"], told["workspace"], "hidden: .env", told["worker"]):
        assert words in started.stderr.splitlines()[0]
    real = mounts(started.stdout)
    uid = next(path for path in real if path.startswith("/run/user/")).rpartition("/")[2]
    promised = {}
    for line in ran.stdout.splitlines():
        if line.startswith("  /"):
            at, _, rest = line.strip().partition(": ")
            promised[at.replace("/UID", f"/{uid}")] = rest.endswith("read-only")
    if kind.engine == "podman":
        promised, real = in_the_container(promised, real)
    files = set(FILES)
    assert files <= set(promised) or kind.engine == "podman"
    assert {at: real.get(at) for at in set(promised) - files} == {
        at: read_only for at, read_only in promised.items() if at not in files
    }
    if kind.engine != "firejail":  # which mounts more, all of it below what is listed
        assert {
            at for at in set(real) - set(promised) if at[:5] != "/dev/" and at[:6] != "/proc/"
        } == set()


def in_the_container(promised, real):
    """What is promised of the container, and its mounts without those that are podman's own."""
    rootfs, hidden = "/run/rootfs", {"/", "/run", "/run/lock", "/dev"}
    system = {at.removeprefix(rootfs) or "/" for at in promised if at.startswith(rootfs)}
    kept = {at: ro for at, ro in promised.items() if at not in system | hidden}
    kept = {at: ro for at, ro in kept.items() if not at.startswith(("/etc", rootfs))}
    own = {"/dev", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv", "/run/clsecure"}
    own |= {at for at in real if at.startswith("/sys/") and at not in promised}
    return (
        {**kept, **dict.fromkeys(system, True)},
        {at: ro for at, ro in real.items() if at not in own},
    )


def mounts(text):
    """Return, by place, whether the last mount there is read-only, itself or by its file system."""
    found = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        options = (*before.split()[5].split(","), *after.split()[2].split(","))
        found[before.split()[4]] = "ro" in options
    return found


def test_no_sudo_in_a_dry_run(human):
    from e2e.machine import clsecure_after, without

    top = human.repository("no-sudo")
    human.agent("true")
    for words in (("--dry-run",), ("info",), ("exec", "--dry-run", "--", "x"), ("config",)):
        clsecure_after(human, without("/usr/bin/sudo"), *words, cwd=top)


_NETWORKS = {
    "--no-network": "none: nothing passes",
    "--allow-network": "open: any public host",
}


@pytest.mark.parametrize("flag", _NETWORKS)
def test_the_networks_words_are_true(human, flag):
    words = _NETWORKS[flag]
    top = human.repository(f"net{flag}")
    human.agent("readlink /proc/self/ns/net; tail -n +2 /proc/net/route | wc -l")
    ran = human.clsecure(flag, cwd=top)
    assert f"network: {words}" in ran.stderr
    own, routes = ran.stdout.split()
    host = human.run("readlink", "/proc/self/ns/net").stdout.strip()
    assert own != host
    assert routes == "0"
    told = human.clsecure(flag, "--dry-run", cwd=top).stdout
    assert f"network: {words}" in told
    assert json.loads(human.clsecure("info", flag, "--json", cwd=top).stdout)["network"] == words
    assert "namespaces: mount pid ipc uts net cgroup" in told.splitlines()


def test_info_names_the_worker_there_is(human):
    top = human.repository("info")
    human.agent("id -un")
    promised = json.loads(human.clsecure("info", "--json", cwd=top).stdout)["worker"]
    assert human.clsecure(cwd=top).stdout.strip() == promised
