"""OpenAI's codex; measured with 0.169."""

from __future__ import annotations

from clsecure.agents import Api, Declaration, Dialect

AGENT = Declaration(
    name="codex",
    program="codex",
    install="npm install -g @openai/codex",
    no_prompts=("--dangerously-bypass-approvals-and-sandbox",),
    resume=("resume", "--last"),
    no_web_tools=("-c", 'web_search="disabled"'),
    headless=("exec",),
    commands=("exec", "e", "resume", "review"),
    apis=(
        Api(
            "https://api.openai.com/v1",
            ("OPENAI_API_KEY", "CODEX_API_KEY"),
            "OPENAI_BASE_URL",
            ("-c", 'openai_base_url="{url}"'),
            Dialect.OPENAI,
        ),
        Api("https://chatgpt.com"),
        Api("https://auth.openai.com"),
    ),
    answers={".codex/config.toml": "check_for_update_on_startup = false\n"},
    state=(".codex/config.toml", ".codex/AGENTS.md", ".codex/prompts"),
    logins=(".codex/auth.json",),
    history=".codex/sessions",
)
