"""What the agent wrote into its own settings is shown and offered; a person takes it, or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from clsecure import agent
from clsecure.errors import UserError
from clsecure.homecoming import offers
from clsecure.homecoming.offers import Offer, Offers
from clsecure.invocation import Invocation
from clsecure.output import Output, Style
from clsecure.session import OpenSession

_SHOWN = 20  # more are counted
_ANSWERS = {"y": "yes", "n": "no", "d": "diff", "q": "quit"}


def look(session: OpenSession) -> Offers:
    """Return what there is in the session."""
    plan = session.plan
    if not plan.declared.is_settled:
        return Offers()
    return offers.look(session.box, plan.facts.home, memories(session))


def memories(session: OpenSession) -> tuple[str, ...]:
    """Return where the agent's memory of this project is, by paths in the home."""
    plan = session.plan
    places = (plan.facts.cwd, plan.project)
    names = (agent.history_directory(plan.declared, place) for place in places)
    return tuple(dict.fromkeys(f"{name}/memory" for name in names))


def show(found: Offers, output: Output) -> None:
    """Print what there is, and what of it would run on the host."""
    if not (found.files or found.left):
        return
    output.say("in the agent's own settings:", style=Style.BOLD)
    for one in found.files[:_SHOWN]:
        output.say(f"  {'A' if one.before is None else 'M'} ~/{one.path}")
        for why in one.warnings:
            output.say(f"  ! ~/{one.path}: {why}", style=Style.YELLOW)
    if len(found.files) > _SHOWN:
        output.say(f"  … {len(found.files) - _SHOWN} more")
    for line in found.left[:_SHOWN]:
        output.say(f"  stays in the session: {line}")


def offer(invocation: Invocation, session: OpenSession, found: Offers) -> tuple[str, ...]:
    """Take what was named, ask for each of the rest where one can; returns what was taken."""
    output, config = invocation.output, session.plan.config
    named = [one for one in found.files if matches(one, config.take_settings)]
    rest = [one for one in found.files if one not in named]
    taken = [one.path for one in named if _take(one, session, output)]
    if output.can_ask and not config.yes:
        for one in rest:
            answer = _ask(one, output)
            if answer == "q":
                break
            if answer == "y" and _take(one, session, output):
                taken.append(one.path)
    elif rest:
        output.note(
            f"the agent's settings stay in the session ({len(rest)} to be had): "
            "`clsecure import --take-settings GLOB` takes what you name"
        )
    return tuple(taken)


def matches(one: Offer, patterns: Sequence[str]) -> bool:
    """Say whether a pattern names that file, by its path in ~/.claude."""
    name = one.path.removeprefix(".claude/")
    plain = [each.removeprefix("~/").removeprefix(".claude/") for each in patterns]
    return any(fnmatchcase(name, each) for each in plain)


def _ask(one: Offer, output: Output) -> str:
    if one.before is not None:
        output.say(offers.difference(one), multiline=True)
    kind = "new" if one.before is None else "changed"
    while True:
        question = f"Take ~/{one.path} ({kind})?"
        letter = output.choose(question, _ANSWERS, default="n", flag="--take-settings GLOB")
        if letter != "d":
            return letter
        output.say(offers.difference(one), multiline=True)


def _take(one: Offer, session: OpenSession, output: Output) -> bool:
    if one.before is not None and not output.can_ask:
        output.say(offers.difference(one), multiline=True)
    try:
        offers.take(one, session.plan.facts.home)
    except UserError as error:
        output.error(error.message, error.hint)
        return False
    output.say(f"taken: ~/{one.path}", style=Style.GREEN)
    return True
