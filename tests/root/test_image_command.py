"""`clsecure image`, with a real registry on loopback and what goes wrong with one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hostview import host_view

from world.human import PROGRAM
from world.live import until
from world.ociimage import Entry, build, folder, layer, write_archive
from world.registry import running_registry

pytestmark = pytest.mark.root

STORES = Path("/var/lib/clsecure/images")
BASE = layer(folder("bin"), Entry("bin/tool", b"#!/bin/sh\n", mode=0o755), Entry("old", b"old"))
TOP = layer(Entry("note", os.urandom(300_000)), Entry(".wh.old"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture
def store(human):
    """The human's store, empty again at the end."""
    yield STORES / str(human.account.pw_uid)
    human.clsecure("image", "prune", "--yes")


def listed(human):
    return json.loads(human.clsecure("image", "list", "--json").stdout)


def leftovers(human):
    """What is left of a pull that was not to succeed."""
    uid = human.account.pw_uid
    return [
        *STORES.glob(f"{uid}/*"),
        *Path("/var/tmp").glob(f"clsecure-image-{uid}-*"),
        *Path("/tmp").glob(f"clsecure-image-{uid}-*"),
    ]


def complaint(ran):
    """The line and the hint of a failure; nothing else is said."""
    lines = ran.stderr.splitlines()
    assert len(lines) == 2, ran.stderr
    assert lines[0].startswith("clsecure: ")
    assert lines[1].startswith("hint: ")
    return lines[0].removeprefix("clsecure: ")


def test_a_pull_from_a_registry(human, store, registry):
    image = build(BASE, TOP, config={"Env": ["A=b", "broken"], "WorkingDir": "/bin"})
    reference = registry.push(image, "tools/agent:3")
    said = human.clsecure("image", "pull", reference).stdout
    assert said.startswith(f"pulled: {reference} ({image.digest[7:19]}, ")
    (found,) = listed(human)
    assert found["digest"] == image.digest
    assert found["references"] == [reference]
    assert found["used"] is False
    rootfs = store / image.digest[7:] / "rootfs"
    assert sorted(os.listdir(rootfs)) == ["bin", "note"]
    assert (rootfs / "bin/tool").stat().st_mode == 0o100755
    assert (rootfs / "bin/tool").stat().st_mtime == 1_000_000_000
    record = json.loads((store / image.digest[7:] / "image.json").read_text())
    assert record["environment"] == ["A=b"]
    assert record["directory"] == "/bin"
    assert reference in human.clsecure("image").stdout


def test_what_is_there_is_not_fetched_again(human, store, registry):
    image = build(BASE, TOP)
    reference = registry.push(image, "again:1")
    human.clsecure("image", "pull", reference)
    lost = registry.blob(json.loads(image.manifest)["layers"][1]["digest"])
    lost.rename(lost.with_name("aside"))  # so that a fetch would fail
    assert human.clsecure("image", "pull", reference).stdout.startswith("there already: ")
    other = reference.replace("127.0.0.1", "localhost")
    assert human.clsecure("image", "pull", other).stdout.startswith("there already: ")
    assert listed(human)[0]["references"] == [reference, other]
    lost.with_name("aside").rename(lost)


def test_a_name_moves_to_what_it_means_now(human, store, registry):
    first, second = build(BASE), build(BASE, TOP)
    reference = registry.push(first, "moving:1")
    human.clsecure("image", "pull", reference)
    registry.push(second, "moving:1")
    human.clsecure("image", "pull", reference)
    names = {found["digest"]: found["references"] for found in listed(human)}
    assert names == {first.digest: [], second.digest: [reference]}


@pytest.mark.parametrize("packed", [True, False])
def test_an_archive_needs_no_registry(human, store, packed):
    archive = write_archive(build(BASE, TOP, packed=packed), human.home / "agent.tar")
    said = human.clsecure("image", "pull", "oci-archive:agent.tar").stdout
    assert said.startswith(f"pulled: oci-archive:{archive} (")
    assert len(list(store.glob("*/rootfs/note"))) == 1


def test_remove_takes_a_reference_or_a_digest(human, store, registry):
    images = [build(BASE), build(TOP)]
    for number, image in enumerate(images):
        human.clsecure("image", "pull", registry.push(image, f"gone:{number}"))
    assert human.clsecure("image", "remove", "nowhere:1", code=2).stdout == ""
    human.clsecure("image", "remove", f"{registry.host}/gone:0")
    human.clsecure("image", "remove", images[1].digest[:20])
    assert listed(human) == []
    assert leftovers(human) == []
    assert not store.exists()


def test_prune_asks_and_leaves_nothing(human, store, registry):
    human.clsecure("image", "pull", registry.push(build(BASE), "pruned:1"))
    assert human.clsecure("image", "prune", code=2).stdout == ""  # nobody can be asked
    assert len(listed(human)) == 1
    human.clsecure("image", "prune", "--yes")
    assert leftovers(human) == []


def test_another_humans_images_are_not_mine(human, store, registry):
    from world import new_human

    reference = registry.push(build(BASE), "mine:1")
    human.clsecure("image", "pull", reference)
    with new_human() as other:
        assert listed(other) == []
        other.clsecure("image", "remove", reference, code=2)
        other.clsecure("image", "pull", reference)
        other.clsecure("image", "prune", "--yes")
        assert other.run("ls", store, code=None).returncode != 0
    assert len(listed(human)) == 1


def own_layer():
    """A layer that no other image has."""
    return layer(Entry("own", os.urandom(300_000)))


def test_a_blob_with_another_digest(human, registry):
    image = build(BASE, own_layer())
    reference = registry.push(image, "changed:1")
    blob = registry.blob(json.loads(image.manifest)["layers"][1]["digest"])
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    ran = human.clsecure("image", "pull", reference, code=3)
    assert "does not have the digest" in complaint(ran)
    assert leftovers(human) == []


def test_a_layer_that_is_cut_short(human, tmp_path):
    image = build(BASE, own_layer())
    with running_registry(tmp_path, remembers_sizes=True) as registry:
        reference = registry.push(image, "cut:1")
        blob = registry.blob(json.loads(image.manifest)["layers"][1]["digest"])
        os.truncate(blob, blob.stat().st_size // 2)
        ran = human.clsecure("image", "pull", reference, code=1)
    assert "was cut short" in complaint(ran)
    assert leftovers(human) == []


def test_a_registry_that_is_dead(human, tmp_path):
    with running_registry(tmp_path) as registry:
        reference = registry.push(build(BASE), "dead:1")
    ran = human.clsecure("image", "pull", reference, code=1)
    assert "cannot be reached" in complaint(ran)
    assert leftovers(human) == []


def test_an_image_that_is_not_there(human, registry):
    ran = human.clsecure("image", "pull", f"{registry.host}/no/such:1", code=2)
    assert "there is no image" in complaint(ran)
    assert leftovers(human) == []


@pytest.mark.parametrize("text", ["a b", "-x", "UPPER", "dir:/etc", "a/../b", "x@sha256:12", ""])
def test_what_is_no_reference(human, text):
    ran = human.clsecure("image", "pull", text, code=None)
    assert ran.returncode in (1, 2)
    assert ran.stderr.startswith("clsecure: ")
    assert "Traceback" not in ran.stderr


_FULL = """
set -e
mkdir -p /var/lib/clsecure
mount -t tmpfs -o mode=0700,size={state},nr_inodes={inodes} t /var/lib/clsecure
mount -t tmpfs -o mode=1777,size={scratch} t /var/tmp
{argv} image pull {reference} || echo "code $?"
find /var/lib/clsecure /var/tmp -mindepth 1
"""


@pytest.mark.parametrize(
    ("room", "said"),
    [
        ({"state": "400k"}, "there is no room for the image in /var/lib/clsecure"),
        ({"inodes": 8}, "room"),
        ({"scratch": "200k"}, "there is no room to fetch"),
    ],
    ids=["state", "inodes", "scratch"],
)
def test_a_full_disk_is_said_and_nothing_stays(human, registry, room, said):
    many = layer(*(Entry(f"f{number}", b"x" * 2000) for number in range(100)))
    script = _FULL.format(
        reference=registry.push(build(BASE, TOP, many), "large:1"),
        argv=" ".join(human.argv([PROGRAM])),
        **{"state": "20m", "scratch": "20m", "inodes": 1000, **room},
    )
    ran = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said in complaint(ran), ran
    code, *left = ran.stdout.splitlines()
    assert code == "code 4", ran
    names = {path.rpartition("/")[2] for path in left}
    assert names <= {"images", "users.lock", "last-uid"}, ran


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_pull_that_is_ended_leaves_nothing(human, store, tmp_path, number):
    image = build(layer(Entry("large", os.urandom(60 << 20))), packed=False)
    pattern = f"clsecure-image-{human.account.pw_uid}-*/blobs/*"
    with running_registry(tmp_path) as registry:
        reference = registry.push(image, "slow:1")
        pulling = human.start("image", "pull", reference, cwd=human.home, stderr=subprocess.PIPE)
        until(lambda: list(Path("/var/tmp").glob(pattern)))
        registry.fall_silent()
        children = Path(f"/proc/{pulling.pid}/task/{pulling.pid}/children").read_text()
        os.kill(int(children or pulling.pid), number)
        _, said = pulling.communicate(timeout=20)
        registry.go_on()
        assert said == (b"Killed\n" if number == signal.SIGKILL else b"clsecure: interrupted\n")
        if number == signal.SIGKILL:
            assert leftovers(human)
            human.clsecure("image", "pull", reference)  # which sweeps
            human.clsecure("image", "prune", "--yes")
    assert leftovers(human) == []


def test_what_comes_from_an_image_is_escaped(human, store):
    image = build(BASE, created="\x1b[2Jnow", architecture="\x1b[31mother")
    write_archive(image, human.home / "odd.tar")
    ran = human.clsecure("image", "pull", "oci-archive:odd.tar")
    shown = ran.stdout + ran.stderr + human.clsecure("image", "list", "--json").stdout
    assert "\\x1b[31mother" in ran.stderr
    assert "\x1b" not in shown


def test_without_skopeo_the_package_is_named(human, tmp_path):
    with host_view(human, tmp_path) as view:
        view.root("mount", "--bind", "/dev/null", "/usr/bin/skopeo")
        ran = view.run(PROGRAM, "image", "pull", "debian:12", code=4)
        rows = json.loads(view.run(PROGRAM, "doctor", "--json", code=None).stdout)
    assert "skopeo" in complaint(ran)
    (row,) = [row for row in rows if row["check"] == "images"]
    assert row["status"] == "weak"
    assert "skopeo" in row["mend"]


def test_the_same_pull_twice_at_once(human, store, registry):
    reference = registry.push(build(BASE, TOP), "twice:1")
    both = [human.start("image", "pull", reference, cwd=human.home) for _ in range(2)]
    assert [one.wait(30) for one in both] == [0, 0]
    assert len(listed(human)) == 1


def test_the_time_of_what_is_there(human, store, registry):
    reference = registry.push(build(BASE, TOP), "quick:1")
    human.clsecure("image", "pull", reference)
    began = time.monotonic()
    human.clsecure("image", "pull", reference)
    assert time.monotonic() - began < 2
