"""The world of tests on the real system: a human made for them, with sudo, a home and repositories."""

from world.human import Human, new_human

__all__ = ["Human", "new_human"]
