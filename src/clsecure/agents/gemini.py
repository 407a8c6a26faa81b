"""Google's gemini-cli; measured with 0.61."""

from __future__ import annotations

from clsecure.agents import Api, Declaration, Dialect

AGENT = Declaration(
    name="gemini",
    program="gemini",
    install="npm install -g @google/gemini-cli",
    no_prompts=("-y", "--skip-trust"),
    resume=("--resume", "latest"),
    headless=("-p",),
    apis=(
        Api(
            "https://generativelanguage.googleapis.com",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            "GOOGLE_GEMINI_BASE_URL",
            dialect=Dialect.GEMINI,
        ),
        Api("https://cloudcode-pa.googleapis.com"),
        Api("https://oauth2.googleapis.com"),
    ),
    forwarded=("GEMINI_MODEL", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"),
    answers={
        ".gemini/settings.json": '{"security": {"auth": {"selectedType": "gemini-api-key"}}, '
        '"general": {"enableAutoUpdate": false}, "privacy": {"usageStatisticsEnabled": false}}\n'
    },
    state=(".gemini/GEMINI.md", ".gemini/commands"),
    logins=(".gemini/oauth_creds.json",),
    history=".gemini/tmp",
)
