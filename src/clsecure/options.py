"""Every option once: its name, type, default, flags, key, and who may set it.

The parser, the configuration files, the manual page and the configuration reference all read this
table, so that none of them can say something else than the others.
"""

from __future__ import annotations

from clsecure.choices import (
    Engine,
    Mode,
    Network,
    OnExit,
    Provider,
    Start,
    WorkspaceKind,
)
from clsecure.declaration import Flag, Group, Kind, Option

STARTING = frozenset({"run", "shell", "exec"})
SHOWING = frozenset({"info", "config"})
SETTINGS = STARTING | SHOWING
BUILDING = SETTINGS | {"demo", "doctor"}
ONE_SESSION = SETTINGS | {"show", "diff", "import", "discard", "cleanup", "net"}
EVERYWHERE = ONE_SESSION | {"list", "setup", "doctor", "demo", "completion"}

# Untracked files with these names are not shown to the agent; `SHOWN` are the harmless ones among
# them. Tracked files are never hidden: they are in the history that the agent has anyway.
HIDDEN = (
    *(".env", ".env.*"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.keystore", "*.jks", "*.kdbx"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*"),
    *(".netrc", "_netrc", ".git-credentials", ".npmrc", ".pypirc", ".htpasswd"),
    *("*.tfstate", "*.tfstate.*", "*.tfvars"),
    *("credentials*.json", "service-account*.json"),
    *(".aws", ".gnupg", ".ssh"),
)
SHOWN = ("*.example", "*.sample", "*.template", "*.dist", "*.pub")

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
        "and firejail or bubblewrap around it. `container`: rootless podman, not built yet. "
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
    Option(
        name="network",
        kind=Kind.CHOICE,
        group=Group.REACH,
        flags=(
            Flag(
                ("--network",),
                "what passes (filtered: the agent's API and what `allow` lists)",
                metavar="LEVEL",
            ),
            Flag(("--allow-network",), "open: any public host", constant=Network.OPEN),
            Flag(
                ("--no-network",), "none: nothing passes, not even the API", constant=Network.NONE
            ),
        ),
        commands=BUILDING,
        default=Network.FILTERED,
        key="network",
        aliases=("allow_network",),
        choices=Network,
        booleans=(Network.OPEN, Network.FILTERED),
        meaning="`none`: nothing passes, not even the agent's API. `filtered` (also `false`): "
        "the agent's API, and the hosts of `allow`. `open` (also `true`): any public host. "
        "Loopback, private and other special addresses pass only where `allow` lists them by "
        "address.",
    ),
    Option(
        name="allow",
        kind=Kind.LIST,
        group=Group.REACH,
        flags=(Flag(("--allow",), "let the agent reach this host, too", metavar="HOST"),),
        commands=BUILDING,
        default=(),
        key="allow",
        project=True,
        meaning="Hosts that the agent may reach: `host`, `host:port`, `*.example.org`, an "
        "address or network such as `10.1.2.0/24:5432`, or what your own client of a registry is "
        "set to: `@pip`, `@npm`, `@cargo`, `@go`, `@apt`, `@github`. Without a port, every port. "
        "A project's file can only ask: what it lists counts once you said yes, or after "
        "`clsecure config trust`.",
    ),
    Option(
        name="publish",
        kind=Kind.LIST,
        group=Group.REACH,
        flags=(Flag(("--publish",), "show a port of the box at 127.0.0.1", metavar="[HOST:]PORT"),),
        commands=SETTINGS,
        default=(),
        key="publish",
        meaning="Ports of servers in the box that you reach from outside: `3000` at "
        "127.0.0.1:3000, `8080:3000` at 127.0.0.1:8080, `0.0.0.0:8080:3000` at every address of "
        "this host.",
    ),
    Option(
        name="docker",
        kind=Kind.BOOLEAN,
        group=Group.REACH,
        flags=(
            Flag(("--allow-docker",), "containers for the agent; not built yet", constant=True),
            Flag(("--no-docker",), "no containers for the agent (default)", constant=False),
        ),
        commands=SETTINGS,
        default=False,
        key="docker",
        aliases=("allow_docker",),
        meaning="Containers for the agent inside its box. Accepted, but not built yet.",
    ),
    Option(
        name="skip_docker_autodetect",
        kind=Kind.BOOLEAN,
        group=Group.REACH,
        flags=(),
        commands=SETTINGS,
        default=False,
        key="skip_docker_autodetect",
        project=True,
        meaning="Do not look for compose files in order to suggest `docker`.",
    ),
    Option(
        name="hide",
        kind=Kind.LIST,
        group=Group.REACH,
        flags=(Flag(("--hide",), "hide untracked files with such names, too", metavar="PATTERN"),),
        commands=SETTINGS,
        default=HIDDEN,
        key="hide",
        meaning="Names of untracked files that the agent does not see, in addition to the default "
        "ones. Tracked files are never hidden.",
    ),
    Option(
        name="show",
        kind=Kind.LIST,
        group=Group.REACH,
        flags=(Flag(("--show",), "do not hide files with such names", metavar="PATTERN"),),
        commands=SETTINGS,
        default=SHOWN,
        key="show",
        meaning="Names that are not hidden although a pattern of `hide` matches; `show` wins.",
    ),
    Option(
        name="expose",
        kind=Kind.LIST,
        group=Group.REACH,
        flags=(Flag(("--expose",), "let the agent read this path of the host", metavar="PATH"),),
        commands=SETTINGS,
        default=(),
        key="expose",
        meaning="Paths outside the project that the agent may read. `~` is your home directory.",
    ),
    Option(
        name="provider",
        kind=Kind.CHOICE,
        group=Group.REACH,
        flags=(Flag(("--provider",), "whose API the agent talks to", metavar="NAME"),),
        commands=SETTINGS,
        default=Provider.ANTHROPIC,
        key="provider",
        variable="PROVIDER",
        choices=Provider,
        meaning="`kimi` uses https://api.kimi.com/coding/ and `kimi_api_key`.",
    ),
    Option(
        name="kimi_api_key",
        kind=Kind.SECRET,
        group=Group.REACH,
        flags=(),
        commands=SETTINGS,
        key="kimi_api_key",
        variable="KIMI_API_KEY",
        meaning="The API key for `provider = kimi`. It is never printed, and has no flag because "
        "every user of the machine can read a command line.",
    ),
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
        meaning="A script that runs in the box, as the worker, before the agent starts.",
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
        meaning="How long `.clsecure/on-cleanup` may run, in seconds.",
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
        commands=SHOWING | {"list", "show", "diff", "import", "doctor", "net"},
        default=False,
    ),
)

BY_NAME = {option.name: option for option in OPTIONS}
BY_KEY = {key: option for option in OPTIONS for key in option.keys}
