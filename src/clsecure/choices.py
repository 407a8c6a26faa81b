"""What settings can be: enums that carry the words of configuration files, and secrets."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """How much stands around the worker; in the order of their strength."""

    USER = "user"
    NAMESPACE = "namespace"
    CONTAINER = "container"

    def weaker_than(self, other: Mode) -> bool:
        """Whether this mode protects less than `other`."""
        order = list(Mode)
        return order.index(self) < order.index(other)


class Engine(StrEnum):
    """The program that builds the namespace mode."""

    AUTO = "auto"
    FIREJAIL = "firejail"
    BUBBLEWRAP = "bubblewrap"


class WorkspaceKind(StrEnum):
    """How the worker gets its view of the project."""

    AUTO = "auto"
    OVERLAY = "overlay"
    CLONE = "clone"


class Network(StrEnum):
    """What passes from the box to the outside."""

    NONE = "none"
    FILTERED = "filtered"
    OPEN = "open"


HOST = "host"  # as an image: the host's own programs
AGENT = "agent"  # as an image: the one that was built from the shipped file


class Docker(StrEnum):
    """Which containers the agent may start."""

    NONE = "none"
    PODMAN = "podman"  # of its own, in the box
    HOST = "host"  # the host's, by its socket


class Provider(StrEnum):
    """Whose API the agent talks to."""

    ANTHROPIC = "anthropic"
    KIMI = "kimi"


class Credentials(StrEnum):
    """Which credentials of the agent's are in the box."""

    AUTO = "auto"  # no key; of a subscription's login the access token
    BROKER = "broker"  # none
    INSIDE = "inside"  # all


class AgentName(StrEnum):
    """The coding agents that clsecure knows."""

    CLAUDE = "claude"
    CODEX = "codex"
    GEMINI = "gemini"
    OPENCODE = "opencode"
    AMP = "amp"
    AIDER = "aider"


class OnExit(StrEnum):
    """What becomes of the work when the agent ends."""

    ASK = "ask"
    IMPORT = "import"
    KEEP = "keep"
    DISCARD = "discard"


class Push(StrEnum):
    """Who may push the session's work to the project's remotes; in the order of strictness."""

    ORIGIN = "origin"  # the agent, to the project's own remotes, through a door
    ASK = "ask"  # the human, at import
    NEVER = "never"

    def stricter_than(self, other: Push) -> bool:
        """Whether this lets less out than `other`."""
        order = list(Push)
        return order.index(self) > order.index(other)


class Sign(StrEnum):
    """Whether an import signs the session's commits with the human's key."""

    ASK = "ask"  # where their git signs commits, and they can be asked
    ALWAYS = "always"
    NEVER = "never"


class Need(StrEnum):
    """Whether the agent's program, and with it a network, must be there for a plan."""

    REQUIRED = "required"
    WELCOME = "welcome"  # shown if it is there: a shell in the box can start it then
    NONE = "none"


class Start(StrEnum):
    """Whether kept work goes on or makes room for a fresh start."""

    ASK = "ask"
    RESUME = "resume"
    FRESH = "fresh"


class Secret:
    """A string that is never printed by accident; `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self._text

    def __hash__(self) -> int:
        return hash(self._text)


Value = bool | int | float | str | Secret | tuple[str, ...] | None
