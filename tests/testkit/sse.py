"""The events of a streamed reply (Messages API, "Streaming")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
_PIECE = 40  # characters of a delta


def events(message: Json) -> Iterator[Json]:
    """Stream a complete message: its start, each block in pieces, its end."""
    started = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": started}
    for index, block in enumerate(message["content"]):
        start, deltas = _parts(block)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": message["usage"]["output_tokens"]}
    yield {"type": "message_delta", "delta": end, "usage": usage}
    yield {"type": "message_stop"}


def encode(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _parts(block: Json) -> tuple[Json, list[Json]]:
    """Split a block into how it starts and what is added to it."""
    kind = block["type"]
    if kind == "text":
        return {**block, "text": ""}, _deltas("text_delta", "text", block["text"])
    if kind == "thinking":
        signature = {"type": "signature_delta", "signature": block.get("signature", "")}
        deltas = _deltas("thinking_delta", "thinking", block["thinking"])
        return {"type": kind, "thinking": "", "signature": ""}, [*deltas, signature]
    if kind == "tool_use":
        text = json.dumps(block["input"])
        return {**block, "input": {}}, _deltas("input_json_delta", "partial_json", text)
    return block, []


def _deltas(kind: str, field: str, text: str) -> list[Json]:
    pieces = [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)] or [""]
    return [{"type": kind, field: piece} for piece in pieces]
