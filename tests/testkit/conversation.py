"""Questions about a decoded Messages API request."""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]

_WORKING_DIRECTORY = re.compile(r"[Ww]orking directory: *(\S[^\n]*)")


def client_tools(request: Json) -> list[Json]:
    """List the tools that the client itself runs; those of the server have another `type`."""
    return [tool for tool in request.get("tools") or [] if tool.get("type", "custom") == "custom"]


def known_tool(request: Json, name: str) -> tuple[str, Json]:
    """Find a tool's own spelling and its input fields, without regard to case."""
    for tool in client_tools(request):
        if tool.get("name", "").lower() == name.lower():
            return tool["name"], tool.get("input_schema", {}).get("properties", {})
    return name, {}


def is_prompt(message: Json) -> bool:
    """Whether a message is the human's, and not the results of tools."""
    content = message.get("content")
    if message.get("role") != "user":
        return False
    return isinstance(content, str) or not any(
        b.get("type") == "tool_result" for b in content or []
    )


def block_text(content: Any) -> str:
    """Join the texts of content blocks, tool results included."""
    if isinstance(content, str):
        return content
    parts = []
    for block in content or []:
        if block.get("type") == "text":
            parts.append(block["text"])
        elif block.get("type") == "tool_result":
            parts.append(block_text(block.get("content")))
    return "\n".join(parts)


def last_input(messages: list[Json]) -> str:
    """Text of the last message that is not the assistant's."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return block_text(message.get("content"))
    return ""


def tool_results(messages: list[Json]) -> list[Json]:
    """`is_error` and `text` of each tool result in the last message from the client."""
    for message in reversed(messages):
        if message.get("role") != "user":
            continue
        if isinstance(message.get("content"), str):
            return []
        return [
            {"is_error": bool(b.get("is_error")), "text": block_text(b.get("content"))}
            for b in message["content"]
            if b.get("type") == "tool_result"
        ]
    return []


def working_directory(request: Json) -> str:
    """Find the client's working directory, which it tells the model in its prompt."""
    texts = [block_text(request.get("system", ""))]
    texts += [block_text(message.get("content")) for message in request.get("messages", [])]
    for text in texts:
        if found := _WORKING_DIRECTORY.search(text):
            return found[1].strip()
    return "."
