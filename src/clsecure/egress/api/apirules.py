"""Which requests to an API pass: those that an agent needs, without tools of the API's own servers.

Such tools (web search, code execution, connectors) would leave the box by the front door: what
they reach, no list of hosts decides. So only kinds of tools that the agent itself runs are known
here, and every other kind is refused. Sources: the references of Anthropic's Messages API, of
OpenAI's Responses and Chat Completions, and of Gemini's generateContent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from clsecure.agents import Dialect

_ALIVE = (("HEAD", r"/?"), ("GET", r"/?"), ("HEAD", r"/api/hello"), ("GET", r"/api/hello"))
_ROUTES: Mapping[Dialect, tuple[tuple[str, str], ...]] = {
    Dialect.ANTHROPIC: (
        *_ALIVE,
        ("POST", r"(/v1)?/messages"),
        ("POST", r"(/v1)?/messages/count_tokens"),
        ("GET", r"(/v1)?/models(/[\w.:@-]+)?"),
    ),
    Dialect.OPENAI: (
        *_ALIVE,
        ("POST", r"(/v1)?/responses"),
        ("POST", r"(/v1)?/responses/compact"),
        ("POST", r"(/v1)?/chat/completions"),
        ("GET", r"(/v1)?/models(/[\w.:@-]+)?"),
    ),
    Dialect.GEMINI: (
        *_ALIVE,
        ("POST", r"/v1(alpha|beta)?/models/[\w.-]+:(generateContent|streamGenerateContent)"),
        ("POST", r"/v1(alpha|beta)?/models/[\w.-]+:(countTokens|embedContent)"),
        ("GET", r"/v1(alpha|beta)?/models(/[\w.-]+)?"),
    ),
}
# Kinds of tools that the agent runs itself; what is behind the name is a date.
_CLIENT_TOOLS = re.compile(r"custom|(bash|text_editor|computer|memory)_\d{8}|tool_search_tool_\w+")
_OPENAI_TOOLS = frozenset(
    ("function", "custom", "namespace", "local_shell", "shell", "apply_patch", "tool_search")
)
_GEMINI_TOOLS = frozenset(("functionDeclarations", "function_declarations"))
_SERVER_FIELDS = ("mcp_servers", "container")


class Unreadable(ValueError):
    """A body of which it cannot be said what it asks for."""


def passes(dialect: Dialect, method: str, path: str) -> bool:
    """Whether a request is one that an agent needs; `path` is without the API's own beginning."""
    routes = _ROUTES.get(dialect)
    if routes is None:
        return True
    return any(method == each and re.fullmatch(form, path) for each, form in routes)


def server_tool(dialect: Dialect, body: bytes) -> str:
    """Return what a request asks the API's own servers to do for the agent; "" for nothing.

    Raises Unreadable for what is no JSON, and for JSON that not every reader reads alike.
    """
    find = _FINDERS.get(dialect)
    if find is None or not body:
        return ""
    request = _read(body)
    return find(request) if isinstance(request, dict) else ""


def _anthropic(request: Mapping[str, Any]) -> str:
    for name in _SERVER_FIELDS:
        if request.get(name):
            return name
    for tool in _list(request.get("tools")):
        kind = tool.get("type", "custom")
        if not isinstance(kind, str) or not _CLIENT_TOOLS.fullmatch(kind):
            return str(kind)
    return ""


def _openai(request: Mapping[str, Any]) -> str:
    if request.get("web_search_options"):
        return "web_search_options"
    for tool in _list(request.get("tools")):
        if tool.get("type") not in _OPENAI_TOOLS:
            return str(tool.get("type"))
    return ""


def _gemini(request: Mapping[str, Any]) -> str:
    for tool in _list(request.get("tools")):
        for name in tool:
            if name not in _GEMINI_TOOLS:
                return name
    return ""


_FINDERS: Mapping[Dialect, Callable[[Mapping[str, Any]], str]] = {
    Dialect.ANTHROPIC: _anthropic,
    Dialect.OPENAI: _openai,
    Dialect.GEMINI: _gemini,
}


def _list(tools: object) -> list[dict[str, Any]]:
    if tools is None:
        return []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Unreadable("its tools are not a list of objects")
    return tools


def _read(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_once)
    except Unreadable:
        raise
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # RFC 8259, section 4: which of the two counts is not said
        raise Unreadable("a name stands twice in one object")
    return found
