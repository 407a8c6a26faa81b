"""The options about what the agent reaches: network, files, whose API."""

from __future__ import annotations

from clsecure.choices import AgentName, Credentials, Docker, Network, Provider
from clsecure.declaration import BUILDING, SETTINGS, Flag, Group, Kind, Option

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

REACH: tuple[Option, ...] = (
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
        commands=SETTINGS | {"image"},
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
        kind=Kind.CHOICE,
        group=Group.REACH,
        flags=(
            Flag(("--docker",), "which containers the agent may start", metavar="KIND"),
            Flag(("--allow-docker",), "those of the host: as good as root", constant=Docker.HOST),
            Flag(("--no-docker",), "none (default)", constant=Docker.NONE),
        ),
        commands=SETTINGS,
        default=Docker.NONE,
        key="docker",
        aliases=("allow_docker",),
        choices=Docker,
        booleans=(Docker.HOST, Docker.NONE),
        meaning="`podman`: a podman of the agent's own, in the box, which answers to `docker` and "
        "`docker compose`; its containers have the session's network and limits, and end with it. "
        "`host` (also `true`): the host's docker by its socket, which is as good as root on this "
        "machine, and needs your yes once for a project. `none` (also `false`): no containers.",
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
        "ones. Tracked files are never hidden. They hold for what `expose` shows, too. What begins "
        "with `/` or `~/` is about the tools of your home that are shown: `~/.pyenv` is not, then.",
    ),
    Option(
        name="show",
        kind=Kind.LIST,
        group=Group.REACH,
        flags=(Flag(("--show",), "do not hide files with such names", metavar="PATTERN"),),
        commands=SETTINGS,
        default=SHOWN,
        key="show",
        meaning="Names that are not hidden although a pattern of `hide` matches; `show` wins. A "
        "path that begins with `/` or `~/` lifts what is kept back as a place of credentials.",
    ),
    Option(
        name="expose",
        kind=Kind.LIST,
        group=Group.REACH,
        flags=(Flag(("--expose",), "let the agent read this path of the host", metavar="PATH"),),
        commands=SETTINGS,
        default=(),
        key="expose",
        meaning="Paths outside the project that the agent may read. `~` is your home directory. "
        "The directories of your PATH below it need no mention: they are shown with what belongs "
        "to them, see `clsecure info`.",
    ),
    Option(
        name="agent",
        kind=Kind.CHOICE,
        group=Group.REACH,
        flags=(Flag(("--agent",), "which coding agent is run", metavar="NAME"),),
        commands=SETTINGS | {"doctor"},
        default=AgentName.CLAUDE,
        key="agent",
        choices=AgentName,
        meaning="It is started with every permission prompt off, and reaches its own API. A kept "
        "session can go on with another one: the files are the same, the conversation is not.",
    ),
    Option(
        name="agent_command",
        kind=Kind.TEXT,
        group=Group.REACH,
        flags=(),
        commands=SETTINGS,
        key="agent_command",
        meaning="A program that is run as the agent, with its arguments: a wrapper of claude, or "
        "any other. It gets the variables and the API of claude; what else it needs to reach, "
        "`allow` lists. It wins over `agent`.",
    ),
    Option(
        name="credentials",
        kind=Kind.CHOICE,
        group=Group.REACH,
        flags=(Flag(("--credentials",), "where the agent's credentials are", metavar="WHERE"),),
        commands=SETTINGS,
        default=Credentials.AUTO,
        key="credentials",
        choices=Credentials,
        meaning="`auto`: keys stay outside, where they are put into the agent's requests to its "
        "own API; of a subscription's login the access token is inside, without the one that "
        "renews it. `broker`: that token stays outside, too; the terms of subscriptions speak of "
        "ordinary use of the vendor's own programs, so this is yours to decide. `inside`: the "
        "agent has its credentials, for programs that find their API at one address alone.",
    ),
    Option(
        name="api_key_command",
        kind=Kind.TEXT,
        group=Group.REACH,
        flags=(),
        commands=SETTINGS,
        key="api_key_command",
        meaning="A line for the shell that prints the key of the agent's API, where no variable "
        "holds one: `pass show anthropic`, `op read op://keys/anthropic/key`, `secret-tool lookup "
        "service anthropic`, `keyctl print %user:anthropic`. It runs on the host, as you, before "
        "the agent starts.",
    ),
    Option(
        name="web_tools",
        kind=Kind.BOOLEAN,
        group=Group.REACH,
        flags=(
            Flag(("--web-tools",), "let the API's servers search and run for it", constant=True),
            Flag(("--no-web-tools",), "let them do neither (default)", constant=False),
        ),
        commands=SETTINGS,
        default=False,
        key="web_tools",
        meaning="Whether requests may ask for tools that run at the API itself (web search, code "
        "execution, connectors). What these reach, `allow` does not decide.",
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
)
