"""What the model says: a script, from which each request picks its turn without any state."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

from testkit.conversation import (
    Json,
    client_tools,
    is_prompt,
    known_tool,
    last_input,
    tool_results,
    working_directory,
)

_identifiers = itertools.count(1)
_ALWAYS = sys.maxsize


class Scenario:
    """{"turns": [TURN, ...], "after": TURN, "side": TURN, "rules": [RULE, ...]}; see README.md."""

    def __init__(self, name: str, script: Json | list[Any]) -> None:
        script = {"turns": script} if isinstance(script, list) else script
        self.name = name
        self.turns = [as_turn(turn) for turn in script.get("turns", [])]
        self.after = as_turn(script.get("after", "done"))
        self.side = as_turn(script.get("side", "ok"))
        self.rules = [
            (re.compile(rule["when"], re.DOTALL), as_turn(rule)) for rule in script.get("rules", [])
        ]
        self.per_prompt = script.get("scope", "conversation") == "prompt"
        self._failures: dict[str, int] = {}

    def pick(self, request: Json) -> tuple[str, Json]:
        """Choose the turn for a request; its label is for the log."""
        messages = request.get("messages", [])
        if not client_tools(request):  # a title, a web search: not the agent
            return "side", self.side
        said = last_input(messages)
        for pattern, turn in self.rules:
            if pattern.search(said):
                return f"rule:{pattern.pattern}", turn
        if self.per_prompt:
            starts = [i for i, message in enumerate(messages) if is_prompt(message)]
            messages = messages[starts[-1] :] if starts else messages
        index = sum(message.get("role") == "assistant" for message in messages)
        if index < len(self.turns):
            return f"turn:{index}", self.turns[index]
        return "after", self.after

    def failure(self, label: str, turn: Json) -> Json | None:
        """Tell the turn's scripted error, as long as it has not been given `times` times."""
        if "error" not in turn:
            return None
        error = turn["error"] if isinstance(turn["error"], dict) else {"status": turn["error"]}
        given = self._failures.get(label, 0)
        if given >= error.get("times", _ALWAYS):
            return None
        self._failures[label] = given + 1
        return error


def load(path: Path) -> dict[str, Scenario]:
    """Read a scenario file, or each one of a directory, by their names without suffix."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    return {file.stem: Scenario(file.stem, json.loads(file.read_text())) for file in files}


def as_turn(turn: str | Json) -> Json:
    return {"text": turn} if isinstance(turn, str) else dict(turn)


def unmet_expectations(turn: Json, results: list[Json]) -> list[str]:
    """List the patterns of `expect` that the last tool results do not contain."""
    expected = turn.get("expect", [])
    seen = "\n".join(result["text"] for result in results)
    patterns = [expected] if isinstance(expected, str) else expected
    return [pattern for pattern in patterns if not re.search(pattern, seen)]


def content(turn: Json, label: str, request: Json) -> tuple[list[Json], str]:
    """Build the content blocks of a turn, and the reason why the reply stops."""
    results = tool_results(request.get("messages", []))
    variables = {
        "cwd": working_directory(request),
        "last_input": last_input(request.get("messages", [])),
        "last_result": results[-1]["text"] if results else "",
        "turn": label,
    }
    blocks = expand(turn["content"] if "content" in turn else _blocks(turn, request), variables)
    calls = any(block["type"] == "tool_use" for block in blocks)
    return blocks, turn.get("stop_reason") or ("tool_use" if calls else "end_turn")


def expand(value: Any, variables: dict[str, str]) -> Any:
    """Replace ${name} in every string of a JSON value; unknown names stay."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda m: variables.get(m[1], m[0]), value)
    if isinstance(value, list):
        return [expand(item, variables) for item in value]
    if isinstance(value, dict):
        return {expand(key, variables): expand(item, variables) for key, item in value.items()}
    return value


def _blocks(turn: Json, request: Json) -> list[Json]:
    blocks: list[Json] = []
    if "thinking" in turn:
        thinking = {"thinking": turn["thinking"], "signature": "c2lnbmF0dXJl"}
        blocks.append({"type": "thinking", **thinking})
    if "text" in turn:
        blocks.append({"type": "text", "text": turn["text"]})
    for tool in [*_named_tools(turn), *_short_tools(turn, request)]:
        identifier = tool.get("id", f"toolu_fake{next(_identifiers):08d}")
        call = {"name": tool["name"], "input": tool.get("input", {})}
        blocks.append({"type": "tool_use", "id": identifier, **call})
    return blocks


def _named_tools(turn: Json) -> list[Json]:
    return turn.get("tools") or ([turn["tool"]] if "tool" in turn else [])


def _short_tools(turn: Json, request: Json) -> list[Json]:
    """`write` and `bash` of a turn, in the client's own terms."""
    tools: list[Json] = []
    if "write" in turn:
        name, fields = known_tool(request, "Write")
        path = next((f for f in ("file_path", "filePath", "path") if f in fields), "file_path")
        tools += [
            {"name": name, "input": {path: file, "content": text}}
            for file, text in turn["write"].items()
        ]
    if "bash" in turn:
        name, _ = known_tool(request, "Bash")
        commands = turn["bash"] if isinstance(turn["bash"], list) else [turn["bash"]]
        tools += [
            {"name": name, "input": {"command": command, "description": "scripted"}}
            for command in commands
        ]
    return tools
