"""What people have around their Claude: an MCP server, a plugin from a marketplace of their own."""

from __future__ import annotations

import json

SERVER = """\
import json, os, sys
try:
    import sibling
    more = sibling.WORD
except ImportError:
    more = "alone"
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    if asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        answer = {"protocolVersion": version, "capabilities": {"tools": {}},
                  "serverInfo": {"name": "weather", "version": "1"}}
    elif asked["method"] == "tools/list":
        answer = {"tools": [{"name": "forecast", "description": "it", "inputSchema":
                  {"type": "object", "properties": {}}}]}
    elif asked["method"] == "tools/call":
        said = f"sunny, with {sorted(os.environ.keys() & {'PLACE', 'WEATHER_KEY'})}, {more}"
        answer = {"content": [{"type": "text", "text": said}]}
    else:
        answer = {}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answer}), flush=True)
"""
_HOOK = "#!/bin/sh\necho a hook of a plugin > plugged.txt\n"


def furnish_market(human, client, env):
    """Make a marketplace with one plugin in the home, and install it with the real client."""
    market = human.home / "market"
    plugin = {"name": "greeter", "source": "./greeter", "description": "greets"}
    about = {"name": "market", "owner": {"name": "A Human"}, "plugins": [plugin]}
    human.write(market / ".claude-plugin/marketplace.json", json.dumps(about))
    manifest = {"name": "greeter", "version": "1.0.0", "description": "greets"}
    human.write(market / "greeter/.claude-plugin/plugin.json", json.dumps(manifest))
    human.write(market / "greeter/commands/hi.md", "Greet in Latin.\n")
    hook = {"type": "command", "command": "${CLAUDE_PLUGIN_ROOT}/hooks/note.sh"}
    hooks = {"hooks": {"SessionStart": [{"hooks": [hook]}]}}
    human.write(market / "greeter/hooks/hooks.json", json.dumps(hooks))
    human.write(market / "greeter/hooks/note.sh", _HOOK, mode=0o755)
    human.write(market / "greeter/server.py", SERVER)
    server = {"command": "python3", "args": ["${CLAUDE_PLUGIN_ROOT}/server.py"]}
    human.write(market / "greeter/.mcp.json", json.dumps({"mcpServers": {"weather": server}}))
    human.run(client, "plugin", "marketplace", "add", market, env=env)
    human.run(client, "plugin", "install", "greeter@market", env=env)


def directory_of(place) -> str:
    """The name of the directory that holds the conversations held at `place`."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in str(place))
