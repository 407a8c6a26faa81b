"""Sourcegraph's amp; its service is its own, so that only the program itself was run."""

from __future__ import annotations

from clsecure.agents import Api, Declaration

AGENT = Declaration(
    name="amp",
    program="amp",
    install="npm install -g @sourcegraph/amp",
    no_prompts=("--dangerously-allow-all",),
    resume=(),
    headless=("-x",),
    apis=(Api("https://ampcode.com", ("AMP_API_KEY",), "AMP_URL"),),
    quiet={"AMP_SKIP_UPDATE_CHECK": "1"},
    state=(".config/amp/settings.json", ".config/AGENTS.md"),
    logins=(".local/share/amp/secrets.json",),
)
