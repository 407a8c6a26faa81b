"""The world of tests on the real system: a human made for them, with sudo and a home."""

from world import leftovers
from world.human import Human, new_human

__all__ = ["Human", "leftovers", "new_human"]
