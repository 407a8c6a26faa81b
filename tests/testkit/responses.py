"""The same scenarios in the language of the Responses API, which codex speaks.

Source: the API's reference, "Responses" and "Streaming events"; what codex 0.169 reads of it.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
_identifiers = itertools.count(1)
_OF_THE_MODEL = ("function_call", "custom_tool_call", "local_shell_call", "reasoning")


def as_messages(request: Json) -> Json:
    """Return the request as one of the Messages API, for a scenario to pick its turn."""
    messages: list[Json] = []
    for item in request.get("input") or []:
        role, content = _message(item)
        if not content:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        else:
            messages.append({"role": role, "content": content})
    tools = [{"name": tool.get("name", tool.get("type"))} for tool in request.get("tools") or []]
    return {**request, "messages": messages, "tools": tools}


def _message(item: Json) -> tuple[str, list[Json]]:
    kind = item.get("type", "message")
    if kind.endswith("_output"):
        return "user", [{"type": "tool_result", "content": _text(item.get("output"))}]
    if kind in _OF_THE_MODEL:
        return "assistant", [{"type": "text", "text": ""}]
    role = "assistant" if item.get("role") == "assistant" else "user"
    return role, [{"type": "text", "text": _text(item.get("content"))}]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(_text(part) for part in value)
    if isinstance(value, dict):
        return str(value.get("text") or value.get("content") or "")
    return str(value or "")


def events(message: Json) -> Iterator[Json]:
    """Stream a message of the Messages API as this one's events."""
    identifier = f"resp_fake{next(_identifiers):08d}"
    yield {"type": "response.created", "response": {"id": identifier}}
    output = [_item(block) for block in message["content"]]
    for index, item in enumerate(output):
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    done = {"id": identifier, "status": "completed", "output": output, "usage": usage}
    yield {"type": "response.completed", "response": done}


def _item(block: Json) -> Json:
    if block["type"] == "tool_use":
        return {
            "type": "function_call",
            "name": block["name"],
            "arguments": json.dumps(block["input"]),
            "call_id": block["id"],
        }
    content = [{"type": "output_text", "text": block["text"], "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content}
