"""The tests' internet as an attacker meets it: a human who lives there, probes, and what got out."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from probe import got, mode_options, script

from clsecure.egress import log
from world.human import PROGRAM
from world.internet import Internet, inside, new_internet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from world import Human

BOXES = ("user", "firejail", "podman")
RESOLVER = "127.0.0.53"
# IPv6 addresses that mean an IPv4 one to a translator or tunnel, and some that are a network's own;
# a host with that translator would be led there, as the tests' internet is.
EMBEDDING = (
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:a09:909::1",
    "2001:0:a09:909::f4ff:fffe",  # Teredo: the server's address
    "2001:0:b00:1::f5f6:f6f6",  # and the client's, inverted
    "fd00:ec2::254",
    "fd00::1",
)


class Tried(NamedTuple):
    """What a probe got, what the internet's servers saw of it, and what is in the log."""

    got: dict[str, Any]
    asked: list[dict[str, Any]]  # by its web servers
    heard: list[dict[str, Any]]  # by those of egressservers.py
    records: list[dict[str, Any]]
    said: str

    def bytes_at(self, place: str) -> bytes:
        """All that arrived at a sink."""
        parts = (each["bytes"] for each in self.heard if each.get("at") == place)
        return "".join(parts).encode("latin-1")

    def decisions(self, text: str) -> list[tuple[str, str]]:
        """Verdict and reason of each decision on a host in whose name or address `text` is."""
        return [
            (each["verdict"], each["reason"])
            for each in self.records
            if each["event"] == "open" and text in each["host"]
        ]


class World:
    """A human with a project on an internet of their own."""

    def __init__(self, human: Human, internet: Internet) -> None:
        self.human, self.internet = human, internet
        self.project = human.repository(
            files={"README": "hello\n", "ca.pem.txt": self._authority()}
        )
        self.logs = human.home / ".local/state/clsecure/net"

    def _authority(self) -> str:
        return self.internet.authority.read_text()

    @property
    def heard(self) -> list[dict[str, Any]]:
        """What the servers of egressservers.py heard so far."""
        path = self.internet.directory / "heard"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def records(self) -> list[dict[str, Any]]:
        """The human's log."""
        return list(log.records(self.logs)) if self.logs.exists() else []

    def inside(
        self, box: str, source: str, *options: str, given: Mapping[str, Any] | None = None
    ) -> Tried:
        """Try it in a box of that project."""
        words = ("exec", *mode_options(box), *options, "--", "/usr/bin/python3", "-")
        argv = self.human.argv([PROGRAM, *words])
        return self._try(argv, source, given or {})

    def outside(
        self, source: str, *, given: Mapping[str, Any] | None = None, as_root: bool = False
    ) -> Tried:
        """Try the same as the human, without a box."""
        python = ("/usr/bin/python3", "-")
        argv = [*self.internet.prefix, *python] if as_root else self.human.argv(python)
        return self._try(argv, source, given or {})

    def _try(self, argv: list[str], source: str, given: Mapping[str, Any]) -> Tried:
        asked, heard, records = (
            len(each) for each in (self.internet.asked(), self.heard, self.records())
        )
        ended = subprocess.run(
            argv,
            cwd=self.project,
            input=script(HELPERS + source, given),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended
        return Tried(
            got(ended.stdout),
            self.internet.asked()[asked:],
            self.heard[heard:],
            self.records()[records:],
            ended.stderr,
        )


@contextmanager
def new_world(human: Human, directory: Path) -> Iterator[World]:
    """Make an internet with all servers, whose hosts ask a resolver for what they do not know."""
    with new_internet(directory) as internet:
        etc = Path("/etc/netns", internet.name)
        (etc / "resolv.conf").write_text(f"nameserver {RESOLVER}\noptions timeout:1 attempts:1\n")
        (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
        internet.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        for address in EMBEDDING:
            added = internet.run("ip", "address", "add", f"{address}/128", "dev", "lo", "nodad")
            assert added.returncode == 0, added
        program = Path(__file__).with_name("egressservers.py")
        argv = [*internet.prefix, sys.executable, str(program), str(directory)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
            try:
                assert running.stdout is not None
                assert running.stdout.readline() == "ready\n"
                with inside(human, internet):
                    yield World(human, internet)
            finally:
                running.kill()


# For probes: the same words make the attempt in the box and, where there is no proxy, without it.
HELPERS = r"""
import os, select, ssl
SECONDS = 4
BOXED = os.path.exists("/etc/resolv.conf") and open("/etc/resolv.conf").read().startswith("nameserver 127.0.0.1\n")
PROXY = ("127.0.0.1", 3128)

def dial(host, port, seconds=SECONDS):
    return socket.create_connection((host, port), timeout=seconds)

def until_end(asking, most=1 << 20, seconds=SECONDS, enough=b""):
    said, end = b"", time.monotonic() + seconds
    asking.settimeout(seconds)
    try:
        while len(said) < most and time.monotonic() < end:
            more = asking.recv(65536)
            if not more:
                break
            said += more
            if enough and enough in said:
                break
    except ConnectionResetError:
        said += b"<reset>"
    except TimeoutError:
        said += b"<silence>"
    return said.decode("latin-1")

def say(address, data, seconds=1.5, enough=b"", pieces=None):
    "Send it there and return what is said, to the end or for some seconds."
    try:
        asking = dial(*address)
    except ConnectionResetError:  # it came as soon as the connection stood
        return "<reset>"
    with asking:
        asking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in (pieces or [data]):
                asking.sendall(piece)
        except (ConnectionResetError, BrokenPipeError):
            pass
        return until_end(asking, seconds=seconds, enough=enough)

def connect(target, data=b"", seconds=1.5, enough=b""):
    "Through CONNECT where there is a box; directly where there is none."
    if isinstance(target, str):
        target = target.encode("latin-1")
    head = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, target)
    with dial(*PROXY) as asking:
        asking.sendall(head)
        said = until_end(asking, enough=b"\r\n\r\n")
        if not said.startswith("HTTP/1.1 200"):
            return said
        asking.sendall(data)
        return said + until_end(asking, seconds=seconds, enough=enough)

def absolute(target, rest=b"Connection: close\r\n"):
    if isinstance(target, str):
        target = target.encode("latin-1")
    return say(PROXY, b"GET http://%s/absolute HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (target, target, rest))

def socks_request(name, port, kind=3, command=1):
    body = bytes([len(name)]) + name if kind == 3 else name
    return b"\5\1\0" + b"\5" + bytes([command, 0, kind]) + body + struct.pack("!H", port)

def socks(name, port, data=b"", kind=3, command=1):
    if isinstance(name, str):
        name = name.encode("latin-1")
    with dial(*PROXY) as asking:
        asking.sendall(socks_request(name, port, kind, command))
        asking.settimeout(SECONDS)
        answer = b""
        while len(answer) < 12:
            more = asking.recv(100)
            if not more:
                break
            answer += more
        if answer[3:4] != b"\0":
            return "refused %d" % answer[3] if len(answer) > 3 else "closed"
        asking.sendall(data)
        return "granted " + until_end(asking, seconds=1.5, enough=b"\r\n\r\n")

def query(name, kind=1, number=7):
    "A question of the resolver; labels may be anything."
    labels = name if isinstance(name, list) else name.encode("latin-1").split(b".")
    wire = b"".join(bytes([len(each)]) + each for each in labels) + b"\0"
    return struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + wire + struct.pack("!HH", kind, 1)

def resolve(name, kind=1, server="127.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.connect((server, 53))
        asking.send(query(name, kind))
        said = asking.recv(4096)
        return {"code": said[3] & 15, "answers": said[7], "tail": socket.inet_ntoa(said[-4:]) if said[7] else ""}

GREETINGS = {}
def hello(name):
    "The first bytes of a client of TLS that asks for that server."
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
"""
