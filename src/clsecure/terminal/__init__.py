"""Relay a terminal, or plain pipes, between the human and a command in the box."""

from clsecure.terminal.base import Exited, Peer
from clsecure.terminal.interactive import (
    has_terminal,
    relay_terminal,
    terminal_attributes,
    terminal_size,
)
from clsecure.terminal.pipes import relay_pipes

__all__ = [
    "Exited",
    "Peer",
    "has_terminal",
    "relay_pipes",
    "relay_terminal",
    "terminal_attributes",
    "terminal_size",
]
