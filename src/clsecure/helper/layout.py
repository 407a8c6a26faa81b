"""What the box's file system consists of: a pure plan, which root carries out and --dry-run prints.

The box has a root of its own, a small tmpfs on which only what is listed here is mounted. What is
not listed does not exist inside.
"""

from __future__ import annotations

import os

from .protocol import Open, Refusal
from .records import Record

# Directories of the host which every user may read: programs and their configuration.
SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu")
# Those of them in which daemons keep their sockets (nix has one that any user may give orders to).
WITH_SERVICES = ("/opt", "/nix", "/gnu")
# Of /var, what programs read: package databases and caches of fonts and manuals.
VARIABLE = (
    "var/lib/dpkg",
    "var/lib/rpm",
    "var/lib/pacman",
    "var/lib/apt",
    "var/lib/ca-certificates",
    "var/cache/fontconfig",
    "var/cache/man",
)
INSIDE = "/run/clsecure"
OBJECTS = f"{INSIDE}/objects"
ROOTFS = "/run/rootfs"  # in container mode: what is the root directory in there
# Of the host's /etc, directories that programs read and that say nothing of people or services.
SETTINGS = (
    "alternatives", "ca-certificates", "crypto-policies", "debconf.conf.d", "fonts",
    "java-11-openjdk", "java-17-openjdk", "java-21-openjdk", "ld.so.conf.d", "locale",
    "nodejs", "perl", "pki",
    "profile.d", "python3", "python3.11", "python3.12", "python3.13", "skel", "ssl", "terminfo",
    "vim", "zsh",
)  # fmt: skip
# And those by which packages are installed, where that can be done.
PACKAGING = ("apt", "dnf", "dpkg", "pacman.d", "rpm", "yum.repos.d", "zypp")
# Neither a project nor anything exposed may lie over these.
_RESERVED = (
    *SYSTEM,
    "proc",
    "sys",
    "dev",
    "run",
    "boot",
    "var/lib/clsecure",
    "var/run",
    "var/lock",
)
# Files of the box's own in place of the host's.
FILES = (
    *("/etc/passwd", "/etc/group", "/etc/subuid", "/etc/subgid"),
    *("/etc/passwd-", "/etc/group-", "/etc/subuid-", "/etc/subgid-"),
    *("/etc/nsswitch.conf", "/etc/hosts", "/etc/resolv.conf"),
)
# Files that podman makes for each command, and shows as writable as the root directory.
_PODMANS = ("/etc/hostname", "/etc/resolv.conf", "/run/.containerenv")
LAYERED = ("cache", "state")  # kinds of mounts under a layer of the session's own
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


class Mount(Record):
    """One mount of the box, in the order of mounting."""

    kind: str
    at: str
    source: str = ""
    writable: bool = False
    options: str = ""
    size: int = 0  # bytes that a tmpfs may hold; 0: half of the machine's memory
    masks: tuple[str, ...] = ()  # what of it is not to be seen, by relative paths


class Host(Record):
    """What the host's root directory looks like."""

    directories: tuple[str, ...]
    links: tuple[str, ...]  # "bin=usr/bin"
    settings: tuple[str, ...] = ()  # those of SETTINGS that are directories here
    packaging: tuple[str, ...] = ()  # likewise


def look_at_host() -> Host:
    """Read which system directories this host has."""
    links, directories = [], []
    for name in SYSTEM:
        if os.path.islink(f"/{name}"):
            links.append(f"{name}={os.readlink(f'/{name}')}")
        elif os.path.isdir(f"/{name}"):
            directories.append(name)
    directories += [name for name in VARIABLE if os.path.isdir(f"/{name}")]
    settings, packaging = (
        tuple(f"etc/{name}" for name in names if os.path.isdir(f"/etc/{name}"))
        for names in (SETTINGS, PACKAGING)
    )
    return Host(
        directories=tuple(directories),
        links=tuple(links),
        settings=settings,
        packaging=packaging,
    )


def layout(request: Open, host: Host, *, worker: str, uid: int | str) -> tuple[Mount, ...]:
    """Return the mounts of the box, parents before what lies in them."""
    system = [Mount(kind="system", at=f"/{name}", source=f"/{name}") for name in host.directories]
    # Files in memory count as the session's memory. Together they may take three quarters of it, so
    # that a full one is an error of its writer and leaves room for programs. (firejail lays one of
    # its own over /var/tmp: there the kernel ends whoever writes too much.)
    large, small = request.limits.memory // 2, request.limits.memory // 16
    own = [
        Mount(kind="proc", at="/proc", writable=True),
        Mount(kind="sysfs", at="/sys"),
        Mount(
            kind="devices",
            at="/dev",
            options="null zero full random urandom tty, own pts",
            size=small,
        ),
        Mount(kind="tmpfs", at="/run", writable=True, options="mode=0755"),
        Mount(kind="tmpfs", at="/run/lock", writable=True, options="mode=1777", size=small),
        Mount(
            kind="tmpfs",
            at=f"/run/user/{uid}",
            writable=True,
            options=f"mode=0700,uid={uid}",
            size=small,
        ),
        Mount(kind="tmpfs", at="/tmp", writable=True, options="mode=1777", size=large),
        Mount(kind="tmpfs", at="/var/tmp", writable=True, options="mode=1777", size=small),
        Mount(kind="home", at=f"/home/{worker}", writable=True),
        Mount(kind="home", at=request.home, writable=True),
    ]
    exposed = [
        Mount(
            kind=kind,
            at=path,
            source=source,
            writable=kind in LAYERED,
            masks=_masks(path, request),
        )
        for kind, pairs in (
            ("exposed", [(path, path) for path in outermost(request.exposures)]),
            ("exposed", [(one.at, one.source) for one in request.aliases]),
            ("cache", [(path, path) for path in outermost(request.caches)]),
            ("state", [(one.at, one.source) for one in request.state]),
        )
        for path, source in pairs
    ]
    project = [
        Mount(
            kind=request.workspace,
            at=request.project,
            source=request.project if request.workspace == "overlay" else "",
            writable=True,
        ),
        Mount(kind="git", at=request.git_dir, writable=True),
        *_borrowed(request),
    ]
    files = [Mount(kind="file", at=path) for path in FILES]
    if "podman" in (request.engine, request.docker):
        own.append(Mount(kind="cgroup", at="/sys/fs/cgroup"))
    if request.image:
        own += [
            Mount(kind="image", at=ROOTFS, options=request.image, writable=request.writable),
            Mount(kind="interpreter", at=f"{INSIDE}/host/usr", source="/usr"),
        ]
    elif request.engine == "podman":
        own += _rootfs(host, writable=request.writable)
    deep = sorted([*own, *exposed], key=lambda mount: mount.at.count("/"))
    return (Mount(kind="root", at="/"), *system, *deep, *project, *files)


def _masks(path: str, request: Open) -> tuple[str, ...]:
    inside = tuple(each for each in request.covered if each != path and within(each, path))
    return tuple(each[len(path) + 1 :] for each in outermost(inside))


def _borrowed(request: Open) -> list[Mount]:
    # git-lfs looks in ../lfs/objects of each object store that git borrows.
    mounts = []
    # A store that borrows names the others where they are on the host; the session knows them all.
    masks = ("info/alternates",) if len(request.objects) > 1 else ()
    for number, path in enumerate(request.objects):
        at, beside = f"{OBJECTS}/{number}", request.lfs[number] if request.lfs else ""
        if beside:
            mounts.append(Mount(kind="objects", at=f"{at}/lfs/objects", source=beside))
        at = f"{at}/objects" if beside else at
        mounts.append(Mount(kind="objects", at=at, source=path, masks=masks))
    return mounts


def _rootfs(host: Host, *, writable: bool) -> list[Mount]:
    # Files of root's must be of root in the container: an id of their own, by an idmapped mount.
    shown = [name for name in host.directories if name != "etc"]
    packaging = host.packaging if writable else ()
    return [
        Mount(kind="tmpfs", at=ROOTFS, options="mode=0755,size=16m", writable=writable),
        *(
            Mount(kind="rootfs", at=f"{ROOTFS}/{name}", source=f"/{name}", writable=writable)
            for name in (*shown, *host.settings, *packaging)
        ),
    ]


def check_places(request: Open) -> None:
    """Refuse places that would open the host's system or the human's home; raises Refusal."""
    for what, path in (
        ("the project", request.project),
        ("the home directory", request.home),
        ("the git directory", request.git_dir),
        *_shown(request),
    ):
        if not path.startswith("/") or path != os.path.normpath(path) or path.startswith("//"):
            raise Refusal(f"{what} is not an absolute, normal path", code=2)
        if is_reserved(path):
            raise Refusal(f"{what} cannot be {path}: it belongs to the system")
    for what, path in (
        ("the project", request.project),
        ("the git directory", request.git_dir),
        *_shown(request),
    ):
        if within(request.home, path):
            raise Refusal(
                f"{what} cannot be {path}: it holds your home directory",
                hint="run clsecure in a repository of its own",
            )
    for what, path in _shown(request):
        if within(path, request.project) or within(request.project, path):
            raise Refusal(f"{what} cannot be {path}: the project is there")
    _check_shown(request)


def _check_shown(request: Open) -> None:
    names = (*request.exposures, *(one.at for one in request.aliases))
    for path in names:
        if any(within(path, cache) for cache in request.caches):
            raise Refusal(f"an exposed path cannot be {path}: a cache is there", code=2)
    for one in request.aliases:
        if sum(within(one.at, path) for path in names) > 1:
            raise Refusal(f"an exposed path cannot be {one.at}: another one is there", code=2)
    places = (*names, *request.caches)
    for number, one in enumerate(request.state):
        if one.at == request.home or not within(one.at, request.home):
            raise Refusal("the agent's state is in your home directory", code=2)
        others = (*places, *(each.at for each in request.state[:number]))
        if any(within(one.at, path) or within(path, one.at) for path in others):
            raise Refusal(f"the agent's state cannot be {one.at}: it is shown already", code=2)
    places += tuple(one.at for one in request.state)
    for path in request.covered:
        if path in places or not any(within(path, place) for place in places):
            raise Refusal("what is covered is not a part of what is exposed", code=2)


def _shown(request: Open) -> tuple[tuple[str, str], ...]:
    aliases = (path for one in request.aliases for path in (one.at, one.source))
    exposed = (("an exposed path", path) for path in (*request.exposures, *aliases))
    state = (path for one in request.state for path in (one.at, one.source) if path)
    return (
        *exposed,
        *(("a cache", path) for path in request.caches),
        *(("the agent's state", path) for path in state),
    )


def is_reserved(path: str) -> bool:
    """Say whether this is a place of the system's, over which nothing else may lie."""
    return path == "/" or any(_overlaps(path, f"/{name}") for name in _RESERVED)


def within(path: str, directory: str) -> bool:
    """Say whether `path` is `directory` or lies below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _overlaps(path: str, reserved: str) -> bool:
    # /opt/project and /usr/src/project may be projects: the mount point exists in the box.
    if reserved in ("/opt", "/usr"):
        return within(reserved, path)
    return within(path, reserved) or within(reserved, path)


def outermost(paths: tuple[str, ...]) -> list[str]:
    """Return those of the paths that lie in no other one."""
    chosen: list[str] = []
    for path in sorted(set(paths)):
        if not any(within(path, other) for other in chosen):
            chosen.append(path)
    return chosen


def bindable(mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Return what an engine that makes everything read-only has to bind writable again."""
    return tuple(outermost(tuple(m.at for m in mounts if m.writable and m.at != "/proc")))


def writable_places(mounts: tuple[Mount, ...], *, contained: bool = False) -> tuple[str, ...]:
    """Return where, and only where, the worker may find a writable mount: in a container or not."""
    places = {mount.at for mount in mounts if mount.writable}
    if contained and has_writable_root(mounts):
        places |= {path[len(ROOTFS) :] or "/" for path in places if within(path, ROOTFS)}
        places |= set(_PODMANS)
    return tuple(sorted(places))


def has_writable_root(mounts: tuple[Mount, ...]) -> bool:
    """Say whether the root directory of the container can be written to."""
    return any(mount.at == ROOTFS and mount.writable for mount in mounts)
