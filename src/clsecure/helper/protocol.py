"""The messages between clsecure and its root helper: a closed, typed set on a socketpair.

How they travel is in `wire`.
"""

from __future__ import annotations

from .imagerecords import IMAGE_ANSWERS, IMAGE_REQUESTS
from .records import Record

# The message of a Failed that means "build it another way", not "you may not".
UNSUPPORTED = "this tree cannot be shown copy-on-write"


class Seed(Record):
    """A file of a fresh session; its content is the descriptor at the same position."""

    area: str  # "git": the session's git directory; "home": the worker's home
    path: str
    mode: int


class Listener(Record):
    """A socket of the box, on a loopback address, that somebody outside will serve."""

    role: str  # what it is for: proxy | transparent | resolver | resolver-tcp | api
    address: str
    port: int
    kind: str = "tcp"  # tcp | udp


class Alias(Record):
    """A path that is exposed under another name: the human's links lead from `at` to `source`."""

    at: str
    source: str


class Limits(Record):
    """What a session may use at most; 0: no limit."""

    memory: int = 0  # bytes
    cpus: int = 0  # thousandths of a processor
    pids: int = 0  # processes and threads
    disk: int = 0  # bytes; for a fresh session


class Reached(Record):
    """A limit that was reached."""

    limit: str  # its name in Limits
    value: int  # in the units of Limits
    times: int = 1  # memory: processes ended; pids: new ones refused


class Find(Record):
    """Is there a session of that name for this project? Answered by Found."""

    project: str
    session: str


class Open(Record):
    """Make the box and, for a fresh session, the worker and its world. Answered by Opened."""

    project: str
    session: str
    action: str  # create | resume
    workers: tuple[str, ...]  # names for a fresh session's worker: the first that is free is taken
    mode: str  # user | namespace | container
    engine: str  # none | firejail | bubblewrap | podman
    network: str  # none | filtered | open
    workspace: str  # overlay | clone
    home: str
    git_dir: str
    base: str
    objects: tuple[str, ...]
    exposures: tuple[str, ...]
    masks: tuple[str, ...]
    listeners: tuple[Listener, ...]
    probe: str  # a directory in the worker's home: does it hold anything?
    limits: Limits = Limits()
    broker: bool = False  # also give a socket on which connections into the box are asked for
    image: str = ""  # digest of the image that is podman's root directory; empty: the host's
    docker: str = "none"  # none | podman: the box's own, at a socket | host: a socket to be served
    caches: tuple[str, ...] = ()  # shown, too, under a layer of the session's for what is written
    aliases: tuple[Alias, ...] = ()
    covered: tuple[str, ...] = ()  # what of exposures and caches is not to be seen
    writable: bool = False  # a container's root directory, by layers that the session keeps
    lfs: tuple[str, ...] = ()  # git-lfs's store beside each of `objects`; "": there is none
    state: tuple[Alias, ...] = ()  # of the agent: shown like caches; source "": nothing as yet


class Plant(Record):
    """Files of a fresh session, with their contents as descriptors; before its Open."""

    seeds: tuple[Seed, ...]
    directories: tuple[str, ...] = ()  # empty directories in the session's git directory


class Exec(Record):
    """Run a command in the box as the worker. Answered by Started, then Exited.

    Without a terminal, three descriptors come with it: standard input, output and error.
    """

    argv: tuple[str, ...]
    environment: tuple[str, ...]  # NAME=value
    cwd: str
    rows: int = 0  # 0: no terminal
    columns: int = 0
    confined: bool = True  # inside the mode's engine; False: in the box alone
    timeout: int = 0  # seconds; 0: none
    rooted: bool = False  # as root of the container: in a fresh session that is writable


class Signal(Record):
    """Send a signal to the processes of the running command."""

    name: str


class Changes(Record):
    """What did the session change in the working tree? Answered by Changed."""


class Note(Record):
    """Keep the numbers that `list` shows; -1: not known. A clone is complete with the first."""

    commits: int
    changes: int


class List(Record):
    """All sessions of this human. Answered by Listed."""


class Remove(Record):
    """Remove a session: user, home, state. Answered by Removed."""

    worker: str


class Session(Record):
    """A session as root remembers it."""

    worker: str
    project: str
    session: str
    uid: int
    human: int
    mode: str
    engine: str
    workspace: str
    base: str
    git_dir: str
    home: str
    objects: tuple[str, ...]  # the object stores that its git directory borrows, in their order
    created: int  # seconds since the epoch
    commits: int = -1
    changes: int = -1
    running: bool = False
    image: str = ""  # as in Open
    disk: int = 0  # bytes that may be written to its own disk; 0: it has none
    writable: bool = False  # as in Open
    lfs: tuple[str, ...] = ()  # as in Open


class Use(Record):
    """What a session uses now, in bytes and numbers; -1: nothing, or not known."""

    memory: int = -1
    processes: int = -1
    disk: int = -1  # of the host's, by its own disk, or by all that it keeps


class Found(Record):
    """Answer to Find."""

    session: Session | None


class Opened(Record):
    """The box stands; `sockets` says what each of the descriptors is, in their order.

    First the listeners' roles as they were asked for. More sockets with the role "transparent"
    follow where the kernel cannot lead every port to one. "docker": where the host's is to answer.
    "broker", the last: see helper.broker.
    """

    session: Session
    probe: bool
    warnings: tuple[str, ...]
    sockets: tuple[str, ...]
    conversation: str = ""  # the id of the last one in the probed directory, if it is state


class Started(Record):
    """The command runs, its box checked from inside; with a terminal, its master comes along."""

    terminal: bool


class Checked(Record):
    """The gate inside the box found all as planned and became the command."""


class Exited(Record):
    """The command has ended, and every process that it left behind with it."""

    code: int  # 0-255; 128+n: signal n
    timed_out: bool = False
    reached: tuple[Reached, ...] = ()


class Changed(Record):
    """Answer to Changes; the descriptor holds the paths, each ended by NUL."""

    count: int


class Listed(Record):
    """Answer to List."""

    sessions: tuple[Session, ...]
    uses: tuple[Use, ...] = ()  # in the same order


class Removed(Record):
    """Nothing of the session, or of the image, is left."""


class Noted(Record):
    """Answer to Note, Plant and Signal."""


class Ready(Record):
    """From the box's init to the helper: it stands; descriptors and `sockets` as in Opened."""

    warnings: tuple[str, ...] = ()  # what could be had only in a weaker form
    sockets: tuple[str, ...] = ()


class Failed(Record):
    """The request could not be carried out; `code` is an exit code of clsecure."""

    message: str
    hint: str
    code: int


class Refusal(Exception):
    """Raised on the root side to answer with Failed."""

    def __init__(self, message: str, *, hint: str = "", code: int = 3) -> None:
        super().__init__(message)
        self.answer = Failed(message=message, hint=hint, code=code)


def no_room(error: OSError) -> Failed:
    """Return the answer to a request for which the disk had no room."""
    return Failed(
        message=f"there is no room for it in /var/lib/clsecure ({error.strerror})",
        hint="make room there; `clsecure list` shows what is kept",
        code=4,
    )


REQUESTS: dict[str, type[Record]] = {
    kind.__name__: kind
    for kind in (
        *(Find, Open, Plant, Exec, Signal, Changes, Note, List, Remove),
        *IMAGE_REQUESTS,
    )
}
INIT_ANSWERS: dict[str, type[Record]] = {
    kind.__name__: kind for kind in (Ready, Started, Checked, Exited, Failed)
}
ANSWERS: dict[str, type[Record]] = {
    kind.__name__: kind
    for kind in (
        *(Found, Opened, Started, Checked, Exited, Changed, Listed, Removed, Noted, Failed),
        *IMAGE_ANSWERS,
    )
}
