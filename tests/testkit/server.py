"""The server: routes, credentials, the log, and replies as the scenario has them."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from testkit import responses, sse, wire
from testkit import scenario as scripts
from testkit.conversation import Json, tool_results

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from testkit.scenario import Scenario

_CREDENTIALS = ("authorization", "x-api-key", "proxy-authorization", "cookie")
_LONGEST_LOGGED = 4000
_MODEL = "claude-fake-1"
_identifiers = itertools.count(1)

# Start-up calls of the client, and what they answer.
_PLAIN: dict[tuple[str, str], Any] = {
    **{(m, p): {"ok": True} for m in ("GET", "HEAD") for p in ("/", "/api/hello")},
    ("GET", "/v1/models"): {
        "data": [
            {
                "type": "model",
                "id": _MODEL,
                "display_name": _MODEL,
                "created_at": "2025-01-01T00:00:00Z",
            }
        ],
        "has_more": False,
    },
    ("POST", "/api/event_logging/batch"): {"accepted_count": 0, "rejected_count": 0},
    ("POST", "/api/event_logging/v2/batch"): {"accepted_count": 0, "rejected_count": 0},
}


class FakeAPI:
    """Serves scenarios; `/s/NAME` before the path chooses one, else `default` is played.

    `entries` has one record for each request: method, path, headers with credentials as a hash
    (in clear with `show_credentials`), the turn, tool results, `expect_failed`, `cut`, `status`.
    """

    def __init__(
        self,
        scenarios: dict[str, Scenario],
        default: str,
        *,
        log: Path | None = None,
        require_key: str | None = None,
        show_credentials: bool = False,
    ) -> None:
        self.entries: list[Json] = []
        self._scenarios = scenarios
        self._default = default
        self._log = log
        self._require_key = require_key
        self._show_credentials = show_credentials

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while request := await wire.read_request(reader):
                    if not await self._respond(request, writer):
                        break
            except wire.BadRequest as error:
                self._note({"bad_request": str(error)})
        writer.close()

    async def _respond(self, request: wire.Request, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection shall be closed."""
        entry: Json = {
            "time": round(time.time(), 3),
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "bytes": len(request.body),
            "headers": {name: self._shown(name, value) for name, value in request.headers.items()},
        }
        complete = True
        try:
            async for part in self._answer(request, entry):
                writer.write(part)
                await writer.drain()
            complete = not entry.get("cut")
        finally:
            self._note(entry)
        return complete and request.keep_alive

    async def _answer(self, request: wire.Request, entry: Json) -> AsyncIterator[bytes]:
        """Yield the bytes of the answer."""
        name, path = _route(request.path, self._default)
        entry["scenario"] = name
        method = request.method
        if name not in self._scenarios:
            yield _refuse(entry, 404, f"no scenario {name}")
        elif path.startswith("/v1/") and not self._authorized(request):
            yield _refuse(entry, 401, "invalid x-api-key")
        elif (method, path) == ("POST", "/v1/messages"):
            async for part in _message(self._scenarios[name], request.body, entry):
                yield part
        elif (method, path) == ("POST", "/v1/responses"):
            async for part in _message(
                self._scenarios[name], request.body, entry, responses.as_messages, responses.events
            ):
                yield part
        elif (method, path) == ("GET", "/v1/responses"):  # by a web socket; else it tries on
            yield _refuse(entry, 426, "no web socket here")
        elif (method, path) == ("POST", "/v1/messages/count_tokens"):
            yield wire.document(200, {"input_tokens": _tokens(request.body)})
        elif (method, path) in _PLAIN:
            yield wire.document(200, _PLAIN[method, path], body=method != "HEAD")
        else:
            yield _refuse(entry, 404, "not found", body=method != "HEAD")

    def _authorized(self, request: wire.Request) -> bool:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self._require_key in {None, bearer, request.headers.get("x-api-key")}

    def _shown(self, name: str, value: str) -> str:
        if name not in _CREDENTIALS or self._show_credentials:
            return value
        digest = hashlib.sha256(value.removeprefix("Bearer ").encode()).hexdigest()[:12]
        return f"<sha256:{digest}>"

    def _note(self, entry: Json) -> None:
        self.entries.append(entry)
        if self._log:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _route(path: str, default: str) -> tuple[str, str]:
    """Split a path into the scenario's name and the API's path."""
    match = re.fullmatch(r"/s/([\w.-]+)(/.*)?", path)
    return (match[1], match[2] or "/") if match else (default, path)


def _refuse(entry: Json, status: int, message: str, *, body: bool = True) -> bytes:
    entry["status"] = status
    return wire.document(status, wire.error(status, message), body=body)


def _tokens(data: bytes) -> int:
    return max(1, len(data) // 4)


async def _message(
    scenario: Scenario,
    body: bytes,
    entry: Json,
    read: Callable[[Json], Json] = dict,
    events: Callable[[Json], Iterator[Json]] = sse.events,
) -> AsyncIterator[bytes]:
    """Yield the reply to /v1/messages, or to another API by what reads and what tells it."""
    try:
        request = read(json.loads(body))
    except ValueError:
        yield _refuse(entry, 400, "body is not JSON")
        return
    label, turn = scenario.pick(request)
    results = tool_results(request.get("messages", []))
    entry.update(turn=label, model=request.get("model"), stream=bool(request.get("stream")))
    if results and label != "side":
        entry["tool_results"] = [{**r, "text": r["text"][:_LONGEST_LOGGED]} for r in results]
    if failure := scenario.failure(label, turn):
        entry["status"] = failure["status"]
        extra = [("retry-after", failure["retry_after"])] if "retry_after" in failure else []
        answer = wire.error(failure["status"], failure.get("message", "scripted error"))
        yield wire.document(failure["status"], answer, extra)
        return
    if unmet := scripts.unmet_expectations(turn, results):
        entry["expect_failed"] = unmet
        turn = {"text": f"EXPECT FAILED: {unmet!r}"}
    await asyncio.sleep(turn.get("wait", 0))
    message = _complete(turn, label, request, body)
    if not request.get("stream"):
        yield wire.document(200, message)
        return
    async for part in _streamed(events(message), turn, entry):
        yield part


async def _streamed(events: Iterator[Json], turn: Json, entry: Json) -> AsyncIterator[bytes]:
    yield wire.head(200, [("content-type", "text/event-stream; charset=utf-8")])
    for sent, event in enumerate(events):
        if sent == turn.get("cut_after"):
            entry["cut"] = True
            return
        yield wire.chunk(sse.encode(event))
        await asyncio.sleep(turn.get("delay", 0))
    yield wire.END_OF_CHUNKS


def _complete(turn: Json, label: str, request: Json, body: bytes) -> Json:
    """Build the whole message of a turn."""
    blocks, stop_reason = scripts.content(turn, label, request)
    usage = {
        "input_tokens": _tokens(body),
        "output_tokens": _tokens(json.dumps(blocks).encode()),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }
    return {
        "id": f"msg_fake{next(_identifiers):08d}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", _MODEL),
        "content": blocks,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }
