"""Coding agents, each declared by one record in a module of its own name."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from importlib import import_module
from typing import NamedTuple

from clsecure.choices import AgentName
from clsecure.errors import ExitCode, UserError
from clsecure.helper.records import Record


class Dialect(StrEnum):
    """Whose requests an API understands, so that they can be judged."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GEMINI = "gemini"
    OTHER = "other"  # nothing is known of its requests


class Api(NamedTuple):
    """One API that an agent can talk to: where it is, and the variables of its key.

    `variable` names another place; `arguments` say it to an agent that reads no variable, where
    `{url}` is in them. `dialect` is whose requests it understands.
    """

    url: str
    keys: tuple[str, ...] = ()
    variable: str = ""
    arguments: tuple[str, ...] = ()
    dialect: Dialect = Dialect.OTHER


class Declaration(Record):
    """What clsecure knows of one coding agent; paths are relative to the home."""

    name: str
    program: str
    install: str  # the command that installs it
    no_prompts: tuple[str, ...]  # its arguments that switch every question off
    resume: tuple[str, ...]  # those that go on with the last conversation
    headless: tuple[str, ...]  # those before a prompt, for a run without a screen
    apis: tuple[Api, ...]  # the first is the usual one
    no_web_tools: tuple[str, ...] = ()  # its arguments without tools that the API's servers run
    commands: tuple[str, ...] = ()  # after which, and not before, `no_prompts` stand
    places: tuple[str, ...] = ()  # where its installers put it, if not on PATH
    forwarded: tuple[str, ...] = ()  # further variables of the human's
    quiet: Mapping[str, str] = {}  # variables for a network that lets its API alone through
    answers: Mapping[str, str] = {}  # files of a fresh home: what it would ask first
    state: tuple[
        str, ...
    ] = ()  # the human's settings that are brought, if nothing in them is secret
    logins: tuple[str, ...] = ()  # files that hold a login, which stay outside
    is_settled: bool = False  # by firstrun, which knows more of its home than this record
    history: str = ""  # the directory that holds something once there is a conversation
    resume_one: tuple[str, ...] = ()  # arguments that go on with the one called {id}
    chooses: tuple[str, ...] = ()  # arguments of a person's that say which one it is


def declared(name: AgentName) -> Declaration:
    """Return the record of an agent."""
    found = import_module(f"clsecure.agents.{name.value}").AGENT
    if not isinstance(found, Declaration):
        raise TypeError(name)
    return found


def other(command: tuple[str, ...]) -> Declaration:
    """Return the record of a command: it gets what claude gets, but for the arguments."""
    return declared(AgentName.CLAUDE).replace(
        name=command[0].rpartition("/")[2],
        program=command[0],
        install="change agent_command",
        no_prompts=command[1:],
        resume=(),
        headless=(),
    )


def chosen(name: AgentName, command: str | None) -> Declaration:
    """Return the record of the agent that the settings name; raises UserError (USAGE)."""
    if not command:
        return declared(name)
    import shlex  # only for such a command

    try:
        words = tuple(shlex.split(command))
    except ValueError:
        words = ()
    if not words:
        raise UserError(
            "agent_command is not a command",
            hint="a program and its arguments, for example: agent_command = mytool --yes",
            code=ExitCode.USAGE,
        )
    return other(words)


def arguments(
    agent: Declaration, given: tuple[str, ...], *, resumes: bool, conversation: str = ""
) -> tuple[str, ...]:
    """Return the agent's arguments: no prompts, what goes on, and those that were given.

    `conversation` is the session's own last one, if its name is known.
    """
    resume = agent.resume if resumes else ()
    if resume and conversation and agent.resume_one:
        resume = tuple(word.replace("{id}", conversation) for word in agent.resume_one)
    if any(word.partition("=")[0] in agent.chooses for word in given):
        resume = ()
    if given and given[0] in agent.commands:
        kept = resume if given[0] in agent.headless else ()
        return (given[0], *agent.no_prompts, *kept, *given[1:])
    return (*agent.no_prompts, *resume, *given)
