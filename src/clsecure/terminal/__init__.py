"""Relay a terminal, or plain pipes, between the human and a command in the box.

The relays are in `interactive` and `pipes`: they are loaded while the command starts.
"""

from clsecure.terminal.base import Exited, Peer
from clsecure.terminal.standard import has_terminal, terminal_attributes, terminal_size

__all__ = ["Exited", "Peer", "has_terminal", "terminal_attributes", "terminal_size"]
