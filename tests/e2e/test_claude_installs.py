"""However a person has Claude installed, it starts at its prompt, and no question stands before."""

from __future__ import annotations

import pytest

from e2e.boxes import BOXES
from e2e.claudeinstalls import WAYS, install
from e2e.screen import open_terminal, program
from e2e.test_interactive import leave, prompt
from world import new_human

pytestmark = pytest.mark.client


@pytest.fixture(scope="module", params=WAYS, ids=str)
def installed(request, client, tmp_path_factory):
    """A human who has it that one way, the way, and the variables that go with it."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for each in (elsewhere, *elsewhere.parents[:2]):
        each.chmod(0o755)
    with new_human() as human:
        variables = install(request.param, human, client, elsewhere)
        yield human, request.param, variables
        human.prefix = ()


def test_it_starts_at_its_prompt(installed, play):
    human, way, path = installed
    top = human.repository("src/prompt")
    api, variables = play({"after": "the answer"})
    screen = open_terminal(human, *program(), cwd=top, env={**variables, **path})
    shown = prompt(screen)
    assert "warning" not in shown
    screen.enter("one")
    screen.wait("the answer")
    leave(screen)
    screen.wait("kept")
    assert screen.end() == 0
    found = human.clsecure("info", "--json", cwd=top, env=path).stdout
    assert f"claude ({way.path.replace('~', str(human.home), 1)}/claude)" in found
    assert api.requests


@pytest.mark.parametrize("kind", BOXES[:4], ids=str)
def test_it_works_in_every_box(installed, play, kind):
    human, _, path = installed
    top = human.repository(f"src/{kind}")
    _, variables = play([{"bash": "command -v claude"}, "done"])
    ran = human.clsecure(*kind.flags, "--", "-p", "go", cwd=top, env={**variables, **path})
    assert ran.stdout == "done\n"
