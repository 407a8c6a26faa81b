"""The check from inside: each protection taken out of a copy of the helper stops the command."""

from __future__ import annotations

import pytest
from caller import ENGINES, Caller, open_request, patched

from clsecure.helper.protocol import Opened

pytestmark = pytest.mark.root

LAUNCH_FILTER = ("descent.py", "    sc.set_seccomp(base_program())\n", "")
GATE_LOCKS = ("inside/gate.py", '    _lock_down(launch["filter"])\n', "")
ROOT_MOUNTS = '        root = _open("/", os.O_PATH | os.O_DIRECTORY)\n'
# What init would do to the box's network is taken out with its own look at whose that is.
DISARMED = [
    ("box.py", " | sc.CLONE_NEWNET", ""),
    ("network.py", "        _raise_loopback()\n        if", "        if"),
    ("network.py", 'request.network == "none"', "True"),
]
HOST_NETWORK = [*DISARMED, ("network.py", '"/proc/self/ns/net") ==', '"/proc/self/ns/net") is')]

BROKEN = {
    "bounding-set": (
        ("none",),
        [("launch.py", "                sc.drop_bounding_set()", "                pass")],
        "CapBnd",
    ),
    "groups": (
        ("none",),
        [("descent.py", "    os.setgroups([])", "    os.setgroups([4])")],
        "supplementary groups",
    ),
    "group": (
        ("none",),
        [("descent.py", "    os.setresgid(box.gid, box.gid, box.gid)\n", "")],
        "Gid is 0",
    ),
    "no-new-privs": (("none",), [GATE_LOCKS], "NoNewPrivs is not set"),
    "outer-seccomp": (("none", "bubblewrap"), [LAUNCH_FILTER], "seccomp filters"),
    # firejail has filters enough of its own; what they let through tells.
    "outer-seccomp-behind": (("firejail",), [LAUNCH_FILTER], "a socket to the hypervisor"),
    "podman-does-nothing": (
        ("podman",),
        [
            (
                "engines.py",
                "(*_podman(mounts, rooted=rooted), *gate), as_root=False",
                "gate, as_root=False",
            )
        ],
        "this is no container",
    ),
    "keyrings": (("none",), [LAUNCH_FILTER], "keyrings can be reached"),
    "inner-seccomp": (("none",), [GATE_LOCKS], "a user namespace can be made"),
    # bubblewrap would make it read-only by itself.
    "extra-mount": (
        ("none", "firejail"),
        [("mounts.py", ROOT_MOUNTS, f"        sc.mount('t', '/mnt', 'tmpfs', 0)\n{ROOT_MOUNTS}")],
        "/mnt is writable",
    ),
    "extra-mount-in-the-home": (
        ("none", "firejail"),
        [
            (
                "mounts.py",
                ROOT_MOUNTS,
                (
                    "        os.makedirs('/home/x', exist_ok=True)\n"
                    f"        sc.mount('t', '/home/x', 'tmpfs', 0)\n{ROOT_MOUNTS}"
                ),
            )
        ],
        "/home/x is writable",
    ),
    "writable-objects": (
        ENGINES,
        [
            (
                "mounts.py",
                "        shown = {",
                (
                    "        if mount.kind == 'objects':\n            return sc.clone_tree(source)\n"
                    "        shown = {"
                ),
            )
        ],
        "/run/clsecure/objects/0 is writable",
    ),
    "writable-system": (
        ("none",),
        [
            (
                "mounts.py",
                "        attributes = sc.MOUNT_ATTR_RDONLY | sc.MOUNT_ATTR_NODEV\n",
                "        attributes = sc.MOUNT_ATTR_NODEV\n",
            )
        ],
        "/usr is writable",
    ),
    "missing-mount": (
        ENGINES,
        [
            (
                "mounts.py",
                'if mount.kind == "file":',
                'if mount.kind in ("file", "git"):',
            )
        ],
        ".git is not mounted",
    ),
    "no-overlay": (
        ("none",),
        [
            (
                "mounts.py",
                "        shown = {",
                (
                    "        if mount.kind == 'overlay':\n            return sc.clone_tree(source)\n"
                    "        shown = {"
                ),
            )
        ],
        "not overlay",
    ),
    "host-network": (ENGINES, HOST_NETWORK, "the host's network is in sight"),
    "route": (
        ENGINES,
        [
            (
                "network.py",
                "        _raise_loopback()\n",
                (
                    "        _raise_loopback()\n"
                    "        os.system('ip route add 10.0.0.0/8 dev lo')\n"
                ),
            )
        ],
        "there is a route out of the box",
    ),
    "host-processes": (
        ("none",),
        [
            (
                "launch.py",
                '"host_pid_namespace": box.host_pid_namespace',
                '"host_pid_namespace": os.readlink("/proc/self/ns/pid")',
            )
        ],
        "the host's processes are in sight",
    ),
    # Not a kernel in its eyes, firejail takes the box for its own sandbox and does nothing.
    "firejail-does-nothing": (
        ("firejail",),
        [("init.py", 'file.write("kthreadd")', 'file.write("python3")')],
        "Cap",
    ),
    "findings-forged": (
        ("none",),
        [("inside/gate.py", '"\\n".join([f"{len(faults)}", *faults])', '"\\n".join(["1"])')],
        "contradicts itself",
    ),
}


CASES = [
    pytest.param((changes, words, engine), id=f"{name}-{engine}")
    for name, (engines, changes, words) in BROKEN.items()
    for engine in engines
]


@pytest.fixture(scope="module")
def project(human):
    return human.repository()


def run_in(human, project, package, engine):
    with Caller(human.account.pw_uid, package=package) as caller:
        answer = caller.ask(open_request(human, project, engine=engine, session="check"))
        assert isinstance(answer, Opened), answer
        ran = caller.run("/usr/bin/touch", "canary", cwd=str(project))
        seen = caller.run("/usr/bin/ls", "-A", cwd=str(project)) if ran.refused is None else None
        caller.discard(answer)
    assert caller.said == ""
    return ran, seen


@pytest.mark.parametrize("case", CASES)
def test_a_box_that_is_not_as_planned_runs_nothing(human, project, tmp_path, case):
    changes, words, engine = case
    ran, _ = run_in(human, project, patched(tmp_path, *changes), engine)
    assert ran.refused is not None, ran
    assert ran.refused.code == 3
    assert words in ran.refused.message
    assert "nothing was run" in ran.refused.message
    assert not (project / "canary").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_unchanged_copy_runs_the_command(human, project, tmp_path, engine):
    ran, seen = run_in(human, project, patched(tmp_path), engine)
    assert ran.code == 0, ran
    assert "canary" in seen.output
    assert not (project / "canary").exists()


def test_an_init_in_the_hosts_network_changes_nothing_there(human, project, tmp_path):
    # Its local route would lead every connection of the host to nowhere.
    with Caller(human.account.pw_uid, package=patched(tmp_path, *DISARMED)) as caller:
        answer = caller.ask(open_request(human, project, session="first"))
    assert "not in a network namespace of its own" in answer.message, answer


def test_an_init_that_is_not_the_first_process_kills_nothing(human, project, tmp_path):
    # Were it to go on, "every other process" would be the host's: so it is disarmed here too.
    package = patched(
        tmp_path,
        ("box.py", "    | sc.CLONE_NEWPID\n", ""),
        ("attended.py", "            os.kill(-1, _KILL)\n", "            return\n"),
        ("attended.py", "    _signal(-1, number)\n", "    return\n"),
    )
    with Caller(human.account.pw_uid, package=package) as caller:
        answer = caller.ask(open_request(human, project, session="first"))
    assert "not the first process" in answer.message, answer
