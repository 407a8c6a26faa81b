"""Where requests to an API go from its door, and the credentials that are put into them there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from clsecure.agents import Dialect
from clsecure.choices import Secret


class Credential(NamedTuple):
    """A credential, and what the box holds in its place.

    It is `value`; or the access token in `login`, claude's file of that; or what `command`, a line
    for the shell, prints. `stand_in` may be the credential itself, where the box has it: then no
    other one passes. With `in_both` it goes out as an API key and as a bearer token at once.
    """

    name: str
    stand_in: Secret
    value: Secret | None = None
    login: Path | None = None
    command: str = ""
    seconds: float = 0  # for which what the command printed is used
    in_both: bool = False

    @property
    def is_outside(self) -> bool:
        """Whether the box lacks the credential itself."""
        return self.stand_in != self.value


class Route(NamedTuple):
    """One API behind the door; `name` begins the paths of its requests there.

    `base` is the beginning of the paths of the API's own, "" or without a slash at its end;
    `headers` are added to each request.
    """

    name: str
    scheme: str
    host: str
    port: int
    base: str
    dialect: Dialect
    credentials: tuple[Credential, ...]
    headers: tuple[tuple[str, Secret], ...] = ()
    web_tools: bool = False  # whether tools may pass that the API's own servers run
