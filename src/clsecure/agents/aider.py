"""aider, which talks to whatever API has a key."""

from __future__ import annotations

from clsecure.agents import Api, Declaration, Dialect

AGENT = Declaration(
    name="aider",
    program="aider",
    install="pipx install aider-chat",
    no_prompts=("--yes-always", "--no-check-update", "--analytics-disable"),
    resume=("--restore-chat-history",),
    headless=("--message",),
    apis=(
        Api(
            "https://api.openai.com/v1", ("OPENAI_API_KEY",), "OPENAI_API_BASE", (), Dialect.OPENAI
        ),
        Api(
            "https://api.anthropic.com",
            ("ANTHROPIC_API_KEY",),
            "ANTHROPIC_BASE_URL",
            (),
            Dialect.ANTHROPIC,
        ),
        Api("https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
        Api("https://generativelanguage.googleapis.com", ("GEMINI_API_KEY",)),
    ),
    forwarded=("AIDER_MODEL", "AIDER_WEAK_MODEL", "AIDER_EDITOR_MODEL"),
    state=(".aider.conf.yml", ".aider.model.settings.yml"),
    history=".aider",
)
