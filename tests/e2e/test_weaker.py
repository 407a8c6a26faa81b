"""What this host can give only in a weaker form is said; the session then goes on."""

from __future__ import annotations

from e2e.machine import clsecure_after

_TWICE = """
mkdir -p /run/weak/a /run/weak/b /run/weak/m1 /run/weak/c
echo tool > /run/weak/a/tool
mount -t overlay overlay -o lowerdir=/run/weak/a:/run/weak/b /run/weak/m1
mount -t overlay overlay -o lowerdir=/run/weak/m1:/run/weak/c {place}
"""


def test_a_place_on_which_no_overlay_can_be_made_is_named(human):
    top = human.repository("weaker")
    place = human.home / "tools"
    human.run("mkdir", "-p", place)
    human.agent(f"cat {place}/tool; touch {place}/x || echo read-only")
    changes = "mount -t tmpfs tmpfs /run; " + _TWICE.format(place=place).replace("\n", "; ").strip(
        "; "
    )
    ran = clsecure_after(human, changes, "--expose", str(place), cwd=top)
    assert ran.stdout == "tool\nread-only\n"
    assert f"warning: {place} is shown by a read-only mount alone" in ran.stderr
    assert "warning" not in human.clsecure("--expose", place, cwd=top, code=None).stderr


def test_an_etc_that_cannot_be_a_layer_is_said(human):
    top = human.repository("layered")
    human.agent("tail -n 1 /etc/passwd | cut -d: -f1")
    ran = clsecure_after(human, "mount -t tmpfs tmpfs /etc/opt", cwd=top)
    assert ran.stdout.startswith("claude-worker-layered-")
    assert "warning: /etc cannot be a layer here" in ran.stderr
    assert "warning" not in human.clsecure(cwd=top).stderr
