"""Limits of a session: what is asked of root, and what is said about them."""

from __future__ import annotations

from collections.abc import Iterable

from clsecure.config import Config
from clsecure.helper.protocol import Limits, Reached
from clsecure.options import BY_NAME
from clsecure.values import UNLIMITED

_NAMES = ("memory", "cpus", "pids", "disk", "time")


def asked(config: Config) -> Limits:
    """Return the limits in root's units; `time` is each command's own."""
    return Limits(
        memory=config.memory or 0,
        cpus=round((config.cpus or 0) * 1000),
        pids=config.pids or 0,
        disk=config.disk or 0,
    )


def words(config: Config) -> str:
    """Return the limits in one line; `unlimited` where there is none."""
    set_ = [(name, getattr(config, name)) for name in _NAMES if getattr(config, name) is not None]
    if not set_:
        return UNLIMITED
    from clsecure import amounts

    return ", ".join(f"{name} {amounts.words(BY_NAME[name].kind, value)}" for name, value in set_)


def reached(limits: Iterable[Reached]) -> list[str]:
    """Say which limits were reached, a line each."""
    times: dict[tuple[str, int], int] = {}
    for one in limits:
        key = (one.limit, one.value)
        times[key] = times.get(key, 0) + one.times
    return [_line(name, value, count) for (name, value), count in times.items()]


def _line(name: str, value: int, count: int) -> str:
    from clsecure import amounts

    shown = amounts.words(BY_NAME[name].kind, value)
    what = {
        "memory": f", {count} process{'es were' if count > 1 else ' was'} ended",
        "pids": f", {count} new one{'s were' if count > 1 else ' was'} refused",
        "time": ", the command was ended",
    }
    return f"{name}: the limit of {shown} was reached{what.get(name, '')}"
