"""The boxes that most tests go through: every mode and engine, over both workspaces."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of box."""

    mode: str
    engine: str
    workspace: str

    def __str__(self) -> str:
        return f"{self.engine if self.mode == 'namespace' else self.mode}-{self.workspace}"

    @property
    def flags(self) -> tuple[str, ...]:
        """The command line's flags that ask for it."""
        engine = ("--engine", self.engine) if self.mode == "namespace" else ()
        return ("--mode", self.mode, *engine, "--workspace", self.workspace)


BOXES = tuple(
    Kind(mode, engine, workspace)
    for workspace in ("overlay", "clone")
    for mode, engine in (
        ("user", "none"),
        ("namespace", "firejail"),
        ("namespace", "bubblewrap"),
        ("container", "podman"),
    )
)
OVERLAY, CLONE = Kind("namespace", "firejail", "overlay"), Kind("namespace", "firejail", "clone")
BOTH_WORKSPACES = (OVERLAY, CLONE)
