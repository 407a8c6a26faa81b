"""Containers of the agent's own: `docker` and `docker compose` in the box, and their limits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from e2e.boxes import Kind
from e2e.claudeworld import SERVER
from e2e.conftest import KEY
from testkit import Running
from world.human import PROGRAM
from world.internet import OTHER
from world.live import until

KINDS = [
    Kind("user", "none", "overlay"),
    Kind("namespace", "firejail", "overlay"),
    Kind("container", "podman", "overlay"),
]
# A small image of this host's own Python, without a network to fetch one from.
IMAGE = r"""
set -e
mkdir -p t/bin t/tmp t/etc t/lib64 t/usr/bin
cp /bin/busybox t/bin/
for name in sh sleep cat echo id ls touch mount mknod; do ln -s busybox t/bin/$name; done
python=$(readlink -f /usr/bin/python3)
cp --parents "$python" t
ln -s "$python" t/usr/bin/python3
cp -r --parents "/usr/lib/${python##*/}" t
files=$(find t -name '*.so'; echo "t$python")
libraries=$(ldd $files 2>/dev/null | grep -o '/[^ ]*' | grep -v '^t/' | sort -u)
for file in $libraries $(ls /lib/*-linux-gnu/libnss_dns.so.2); do
  [ ! -e "$file" ] || cp -L --parents "$file" t
done
echo 'hosts: files dns' > t/etc/nsswitch.conf
tar -C t -cf image.tar .
rm -r t
"""
ASK = """
import sys, urllib.request
for address in sys.argv[1:]:
    try:
        print(address, "answered", urllib.request.urlopen(address, timeout=5).status)
    except Exception as error:
        print(address, "failed:", error)
"""
COMPOSE = """
version: "3"
services:
  web:
    image: small
    command: ["python3", "-m", "http.server", "8000", "-d", "/etc"]
  client:
    image: small
    depends_on: [web]
    volumes: [".:/src:ro"]
    command:
      - sh
      - -c
      - >-
        sleep 2;
        python3 /src/ask.py http://web:8000/ http://allowed.test/ http://evil.test/
        http://10.9.9.9/ http://127.0.0.1:3128/;
        echo over
"""


@pytest.fixture(scope="module")
def project(human, internet):
    top = human.repository("docked", {"ask.py": ASK, "compose.yaml": COMPOSE})
    human.run("sh", "-c", IMAGE, cwd=top, seconds=120)
    human.agent("true")
    return top


@pytest.fixture
def docked(human, project, kind):
    """Run shell commands in a box that has a docker; the image is there."""
    flags = ("exec", *kind.flags, "--docker", "podman", "--allow", "allowed.test")

    def run(script, *, code=0):
        return human.clsecure(*flags, "--", "sh", "-c", script, cwd=project, code=code)

    run("docker image inspect small >/dev/null 2>&1 || docker import image.tar small")
    return run


in_kinds = pytest.mark.parametrize("kind", KINDS, ids=str, indirect=True)


@in_kinds
def test_two_services_talk_to_each_other_and_to_what_is_allowed(docked, kind):
    script = """
    docker compose up -d 2>/dev/null
    until docker compose logs client | grep -q over; do sleep 0.3; done
    docker compose logs --no-color client
    docker compose down -t 1 2>/dev/null
    docker ps -aq | wc -l
    """
    *lines, left = docked(script).stdout.splitlines()
    said = dict(re.findall(r"(http://\S+) (.+)", "\n".join(lines)))
    assert said.pop("http://127.0.0.1:3128/").startswith(
        "failed: <urlopen error"
    )  # the container's own
    assert said == {
        "http://web:8000/": "answered 200",
        "http://allowed.test/": "answered 200",
        "http://evil.test/": "failed: HTTP Error 403: Blocked by clsecure",
        "http://10.9.9.9/": "failed: HTTP Error 403: Blocked by clsecure",
    }
    assert left == "0"


@in_kinds
def test_images_are_built_with_the_same_network(docked, kind):
    steps = "FROM small\nCOPY ask.py /ask.py\nRUN python3 /ask.py {0} > /said; cat /said\n"
    file = steps.format(f"http://allowed.test/ http://evil.test/ http://{OTHER}/")
    built = docked(
        f"printf '{file}' > Dockerfile; docker build -q -t own . && docker run --rm own cat /said"
    )
    assert built.stdout.splitlines()[-3:] == [
        "http://allowed.test/ answered 200",
        "http://evil.test/ failed: HTTP Error 403: Blocked by clsecure",
        f"http://{OTHER}/ failed: HTTP Error 403: Blocked by clsecure",
    ]


@pytest.mark.client
@in_kinds
def test_an_mcp_server_in_a_container_works(docked, human, project, *, internet, client, kind):
    human.write(project / "server.py", SERVER)
    run = ["run", "-i", "--rm", "-v", f"{project}:/src:ro", "small", "python3", "-u"]
    server = {"command": "docker", "args": [*run, "/src/server.py"]}
    state = human.write(".claude.json", json.dumps({"mcpServers": {"weather": server}}), mode=0o600)
    human.agent(f'exec {client.resolve()} "$@"')
    turns = [{"tool": {"name": "mcp__weather__forecast", "input": {}}}, "the work is done"]
    with Running(turns, internet.listen("127.0.0.1", 8125)) as api:
        env = {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": KEY, "MCP_TIMEOUT": "60000"}
        words = (*kind.flags, "--docker", "podman", "--expose", client.resolve().parent)
        human.clsecure("--fresh", "--yes", *words, "--", "--version", cwd=project, env=env)
        docked("docker import -q image.tar small")  # for the fresh session, which has the server
        ran = human.clsecure(*words, "--", "-p", "go", cwd=project, env=env, seconds=100)
        said = [each["text"] for each in api.tool_results()]
    human.run("rm", "-f", state)
    human.agent("true")
    assert ran.stdout == "the work is done\n"
    assert said == ["sunny, with [], alone"]


# All that a container can be given, from a program that has every right in it.
PRIVILEGED = """
docker run --rm --privileged --network host --pid host --ipc host \
  --security-opt seccomp=unconfined -v /:/box -v "$HOME:/own" small sh -c '
try() {
  name=$1; shift
  if "$@" >/dev/null 2>&1; then echo "$name: got through"; else echo "$name: no"; fi
}
try home ls /box/HUMAN/.ssh
try state ls /box/var/lib/clsecure
try usr touch /box/usr/made
try settings touch /box/etc/made
try keys sh -c "ls /box/etc/ssl/private || ls /box/run/rootfs/etc/ssl/private"
try disk sh -c "mknod /tmp/disk b DISK && cat /tmp/disk | read x"
try device sh -c "cat /dev/vda /dev/sda | read x"
try sysctl sh -c "echo 1 > /proc/sys/kernel/panic"
try cgroup touch /sys/fs/cgroup/made
try loopback python3 -c "import socket; socket.create_connection((\\"127.0.0.1\\", 8080), 2)"
try evil python3 -c "import urllib.request as u; u.urlopen(\\"http://evil.test/\\", timeout=5)"
try remount mount -o remount,rw /box/usr
try workspace touch /box/PROJECT/from-a-container
'
"""


@in_kinds
def test_a_container_with_every_right_has_no_more_than_the_box(human, project, docked, kind):
    disk = os.stat("/").st_dev
    script = PRIVILEGED.replace("HUMAN", str(human.home)[1:]).replace("PROJECT", str(project)[1:])
    script = script.replace("DISK", f"{os.major(disk)} {os.minor(disk)}")
    human.run("mkdir", "-p", human.home / ".ssh")
    said = dict(line.split(": ") for line in docked(script).stdout.splitlines())
    assert said.pop("workspace") == "got through"
    assert said == dict.fromkeys(said, "no")
    assert len(said) == 12  # every other attempt
    assert Path("/etc/ssl/private").is_dir()  # which root alone may read
    assert not (project / "from-a-container").exists()


@in_kinds
def test_containers_end_with_their_command(human, docked, kind):
    seconds = 600 + KINDS.index(kind)
    before = docked(
        f"docker run -d --name stays small sleep {seconds}; docker ps --format '{{{{.Names}}}}'"
    )
    assert before.stdout.splitlines()[-1] == "stays"
    after = docked(
        "docker ps --format '{{.Names}}'; docker ps -a --format '{{.Names}}'; docker rm -f stays"
    )
    assert after.stdout.splitlines()[0] == "stays"  # it is known, but does not run
    listed = human.run("sh", "-c", f"ps -eo args | grep -c '[s]leep {seconds}'", code=1)
    assert listed.stdout == "0\n"


@in_kinds
def test_work_comes_home_from_a_session_with_containers(human, project, kind):
    script = (
        "docker import image.tar small >/dev/null; "
        "docker run --rm -v $PWD:/here small touch /here/made-by-a-container; ls made-*"
    )
    human.agent(script)
    flags = (*kind.flags, "--docker", "podman", "--fresh", "--yes")
    ran = human.clsecure(*flags, "--on-exit", "import", "--branch", f"home-{kind}", cwd=project)
    assert ran.stdout.splitlines()[-1] == "made-by-a-container"
    assert "docker: a podman of its own" in ran.stderr.splitlines()[0]
    files = human.run("git", "ls-tree", "--name-only", f"home-{kind}", cwd=project).stdout.split()
    assert "made-by-a-container" in files
    human.agent("true")


def test_containers_obey_the_sessions_limits(human, project):
    flags = ("exec", "--docker", "podman", "--memory", "400M", "--")
    hog = "docker import image.tar small >/dev/null; docker run --rm small python3 -c"
    script = f"{hog} 'held = bytearray(800 << 20); print(\"has it\")'; echo $?"
    elsewhere, human.prefix = human.prefix, ()  # in whose /sys there are no cgroups
    try:
        ran = human.clsecure(*flags, "sh", "-c", script, cwd=project, code=None)
    finally:
        human.prefix = elsewhere
    assert "has it" not in ran.stdout
    assert "memory: the limit of 400M was reached" in ran.stderr
    human.clsecure("discard", "--yes", cwd=project)


def test_what_was_pulled_is_there_when_the_session_resumes_and_gone_with_it(human, project):
    flags = ("exec", "--docker", "podman", "-s", "images", "--")
    human.clsecure(*flags, "docker", "import", "image.tar", "kept", cwd=project)
    listed = human.clsecure(*flags, "docker", "images", "--format", "json", cwd=project).stdout
    assert [image["Names"] for image in json.loads(listed)] == [["localhost/kept:latest"]]
    sessions = json.loads(human.clsecure("list", "--json", cwd=project).stdout)
    (use,) = [each["disk"] for each in sessions if each["session"] == "images"]
    image = (project / "image.tar").stat().st_size
    assert image < use < 3 * image
    human.clsecure("discard", "-s", "images", "--yes", cwd=project)


def test_without_it_there_is_no_docker(human, project):
    script = "echo ${DOCKER_HOST-none}; test ! -e /run/clsecure/docker.sock && echo no socket"
    said = human.clsecure("exec", "-s", "plain", "--", "sh", "-c", script, cwd=project).stdout
    assert said == "none\nno socket\n"
    human.clsecure("exec", "-s", "plain", "--", "unshare", "-U", "true", cwd=project, code=1)


@contextmanager
def docker_of_the_host():
    """Root's podman as a host's docker: the same API, at a socket that everybody here may use."""
    with tempfile.TemporaryDirectory(prefix="clsecure-t-") as place:  # podman wants short paths
        Path(place).chmod(0o711)
        at = Path(place, "docker.sock")
        options = (f"--root={place}/root", f"--runroot={place}/run", "--storage-driver=vfs")
        options += ("--events-backend=none", "--cgroup-manager=cgroupfs")
        argv = ["podman", *options, "system", "service", "--time=0", f"unix://{at}"]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as running:
            try:
                until(at.exists)
                at.chmod(0o666)
                yield {"DOCKER_HOST": f"unix://{at}"}
            finally:
                running.terminate()


PING = ("exec", "--allow-docker", "--", "curl", "-s", "--unix-socket", "/run/clsecure/docker.sock")


def test_the_hosts_docker_is_lent_after_one_yes_for_the_project(human, project):
    ask = (*PING, "http://d/_ping")
    with docker_of_the_host() as env:
        refused = human.clsecure(*ask, cwd=project, env=env, code=3)
        assert "as good as root" in refused.stderr
        screen = human.terminal("sh", "-c", f"{PROGRAM} {' '.join(ask)}", cwd=project, env=env)
        screen.expect_exact("Lend it to this project?")
        screen.sendline("y")
        screen.expect_exact("OK")
        screen.expect(pexpect.EOF)
        assert human.clsecure(*ask, cwd=project, env=env).stdout == "OK"  # remembered
        human.agent("curl -s --unix-socket ${DOCKER_HOST#unix://} http://d/version")
        ran = human.clsecure("--allow-docker", cwd=project, env=env)
        assert json.loads(ran.stdout)["ApiVersion"]
        assert "docker: THE HOST'S, as good as root" in ran.stderr.splitlines()[0]
        recorded = human.clsecure("net", "--json", cwd=project).stdout
        assert "docker" in {each["way"] for each in json.loads(recorded)}
        other = human.repository("not-lent")
        human.clsecure(*ask, cwd=other, env=env, code=3)
        human.clsecure(*ask, "--yes", cwd=other, env=env, code=None)
    gone = human.clsecure(*ask, cwd=project, env=env, code=4)
    assert "the host's docker does not answer you" in gone.stderr


def test_the_hosts_docker_does_not_go_with_no_network(human, project):
    ended = human.clsecure("--allow-docker", "--no-network", cwd=project, code=2)
    assert "a way around a network of none" in ended.stderr
