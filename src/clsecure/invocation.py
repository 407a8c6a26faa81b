"""What one call of clsecure asks of a command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clsecure.ahead import Ahead
from clsecure.output import Output
from clsecure.values import Entry

if TYPE_CHECKING:
    from clsecure.config import Config


class Invocation(NamedTuple):
    """A command as it was called.

    `options` holds only what the command line gave, by name; `arguments` the words for the agent
    or for the box (run, exec), or the command's own operand (config, completion). `begun` is what
    was started for the command before it was known.
    """

    command: str
    options: Mapping[str, Entry]
    arguments: tuple[str, ...]
    output: Output
    environ: Mapping[str, str]
    cwd: Path
    begun: Ahead | None = None

    def flag(self, name: str) -> bool:
        """Whether the command line switched `name` on."""
        return name in self.options and self.options[name].value is True

    def load_config(self, top: Path | None) -> Config:
        """Read all layers for the project at `top`, and print their warnings.

        Raises UserError for a bad value or file.
        """
        from clsecure.configfiles import load  # not every command needs settings

        config = load(top, self.environ, self.options.values())
        for warning in config.warnings:
            self.output.warn(warning)
        return config
