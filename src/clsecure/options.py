"""Every option once: its name, type, default, flags, key, and who may set it.

The parser, the configuration files, the manual page and the configuration reference all read this
table, so that none of them can say something else than the others.
"""

from __future__ import annotations

from clsecure.choices import (
    Engine,
    Mode,
    OnExit,
    Start,
    WorkspaceKind,
)
from clsecure.declaration import (
    BUILDING,
    EVERYWHERE,
    ONE_SESSION,
    SETTINGS,
    SHOWING,
    STARTING,
    Flag,
    Group,
    Kind,
    Option,
)
from clsecure.homeoptions import HOME
from clsecure.limitoptions import LIMITS
from clsecure.reachoptions import REACH

OPTIONS: tuple[Option, ...] = (
    Option(
        name="mode",
        kind=Kind.CHOICE,
        group=Group.BOX,
        flags=(Flag(("--mode",), "how much stands around the worker"),),
        commands=BUILDING,
        default=Mode.NAMESPACE,
        key="mode",
        aliases=("isolation_mode",),
        project=True,
        choices=Mode,
        meaning="`user`: a Linux user of its own in a box of namespaces. `namespace`: the same, "
        "and firejail or bubblewrap around it. `container`: the same, and rootless podman with a "
        "root file system of its own. "
        "A project's file can ask for a stronger mode; a weaker one counts only after "
        "`clsecure config trust`.",
    ),
    Option(
        name="engine",
        kind=Kind.CHOICE,
        group=Group.BOX,
        flags=(Flag(("--engine",), "what builds the namespace mode"),),
        commands=BUILDING,
        default=Engine.AUTO,
        key="engine",
        choices=Engine,
        meaning="`auto` takes firejail and, where that is missing, bubblewrap.",
    ),
    Option(
        name="image",
        kind=Kind.TEXT,
        group=Group.BOX,
        flags=(Flag(("--image",), "the root file system of container mode", metavar="IMAGE"),),
        commands=BUILDING,
        default="host",
        key="image",
        meaning="What a container has as its root directory. `host`: this host's programs, and a "
        "small `/etc`. Else an image: `docker.io/library/debian:12`, `oci-archive:FILE` or "
        "`docker-archive:FILE`. It is pulled once, when it is first needed, or by `clsecure image "
        "pull`, and never written to. The agent must run in it: a native `claude` needs its C "
        "library, one from npm its node. `agent`: the image of `clsecure image build agent`, which "
        "has one. `build`: the one of the project's own file.",
    ),
    Option(
        name="base",
        kind=Kind.TEXT,
        group=Group.BOX,
        flags=(Flag(("--base",), "what `image build agent` starts from", metavar="IMAGE"),),
        commands=frozenset({"image"}),
    ),
    Option(
        name="writable",
        kind=Kind.BOOLEAN,
        group=Group.BOX,
        flags=(
            Flag(("--writable",), "keep what changes in a container's system", constant=True),
            Flag(("--no-writable",), "keep a container's system as it is", constant=False),
        ),
        commands=BUILDING,
        default=False,
        key="writable",
        meaning="Container mode: its root directory can be written to, and `setup_script` runs as "
        "its root, so that it can install packages. What changes there goes to layers of the "
        "session's own, which count as its disk use, are there again when it resumes, and go with "
        "it; neither the host nor the image is written to. A session stays writable once it is.",
    ),
    Option(
        name="workspace",
        kind=Kind.CHOICE,
        group=Group.BOX,
        flags=(Flag(("--workspace",), "how the agent sees the project", metavar="KIND"),),
        commands=BUILDING,
        default=WorkspaceKind.AUTO,
        key="workspace",
        choices=WorkspaceKind,
        meaning="`overlay`: copy-on-write over your working tree, at once, at any size. `clone`: "
        "a copy, slower. `auto` takes the overlay wherever kernel and file system have it.",
    ),
    Option(
        name="full_clone",
        kind=Kind.BOOLEAN,
        group=Group.BOX,
        flags=(
            Flag(("--full-clone",), "accepted; the full history is always there", constant=True),
        ),
        commands=SETTINGS,
        default=False,
    ),
    *REACH,
    *LIMITS,
    Option(
        name="session",
        kind=Kind.TEXT,
        group=Group.SESSION,
        flags=(Flag(("-s", "--session"), "a further session of this project", metavar="NAME"),),
        commands=ONE_SESSION,
    ),
    Option(
        name="start",
        kind=Kind.CHOICE,
        group=Group.SESSION,
        flags=(
            Flag(("--resume",), "go on with kept work without asking", constant=Start.RESUME),
            Flag(
                ("--fresh",),
                "start anew without asking; kept work is discarded",
                constant=Start.FRESH,
            ),
        ),
        commands=STARTING,
        default=Start.ASK,
        choices=Start,
    ),
    Option(
        name="dry_run",
        kind=Kind.BOOLEAN,
        group=Group.SESSION,
        flags=(
            Flag(
                ("--dry-run",), "print what would be built and run; change nothing", constant=True
            ),
        ),
        commands=STARTING,
        default=False,
    ),
    Option(
        name="install_dependencies",
        kind=Kind.BOOLEAN,
        group=Group.SETUP,
        flags=(
            Flag(("--install-deps",), "run npm install and pip install in the box", constant=True),
        ),
        commands=SETTINGS,
        default=False,
        key="install_dependencies",
        aliases=("install_deps",),
        meaning="Install the project's dependencies in the box before the agent starts: "
        "`npm install`; a virtual environment and pip.",
    ),
    Option(
        name="setup_script",
        kind=Kind.TEXT,
        group=Group.SETUP,
        flags=(),
        commands=SETTINGS,
        key="setup_script",
        meaning="A script that runs in the box, as the worker, before the agent of a fresh session "
        "starts. In a container that is `writable` it runs as root of the container.",
    ),
    Option(
        name="skip_setup",
        kind=Kind.BOOLEAN,
        group=Group.SETUP,
        flags=(Flag(("--skip-setup",), "do not run the setup script", constant=True),),
        commands=SETTINGS,
        default=False,
    ),
    Option(
        name="on_exit",
        kind=Kind.CHOICE,
        group=Group.END,
        flags=(Flag(("--on-exit",), "what becomes of the work", metavar="CHOICE"),),
        commands=SETTINGS,
        default=OnExit.ASK,
        key="on_exit",
        choices=OnExit,
        meaning="`ask` keeps the work where nobody can be asked.",
    ),
    Option(
        name="branch",
        kind=Kind.TEXT,
        group=Group.END,
        flags=(Flag(("--branch",), "the new branch that an import makes", metavar="NAME"),),
        commands=STARTING | {"import"},
    ),
    *HOME,
    Option(
        name="take_settings",
        kind=Kind.LIST,
        group=Group.END,
        flags=(Flag(("--take-settings",), "take such files of ~/.claude, too", metavar="GLOB"),),
        commands=STARTING | {"import"},
        default=(),
    ),
    Option(
        name="cleanup_hook_timeout",
        kind=Kind.INTEGER,
        group=Group.END,
        flags=(),
        commands=SETTINGS | {"cleanup"},
        default=30,
        key="cleanup_hook_timeout",
        project=True,
        bounds=(5, 300),
        meaning="How long `.clsecure/on-cleanup` may run, in seconds. It has the session's network "
        "at the session's end, and none when the worker is removed later.",
    ),
    Option(
        name="all_workers",
        kind=Kind.BOOLEAN,
        group=Group.END,
        flags=(Flag(("--all",), "the workers of all your projects", constant=True),),
        commands=frozenset({"cleanup"}),
        default=False,
    ),
    Option(
        name="follow",
        kind=Kind.BOOLEAN,
        group=Group.SCRIPTS,
        flags=(Flag(("-f", "--follow"), "go on with what happens from now on", constant=True),),
        commands=frozenset({"net"}),
        default=False,
    ),
    Option(
        name="blocked",
        kind=Kind.BOOLEAN,
        group=Group.SCRIPTS,
        flags=(Flag(("--blocked",), "only what was blocked", constant=True),),
        commands=frozenset({"net"}),
        default=False,
    ),
    Option(
        name="always",
        kind=Kind.BOOLEAN,
        group=Group.SCRIPTS,
        flags=(Flag(("--always",), "allow it in your configuration too, for good", constant=True),),
        commands=frozenset({"net"}),
        default=False,
    ),
    Option(
        name="remove",
        kind=Kind.BOOLEAN,
        group=Group.SCRIPTS,
        flags=(Flag(("--remove",), "undo what `clsecure setup` installed", constant=True),),
        commands=frozenset({"setup"}),
        default=False,
    ),
    Option(
        name="for_user",
        kind=Kind.TEXT,
        group=Group.SCRIPTS,
        flags=(Flag(("--for",), "the user that the sudo rule is for", metavar="USER"),),
        commands=frozenset({"setup"}),
    ),
    Option(
        name="no_input",
        kind=Kind.BOOLEAN,
        group=Group.SCRIPTS,
        flags=(Flag(("--no-input",), "never ask; fail where an answer is needed", constant=True),),
        commands=EVERYWHERE,
        default=False,
    ),
    Option(
        name="yes",
        kind=Kind.BOOLEAN,
        group=Group.SCRIPTS,
        flags=(Flag(("-y", "--yes"), "answer yes, and take what is suggested", constant=True),),
        commands=EVERYWHERE,
        default=False,
    ),
    Option(
        name="json",
        kind=Kind.BOOLEAN,
        group=Group.SCRIPTS,
        flags=(Flag(("--json",), "print one JSON document", constant=True),),
        commands=SHOWING | {"list", "show", "diff", "import", "doctor", "net", "image"},
        default=False,
    ),
)

BY_NAME = {option.name: option for option in OPTIONS}
BY_KEY = {key: option for option in OPTIONS for key in option.keys}
