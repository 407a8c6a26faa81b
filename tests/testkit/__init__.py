"""A scripted Anthropic Messages API with which tests drive the real client. See README.md."""

from testkit.running import Running
from testkit.scenario import Scenario

__all__ = ["Running", "Scenario"]
