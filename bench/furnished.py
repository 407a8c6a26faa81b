"""A home as people have one: tools of several managers, their caches, Claude's settings, a key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from world import Human

_TOOLS = {  # a directory of PATH, and what else belongs to it
    ".nvm/versions/node/v22.1.0/bin": (".nvm/versions/node/v22.1.0/lib/node_modules/npm/cli.js",),
    ".cargo/bin": (".rustup/toolchains/stable/bin/rustc", ".cargo/credentials.toml"),
    ".pyenv/shims": (".pyenv/versions/3.12.1/bin/python3.12",),
    ".local/bin": (".local/share/pipx/venvs/tool/pyvenv.cfg",),
    "go/bin": (),
}
_CACHES = (".npm/_cacache", ".cache/pip", ".cache/uv", ".cargo/registry", "go/pkg/mod")
_HOOK = {"type": "command", "command": "~/.claude/hooks/note.sh"}
_SETTINGS = {
    "model": "sonnet",
    "env": {"GREETING": "hello", "DEPLOY_TOKEN": "wk-0f3a9c5e7b1d2468"},
    "hooks": {"SessionStart": [{"hooks": [_HOOK]}]},
    "permissions": {"allow": ["Bash(make *)"]},
}
_SERVERS = {
    "files": {"command": "npx", "args": ["-y", "@example/files"]},
    "tracker": {"type": "http", "url": "https://tracker.example.org/mcp"},
    "local": {"command": "python3", "args": ["tools/server.py"], "env": {"API_KEY": "wk-0f3a9c5e"}},
}
_CLAUDE = {
    ".claude.json": json.dumps({"hasCompletedOnboarding": True, "mcpServers": _SERVERS}),
    ".claude/settings.json": json.dumps(_SETTINGS),
    ".claude/CLAUDE.md": "Be brief.\n",
    ".claude/hooks/note.sh": "#!/bin/sh\necho started\n",
    **{f".claude/commands/c{n}.md": "Review what changed.\n" for n in range(8)},
    **{f".claude/agents/a{n}.md": "You read code.\n" for n in range(4)},
    ".claude/plugins/config.json": "{}\n",
}
_SECRETS = (".env", "deploy/id_ed25519", "web/.env.local")


def furnish(human: Human) -> None:
    """Write all of it into a human's home, and say so in their environment."""
    for directory, others in _TOOLS.items():
        for path in (f"{directory}/tool-{directory.count('/')}", *others):
            human.write(path, "#!/bin/sh\n", mode=0o755)
    for path, text in _CLAUDE.items():
        human.write(path, text)
    human.run("mkdir", "-p", *_CACHES)
    tools = ":".join(str(human.home / directory) for directory in _TOOLS)
    human.environment["PATH"] = f"{tools}:{human.environment['PATH']}"
    human.environment["ANTHROPIC_API_KEY"] = "sk-ant-0123456789abcdef"


def furnish_project(human: Human, top: Path) -> None:
    """Put what must not be seen into a working tree, and a conversation about it into the home."""
    for name in _SECRETS:
        human.write(top / name, "secret\n")
    place = "".join(each if each.isalnum() else "-" for each in str(top))
    said = json.dumps({"cwd": str(top), "type": "user"}, separators=(",", ":"))
    human.write(f".claude/projects/{place}/0123-4567.jsonl", said + "\n")
