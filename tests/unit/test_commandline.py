"""From words to a request: every flag of old, either order, and what is said about mistakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.choices import Docker, Mode, Network, OnExit, Start
from clsecure.commandline import parse
from clsecure.commandtable import COMMANDS
from clsecure.errors import ExitCode, UserError
from clsecure.helppages import full_parser
from clsecure.options import OPTIONS


def values(*words):
    return {name: entry.value for name, entry in parse(words).options.items()}


def mistake(*words):
    with pytest.raises(UserError) as caught:
        parse(words)
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("words", "command", "options"),
    [
        ([], "run", {}),
        (["run"], "run", {}),
        (["-l"], "list", {}),
        (["--list"], "list", {}),
        (["--cleanup"], "cleanup", {}),
        (["--cleanup-all"], "cleanup", {"all_workers": True}),
        (["cleanup", "--all"], "cleanup", {"all_workers": True}),
        (["cleanup", "--cleanup-all"], "cleanup", {"all_workers": True}),
        (["--mode", "user"], "run", {"mode": Mode.USER}),
        (["--mode=container"], "run", {"mode": Mode.CONTAINER}),
        (["--mode", "NAMESPACE"], "run", {"mode": Mode.NAMESPACE}),
        (["--allow-network"], "run", {"network": Network.OPEN}),
        (["--no-network"], "run", {"network": Network.NONE}),
        (["--network", "filtered"], "run", {"network": Network.FILTERED}),
        (["--allow-network", "--no-network"], "run", {"network": Network.NONE}),
        (["--allow-docker"], "run", {"docker": Docker.HOST}),
        (["--no-docker"], "run", {"docker": Docker.NONE}),
        (["--install-deps"], "run", {"install_dependencies": True}),
        (["--config"], "config", {}),
        (["--info"], "info", {}),
        (["--info", "--mode", "user"], "info", {"mode": Mode.USER}),
        (["--shell"], "shell", {}),
        (["--skip-setup"], "run", {"skip_setup": True}),
        (["--full-clone"], "run", {"full_clone": True}),
        (["-s", "one"], "run", {"session": "one"}),
        (["--session", "one"], "run", {"session": "one"}),
        (["--shell", "--session", "one"], "shell", {"session": "one"}),
        (["--provider", "kimi"], "run", {"provider": "kimi"}),
        (["--resume"], "run", {"start": Start.RESUME}),
        (["--fresh"], "run", {"start": Start.FRESH}),
        (["--on-exit", "keep"], "run", {"on_exit": OnExit.KEEP}),
        (["import", "--branch", "a/b", "-y"], "import", {"branch": "a/b", "yes": True}),
        (["--json", "list"], "list", {"json": True}),
        (["list", "--json"], "list", {"json": True}),
        (["--hide", "a, b", "--hide", "c"], "run", {"hide": ("a", "b", "c")}),
        (["setup", "--remove"], "setup", {"remove": True}),
    ],
)
def test_understands(words, command, options):
    request = parse(words)
    assert request.command == command
    assert values(*words) == options


@pytest.mark.parametrize(
    ("words", "command", "arguments"),
    [
        (["--", "-p", "fix it", "--", "--mode"], "run", ("-p", "fix it", "--", "--mode")),
        (["run", "--", "--help"], "run", ("--help",)),
        (["--no-network", "--"], "run", ()),
        (["exec", "-s", "x", "--", "ls", "-l"], "exec", ("ls", "-l")),
        (["config", "trust"], "config", ("trust",)),
        (["completion", "zsh"], "completion", ("zsh",)),
    ],
)
def test_hands_words_on(words, command, arguments):
    request = parse(words)
    assert (request.command, request.arguments) == (command, arguments)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--modee"], "unknown option --modee", "did you mean --mode?"),
        (["--allow-net=1"], "unknown option --allow-net", "did you mean --allow-network?"),
        (["-x"], "unknown option -x", "--help"),
        (["lsit"], "there is no command lsit", "did you mean list?"),
        (["--mode", "foo"], "--mode cannot be 'foo'", "allowed: user, namespace, container"),
        (["--mode"], "--mode needs a value", "--help"),
        (["-s"], "--session needs a value", "--help"),
        (["--yes=1"], "--yes takes no value", "--help"),
        (["list", "--hide", "x"], "--hide does not go with list", "clsecure list --help"),
        (["exec", "ls"], "the command must stand behind --", "clsecure exec -- ls"),
        (["exec"], "exec needs a command", "clsecure exec -- make test"),
        (["run", "fix"], "words for the agent must stand behind --", "clsecure run -- fix"),
        (["--list", "--info"], "--list and --info cannot go together", "give one"),
        (["--list", "import"], "--list and import cannot go together", "give one"),
        (["list", "--", "x"], "list does not take x", "clsecure list"),
        (["completion"], "completion needs one of: bash, zsh, tcsh", "clsecure completion"),
        (["completion", "fish"], "completion does not take fish", "it takes: bash"),
        (["config", "trust", "me"], "config does not take me", "clsecure config"),
        (["--branch", ""], "--branch cannot be empty", "any other"),
    ],
)
def test_mistakes_are_named(words, message, hint):
    error = mistake(*words)
    assert error.message == message
    assert hint in error.hint


@pytest.mark.parametrize("name", ["a", "Fix-1", "v1.2", "x" * 64])
def test_session_names(name):
    assert values("-s", name) == {"session": name}


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "-a", "a/b", "a b", "a..b", "a.", "a.lock", "ä", "x" * 65, "a\nb", "$(a)"],
)
def test_session_names_that_are_refused(name):
    mistake(f"--session={name}")


@given(st.lists(st.one_of(st.text(max_size=8), st.sampled_from(["--mode", "-s", "--", "list"]))))
def test_any_words_give_a_request_or_an_error_for_a_person(words):
    try:
        parse(words)
    except UserError as error:
        assert error.code is ExitCode.USAGE


def test_every_option_goes_with_commands_that_exist():
    for option in OPTIONS:
        assert option.commands
        assert option.commands <= set(COMMANDS), option.name


def test_no_flag_is_declared_twice():
    # argparse raises on a conflict; the parser for completion has all of them on each command.
    assert full_parser()
    flags = [word for option in OPTIONS for flag in option.flags for word in flag.words]
    flags += [flag for command in COMMANDS.values() for flag in command.flags]
    assert len(flags) == len(set(flags))
