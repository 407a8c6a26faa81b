"""Claude Code; measured with 2.1.197 and 2.1.330."""

from __future__ import annotations

from clsecure import endpoint
from clsecure.agents import Api, Declaration, Dialect

AGENT = Declaration(
    name="claude",
    program="claude",
    install="npm install -g @anthropic-ai/claude-code",
    no_prompts=("--dangerously-skip-permissions",),
    resume=("--continue",),
    resume_one=("--resume", "{id}"),
    chooses=("--continue", "-c", "--resume", "-r", "--session-id", "--from-pr", "--teleport"),
    headless=("-p",),
    apis=(
        Api(
            endpoint.DEFAULT_URL,
            ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
            "ANTHROPIC_BASE_URL",
            dialect=Dialect.ANTHROPIC,
        ),
    ),
    places=(".local/bin", ".claude/local"),
    forwarded=endpoint.FORWARDED,
    logins=(".claude/.credentials.json",),
    is_settled=True,
    history=".claude/projects/{cwd}",
)
