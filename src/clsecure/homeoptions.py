"""The options about the project's remotes: who pushes what, and who signs."""

from __future__ import annotations

from clsecure.choices import Push, Sign
from clsecure.declaration import SETTINGS, Flag, Group, Kind, Option

BRANCHES = ("claude/*",)

HOME: tuple[Option, ...] = (
    Option(
        name="push",
        kind=Kind.CHOICE,
        group=Group.END,
        flags=(
            Flag(("--allow-push",), "the agent pushes claude/* itself", constant=Push.ORIGIN),
            Flag(("--no-push",), "nobody pushes, nor is asked to", constant=Push.NEVER),
        ),
        commands=SETTINGS | {"import"},
        default=Push.ASK,
        key="push",
        project=True,
        choices=Push,
        meaning="`ask`: an import asks whether to push its branch, in a terminal. `never`: it does "
        "not. `origin`: the same as `ask`, and the agent can fetch from the project's remotes and "
        "push to them by itself, with your right and without your credentials: only to the "
        "branches of `push_branches`, without force; and `gh` lists, views and opens requests of "
        "this project on GitHub. A project's file can only ask for less.",
    ),
    Option(
        name="push_branches",
        kind=Kind.LIST,
        group=Group.END,
        flags=(),
        commands=SETTINGS,
        default=BRANCHES,
        key="push_branches",
        meaning="Further branches that the agent may push to with `push = origin`; `*` stands for "
        "any text.",
    ),
    Option(
        name="push_force",
        kind=Kind.BOOLEAN,
        group=Group.END,
        flags=(),
        commands=SETTINGS,
        default=False,
        key="push_force",
        meaning="With `push = origin`, the agent may replace what those branches hold on the "
        "remote, as long as it has seen it.",
    ),
    Option(
        name="push_now",
        kind=Kind.BOOLEAN,
        group=Group.END,
        flags=(Flag(("--push",), "push the new branch, without a question", constant=True),),
        commands=frozenset({"import"}),
        default=False,
    ),
    Option(
        name="sign",
        kind=Kind.CHOICE,
        group=Group.END,
        flags=(
            Flag(("--sign",), "sign the session's commits with your key", constant=Sign.ALWAYS),
            Flag(("--no-sign",), "import them as they are", constant=Sign.NEVER),
        ),
        commands=SETTINGS | {"import"},
        default=Sign.ASK,
        key="sign",
        choices=Sign,
        meaning="Whether an import signs the session's commits with your key, outside, which "
        "gives them new ids. `ask`: asks where your `commit.gpgsign` is true, and does not where "
        "nobody can be asked. `always`: signs, and imports nothing where that fails. `never`.",
    ),
)
