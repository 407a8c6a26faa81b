"""What is particular to container mode: its root directory, its ids, and what podman is told."""

from __future__ import annotations

import pytest

from e2e.boxes import Kind

IN_CONTAINER = ("exec", "--mode", "container", "--")


@pytest.fixture(scope="module")
def top(human):
    project = human.repository("contained", {"README": "hello\n"})
    human.agent("true")
    return project


def test_the_root_directory_is_its_own(human, top):
    def listed(*words):
        return human.clsecure(*IN_CONTAINER, *words, cwd=top).stdout.split()

    assert set(listed("ls", "/")) >= {"bin", "dev", "etc", "home", "proc", "tmp", "usr", "var"}
    assert (
        listed("stat", "-c", "%u", "/", "/etc", "/usr", "/usr/bin/env", "/etc/passwd") == ["0"] * 5
    )
    settings = set(listed("ls", "/etc"))
    assert {"passwd", "group", "resolv.conf", "ssl", "alternatives", "os-release"} <= settings
    assert not {"shadow", "sudoers", "sudoers.d", "subuid", "cron.d", "ssh", "systemd"} & settings
    names = listed("cut", "-d:", "-f1", "/etc/passwd")
    assert human.name not in names
    assert "root" in names


@pytest.mark.parametrize(
    "attempt",
    ["touch /made", "touch /etc/made", "touch /usr/made", "touch /var/lib/made", "rm /etc/passwd",
     "mount -t tmpfs none /mnt", "unshare --user true", "unshare --mount true", "su -c true",
     "newuidmap $$ 0 0 1", "chown 0 README"],
)  # fmt: skip
def test_what_may_not_be_done_there(human, top, attempt):
    ran = human.clsecure(*IN_CONTAINER, "sh", "-c", attempt, cwd=top, code=None)
    assert ran.returncode not in {0, 127}, ran.stderr


def test_it_is_a_container(human, top):
    script = "readlink /proc/self/ns/user; cat /proc/self/uid_map; ls /run/.containerenv; id -u"
    user, *rest = human.clsecure(*IN_CONTAINER, "sh", "-c", script, cwd=top).stdout.splitlines()
    assert user != human.run("readlink", "/proc/self/ns/user").stdout.strip()
    *maps, marker, uid = rest
    assert marker == "/run/.containerenv"
    inner = [[int(word) for word in line.split()] for line in maps]
    assert [count for first, _, count in inner if first == int(uid)] == [1]
    assert sum(count for _, _, count in inner) == 65537  # every id of an image, and the worker's


def test_what_a_command_leaves_behind_does_not_speak_to_the_next_podman(human, top):
    planted = """
    for place in $HOME/.config/containers $HOME/.local/share/containers; do
      mkdir -p $place
      printf '[containers]\\ncap_add = ["SYS_ADMIN"]\\n[engine]\\nruntime = "evil"\\n' \\
        > $place/containers.conf
      printf '[storage]\\ndriver = "nonsense"\\n' > $place/storage.conf
      echo /etc:/mnt/etc > $place/mounts.conf
      ln -sf /bin/true $place/policy.json
    done
    touch $XDG_RUNTIME_DIR/podman; mkdir -p $XDG_RUNTIME_DIR/libpod/tmp
    echo 1 > $XDG_RUNTIME_DIR/libpod/tmp/pause.pid
    """
    human.clsecure(*IN_CONTAINER, "sh", "-c", planted, cwd=top)
    ran = human.clsecure(*IN_CONTAINER, "sh", "-c", "grep CapBnd /proc/self/status", cwd=top)
    assert ran.stdout.split()[1] == "0" * 16


def test_zombies_are_reaped(human, top):
    script = "for n in 1 2 3; do sh -c 'sleep 0.1 &'; done; sleep 0.5; ps -eo stat | grep -c Z"
    ran = human.clsecure(*IN_CONTAINER, "sh", "-c", script, cwd=top, code=1)
    assert ran.stdout == "0\n"


@pytest.mark.parametrize(
    ("first", "then"),
    [("user", "container"), ("container", "namespace"), ("namespace", "container")],
)
def test_a_kept_session_can_change_its_mode(human, first, then):
    top = human.repository(f"from-{first}-to-{then}")
    human.agent('if [ -e made ]; then cat made; else echo work > made; fi; stat -c "%U" made')
    human.clsecure("--mode", first, cwd=top)
    resumed = human.clsecure("--mode", then, cwd=top)
    worker = human.clsecure("exec", "--", "id", "-un", cwd=top).stdout.strip()
    assert resumed.stdout.split() == ["work", worker]
    human.clsecure("import", "--branch", "home", "--yes", cwd=top)
    assert human.run("git", "show", "home:made", cwd=top).stdout == "work\n"


KIND = Kind("container", "podman", "overlay")


def test_a_path_with_odd_characters(human):
    top = human.repository('od,d "na=me: x')
    human.agent("echo work > made; pwd")
    ran = human.clsecure(*KIND.flags, cwd=top)
    assert ran.stdout == f"{top}\n"
