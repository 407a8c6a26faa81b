"""Containers of the agent's own: a podman of the box, which answers at a socket from its first use.

It runs as the worker, in the box but not in the agent's engine, since that has no right to make a
namespace. Whoever speaks to it can have what the box allows, and no more: the network, the limits
and the end of its containers are the box's.
"""

from __future__ import annotations

import os

from . import container, descent
from . import syscalls as sc
from .layout import INSIDE
from .lean import accept, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .launch import Box

SOCKET = f"{INSIDE}/docker.sock"
PROGRAMS = f"{INSIDE}/bin"
_STATE = f"{container.PLACE}/docker"
_NETAVARK = ("/usr/lib/podman/netavark", "/usr/libexec/podman/netavark")
_PODMAN = f"""#!/bin/sh
# The podman of this box: its containers are of this session, and end with it.
exec {container.PODMAN} --remote --url unix://{SOCKET} "$@"
"""
_DOCKER = """#!/bin/sh
# Speaks to the podman of this box, as `docker` does to docker.
if [ "$1" = compose ]; then
  shift
  for program in docker-compose /usr/libexec/docker/cli-plugins/docker-compose podman-compose; do
    command -v "$program" >/dev/null && exec "$program" "$@"
  done
  echo "docker: this host has no docker-compose and no podman-compose" >&2
  exit 127
fi
exec "${0%/*}/podman" "$@"
"""


def listen() -> socket.socket:
    """Return the socket at which a docker is to answer; before anything of the worker runs."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(SOCKET)
    os.chmod(SOCKET, 0o666)  # noqa: S103 - the worker connects to it, and nobody else is here
    listener.listen(64)
    listener.settimeout(0)
    return listener


class Docker:
    """Listens, and starts podman when somebody speaks."""

    def __init__(self, box: Box) -> None:
        """Make socket and programs, before anything of the worker runs."""
        self._box, self.pid = box, 0
        self._listener = listen()
        os.mkdir(PROGRAMS, 0o755)
        for name, text in (("podman", _PODMAN), ("docker", _DOCKER)):
            container.write(f"{PROGRAMS}/{name}", text.encode(), mode=0o755)
        if not os.path.isdir(container.PLACE):
            os.mkdir(container.PLACE, 0o755)
        os.mkdir(_STATE, 0o755)
        container.write(f"{_STATE}.conf", _settings().encode())
        # Images stay in the worker's home: a later command, or a resumed session, has them too.
        images = f"{box.request.home}/.local/share/containers/storage"
        container.storage(f"{_STATE}-storage.conf", images=images, state=_STATE)

    @property
    def waiting(self) -> int:
        """The descriptor that is readable when somebody speaks and nobody listens yet; else -1."""
        return -1 if self.pid else self._listener.fileno()

    def start(self) -> None:
        """Start podman for those who wait."""
        self._refresh()
        environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "LC_ALL": "C",
            "HOME": self._box.request.home,
            "TMPDIR": self._box.request.home,  # what it puts aside may be large: not in memory
            "XDG_RUNTIME_DIR": _STATE,
            "CONTAINERS_CONF": f"{_STATE}.conf",
            "CONTAINERS_STORAGE_CONF": f"{_STATE}-storage.conf",
            "LISTEN_FDS": "1",  # sd_listen_fds(3): descriptor 3
        }
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._become(environment)
            finally:
                os._exit(125)

    def rest(self) -> None:
        """Forget the podman that ran, and its state: every process of the box has ended."""
        self.pid = 0
        try:
            sc.detach(_STATE)
        except OSError:
            pass  # it was never started

    def has_ended(self, pid: int) -> None:
        """Note that a process was reaped; who still waits for it hears so."""
        if pid == self.pid:
            self.pid = 0
            self._turn_away()

    def _turn_away(self) -> None:
        try:
            while True:
                accept(self._listener).close()
        except BlockingIOError:
            pass

    def _refresh(self) -> None:
        # At one place, since podman's database notes it, and empty, since its processes have ended.
        self.rest()
        uid, gid = self._box.uid, self._box.gid
        options = (("mode", "0700"), ("uid", str(uid)), ("gid", str(gid)))
        quiet = sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV
        tree = sc.new_filesystem("tmpfs", options, (), quiet)
        place = os.open(_STATE, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        sc.attach(tree, place)
        os.close(place)
        os.close(tree)

    def _become(self, environment: dict[str, str]) -> None:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        descent.prepare(self._box, (null, null, null, self._listener.fileno()))
        descent.become_worker(self._box)
        environment["LISTEN_PID"] = str(os.getpid())
        argv = (container.PODMAN, "--log-level=error", "system", "service", "--time=0")
        os.execve(argv[0], list(argv), environment)


def _settings() -> str:
    # The proxy of the box is at its own loopback, where a container with a network of its own
    # would look in vain: its connections take the transparent path.
    lines = ["[containers]", "http_proxy = false", "default_sysctls = []", 'cgroups = "disabled"']
    lines += ["[engine]", 'cgroup_manager = "cgroupfs"', 'events_logger = "file"']
    lines.append('runtime = "crun"')
    if any(os.path.exists(path) for path in _NETAVARK):
        lines += ["[network]", 'network_backend = "netavark"']
    return "".join(f"{line}\n" for line in lines)
