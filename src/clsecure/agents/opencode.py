"""opencode; measured with 1.18."""

from __future__ import annotations

from clsecure.agents import Api, Declaration, Dialect

AGENT = Declaration(
    name="opencode",
    program="opencode",
    install="npm install -g opencode-ai",
    no_prompts=("--auto",),
    resume=("--continue",),
    headless=("run",),
    commands=("run",),
    apis=(
        Api(
            "https://api.anthropic.com/v1",
            ("ANTHROPIC_API_KEY",),
            "ANTHROPIC_BASE_URL",
            (),
            Dialect.ANTHROPIC,
        ),
        Api(
            "https://api.openai.com/v1", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", (), Dialect.OPENAI
        ),
        Api("https://generativelanguage.googleapis.com", ("GEMINI_API_KEY",)),
        Api("https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
        Api("https://opencode.ai/zen/v1", ("OPENCODE_API_KEY",)),
    ),
    places=(".opencode/bin",),
    quiet={"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
    state=(
        ".config/opencode/opencode.json",
        ".config/opencode/opencode.jsonc",
        ".config/opencode/AGENTS.md",
        ".config/opencode/agent",
        ".config/opencode/command",
    ),
    logins=(".local/share/opencode/auth.json",),
    history=".local/share/opencode/log",
)
