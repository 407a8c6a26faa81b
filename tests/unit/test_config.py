"""Files to entries to one Config: formats of old, layers, origins, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsecure.choices import Docker, Mode, Network, Provider, Push, Secret
from clsecure.config import Config, merge, parse
from clsecure.errors import ExitCode, UserError
from clsecure.options import BY_NAME, OPTIONS
from clsecure.reachoptions import HIDDEN
from clsecure.values import Entry, Layer, Origin

USER = Origin(Layer.USER, "/home/me/config")
PROJECT = Origin(Layer.PROJECT, ".clsecure/config")


def read(text, origin=USER):
    return {entry.name: entry.value for entry in parse(text, origin).entries}


def entry(name, value, layer):
    return Entry(name, value, Origin(layer, "there"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mode = user", {"mode": Mode.USER}),
        ("MODE=user", {"mode": Mode.USER}),
        ("isolation_mode = container", {"mode": Mode.CONTAINER}),
        ("ISOLATION_MODE='container'", {"mode": Mode.CONTAINER}),
        ('mode = "user"  # why', {"mode": Mode.USER}),
        ("mode = user # why", {"mode": Mode.USER}),
        ("mode = user\r", {"mode": Mode.USER}),
        ("network = true", {"network": Network.OPEN}),
        ("allow_network = yes", {"network": Network.OPEN}),
        ("network = 0", {"network": Network.FILTERED}),
        ("network = None", {"network": Network.NONE}),
        ("network = open", {"network": Network.OPEN}),
        ("docker = 1", {"docker": Docker.HOST}),
        ("allow_docker = NO", {"docker": Docker.NONE}),
        ("install_dependencies = true", {"install_dependencies": True}),
        ("install_deps = false", {"install_dependencies": False}),
        ("setup_script = ./setup.sh --fast", {"setup_script": "./setup.sh --fast"}),
        ('setup_script = echo "a" # b', {"setup_script": 'echo "a"'}),
        ('setup_script = "a" "b"', {"setup_script": '"a" "b"'}),
        ("setup_script = echo a#b=c", {"setup_script": "echo a#b=c"}),
        ("setup_script =", {"setup_script": None}),
        ("setup_script = # nothing", {"setup_script": None}),
        ("cleanup_hook_timeout = 5", {"cleanup_hook_timeout": 5}),
        ("cleanup_hook_timeout = 300", {"cleanup_hook_timeout": 300}),
        ("skip_docker_autodetect = true", {"skip_docker_autodetect": True}),
        ("provider = kimi", {"provider": Provider.KIMI}),
        ("kimi_api_key = 'sk-1'", {"kimi_api_key": Secret("sk-1")}),
        ("hide = *.sqlite, notes.txt,", {"hide": ("*.sqlite", "notes.txt")}),
        ("on-exit = keep", {"on_exit": "keep"}),
        ("# mode = user", {}),
        ("   ", {}),
    ],
)
def test_format_of_old(line, expected):
    assert read(line) == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("\nmode = usr", "/home/me/config:2: mode cannot be 'usr'", "user, namespace, container"),
        (
            "cleanup_hook_timeout = 4",
            "/home/me/config:1: cleanup_hook_timeout cannot be '4'",
            "5 to",
        ),
        ("cleanup_hook_timeout = 301", "cannot be '301'", "5 to 300"),
        ("cleanup_hook_timeout = 3e1", "cannot be '3e1'", "5 to 300"),
        ("cleanup_hook_timeout = ٣٠", "cannot be '٣٠'", "5 to 300"),
        ("cleanup_hook_timeout = " + "9" * 5000, "cannot be '9", "5 to 300"),
        ("docker = maybe", "docker cannot be 'maybe'", "none, podman, host"),
        ("a\n[section]", "/home/me/config:1: this line is not `key = value`", "no sections"),
        ("= 1", "/home/me/config:1: this line", "comments"),
        ("setup_script = a\0b", "setup_script holds a NUL character", "remove"),
    ],
)
def test_bad_values_name_file_line_and_what_is_allowed(text, message, hint):
    with pytest.raises(UserError) as caught:
        parse(text, USER)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.code is ExitCode.USAGE
    assert len(caught.value.message) < 200


def test_a_line_that_is_not_understood_is_not_repeated():
    with pytest.raises(UserError) as caught:
        parse("sk-secret-pasted-here", USER)
    assert "secret" not in caught.value.message + caught.value.hint


def test_unknown_keys_are_warned_about_with_the_nearest():
    assert parse("netwrok = true", USER).warnings == (
        "/home/me/config:1: there is no setting netwrok (did you mean network?); ignored",
    )


def test_a_project_sets_only_what_is_safe():
    text = "network = true\nmode = container\nsetup_script = rm\nkimi_api_key = x\nhide = ,"
    parsed = parse(text, PROJECT)
    assert read(text, PROJECT) == {"mode": Mode.CONTAINER}
    assert parsed.warnings[0] == ".clsecure/config:1: a project cannot set network; ignored"
    assert len(parsed.warnings) == 4


def test_project_safe_options_are_those_of_old_and_the_limits():
    assert {option.name for option in OPTIONS if option.project} == {
        "mode",
        "cleanup_hook_timeout",
        "skip_docker_autodetect",
        "allow",  # which is a wish, not a setting, until the human agrees
        *("memory", "cpus", "pids", "disk", "time"),  # which it can only lower
        "push",  # the same
    }


@pytest.mark.parametrize(
    ("project", "person", "expected"),
    [
        (Push.NEVER, Push.ORIGIN, Push.NEVER),
        (Push.ASK, Push.ORIGIN, Push.ASK),
        (Push.NEVER, None, Push.NEVER),
        (Push.ASK, Push.NEVER, Push.NEVER),
    ],
)
def test_a_project_can_only_have_less_pushed(project, person, expected):
    entries = [entry("push", project, Layer.PROJECT)]
    entries += [entry("push", person, Layer.USER)] if person else []
    assert merge(entries).push is expected
    said = [*entries, entry("push", Push.ORIGIN, Layer.COMMAND_LINE)]
    assert merge(said).push is Push.ORIGIN


def test_a_project_cannot_let_the_agent_push():
    parsed = parse("push = origin\npush_branches = *\npush_force = true\nsign = always", PROJECT)
    assert parsed.entries == ()
    assert parsed.warnings == (
        ".clsecure/config:1: a project cannot set push = origin; ignored",
        ".clsecure/config:2: a project cannot set push_branches; ignored",
        ".clsecure/config:3: a project cannot set push_force; ignored",
        ".clsecure/config:4: a project cannot set sign; ignored",
    )


def test_a_file_cannot_flood_the_screen():
    warnings = parse("x = 1\n" * 1000, PROJECT).warnings
    assert len(warnings) == 6
    assert warnings[-1] == ".clsecure/config: 995 more lines were ignored"


@given(st.text())
def test_any_text_is_parsed_or_refused_with_its_line(text):
    for origin in (USER, PROJECT):
        try:
            parse(text, origin)
        except UserError as error:
            assert error.message.startswith(f"{origin.where}:")
            assert error.code is ExitCode.USAGE


@given(
    st.lists(
        st.builds(
            "{}{}={}{}".format,
            st.sampled_from([*(key for option in OPTIONS for key in option.keys), "x"]),
            st.sampled_from(["", " "]),
            st.sampled_from(["", " ", "'", '"']),
            st.text(max_size=12),
        )
    ).map("\n".join)
)
def test_any_values_are_parsed_or_refused_with_their_line(text):
    try:
        merge(parse(text, USER).entries)
    except UserError as error:
        assert error.message.startswith("/home/me/config:")


def test_fields_are_the_options():
    names = list(Config._fields)
    assert sorted(names) == sorted(
        [option.name for option in OPTIONS] + ["origins", "asked", "warnings"]
    )


def test_defaults():
    config = merge(())
    assert config.mode is Mode.NAMESPACE
    assert config.network is Network.FILTERED
    assert config.cleanup_hook_timeout == 30
    assert config.hide == HIDDEN
    assert config.kimi_api_key is None
    assert all(config.origin(name) == Origin(Layer.DEFAULT) for name in BY_NAME)


def test_the_higher_layer_wins_in_any_order():
    timeouts = [
        entry("cleanup_hook_timeout", 10, Layer.COMMAND_LINE),
        entry("cleanup_hook_timeout", 20, Layer.USER),
        entry("cleanup_hook_timeout", 40, Layer.PROJECT),
    ]
    for _ in range(3):
        config = merge(timeouts)
        strongest = max(timeouts, key=lambda each: each.origin.layer)
        assert config.cleanup_hook_timeout == strongest.value
        assert config.origin("cleanup_hook_timeout") == strongest.origin
        timeouts.remove(strongest)


def test_within_a_layer_the_later_entry_wins():
    entries = parse("isolation_mode = user\nmode = container", USER).entries
    config = merge(entries)
    assert config.mode is Mode.CONTAINER
    assert str(config.origin("mode")) == "/home/me/config:2"


def test_lists_add_up_with_all_origins():
    entries = [
        entry("hide", ("b", ".env"), Layer.COMMAND_LINE),
        entry("hide", ("a",), Layer.USER),
    ]
    config = merge(entries)
    assert config.hide == (*HIDDEN, "a", "b")
    assert [each.layer for each in config.origins["hide"]] == [
        Layer.DEFAULT,
        Layer.USER,
        Layer.COMMAND_LINE,
    ]


class TestProjectMode:
    LOWER = entry("mode", Mode.USER, Layer.PROJECT)

    def test_weaker_is_refused_with_a_warning(self):
        config = merge([self.LOWER])
        assert config.mode is Mode.NAMESPACE
        assert config.origin("mode").layer is Layer.DEFAULT
        assert config.warnings == (
            (
                "there: mode user is weaker than namespace and is not used; "
                "`clsecure config trust` allows it"
            ),
        )

    def test_weaker_counts_when_trusted(self):
        config = merge([self.LOWER], trusted=True)
        assert (config.mode, config.warnings) == (Mode.USER, ())

    def test_stronger_counts(self):
        config = merge([entry("mode", Mode.CONTAINER, Layer.PROJECT)])
        assert (config.mode, config.warnings) == (Mode.CONTAINER, ())

    def test_weaker_after_stronger_leaves_the_stronger(self):
        config = merge([entry("mode", Mode.CONTAINER, Layer.PROJECT), self.LOWER])
        assert config.mode is Mode.CONTAINER

    @pytest.mark.parametrize("layer", [Layer.USER, Layer.COMMAND_LINE])
    @pytest.mark.parametrize("trusted", [True, False])
    def test_the_human_wins_without_a_word(self, layer, trusted):
        config = merge([self.LOWER, entry("mode", Mode.CONTAINER, layer)], trusted=trusted)
        assert (config.mode, config.warnings) == (Mode.CONTAINER, ())


def test_a_secret_is_not_in_any_representation():
    config = merge([entry("kimi_api_key", Secret("sk-1"), Layer.ENVIRONMENT)])
    assert "sk-1" not in f"{config!r} {config} {config.kimi_api_key} {config.kimi_api_key!r}"
    assert config.kimi_api_key
    assert config.kimi_api_key.reveal() == "sk-1"
