"""The fake API in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

from testkit.scenario import Scenario
from testkit.server import FakeAPI

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from testkit.conversation import Json

_LONGEST_LINE = 1 << 20
_SECONDS = 10


class Running:
    """Serves one scenario, or several by name, inside a context.

    with Running({"turns": [{"bash": "id"}, "done"]}) as api:
        subprocess.run([...], env={"ANTHROPIC_BASE_URL": api.url, ...})
        assert api.tool_results()[0]["text"].startswith("uid=")
    """

    url: str  # http://127.0.0.1:PORT, unless it was given a socket
    port: int

    def __init__(
        self,
        scenario: Scenario | Json | list[Any],
        listening: socket.socket | None = None,
        secure: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        """Take over `listening`, a socket of 127.0.0.1 if None, and speak TLS with `secure`."""
        self._listening, self._secure = listening, secure
        script = scenario if isinstance(scenario, Scenario) else Scenario("default", scenario)
        self.api = FakeAPI({script.name: script}, script.name, **options)
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_SECONDS):
            raise RuntimeError("the fake API did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_SECONDS)

    @property
    def requests(self) -> list[Json]:
        """The log's entries up to now."""
        return list(self.api.entries)

    def tool_results(self) -> list[Json]:
        """`is_error` and `text` of each tool result that the client sent."""
        return [r for entry in self.requests for r in entry.get("tool_results", [])]

    def failed_expectations(self) -> list[list[str]]:
        """List the patterns that tool results did not contain, of each turn that missed some."""
        return [entry["expect_failed"] for entry in self.requests if "expect_failed" in entry]

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        listening = self._listening or socket.create_server(("127.0.0.1", 0))
        server = await asyncio.start_server(
            self.api.connected, sock=listening, ssl=self._secure, limit=_LONGEST_LINE
        )
        address, self.port = listening.getsockname()
        self.url = f"{'https' if self._secure else 'http'}://{address}:{self.port}"
        self._started.set()
        await self._stop.wait()
        server.close()
