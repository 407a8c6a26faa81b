"""Images whose layers are written to get out: nothing outside of the image is touched."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import stat
import tarfile
import time
from pathlib import Path

import pytest
from caller import PACKAGE, Caller, patched

from clsecure.helper import images
from clsecure.helper.imagerecords import (
    ImageAdd,
    ImageAdded,
    ImageList,
    ImageName,
    ImageRemove,
    Images,
)
from clsecure.helper.protocol import Failed, Refusal, Removed
from clsecure.helper.wire import memory_file, send
from world.live import until
from world.ociimage import (
    Entry,
    build,
    device,
    digest,
    folder,
    hardlink,
    layer,
    symlink,
)

pytestmark = pytest.mark.root

STORES = Path("/var/lib/clsecure/images")


@pytest.fixture
def caller(human):
    with Caller(human.account.pw_uid) as made:
        yield made
        found = made.ask(ImageList())
        for image in found.images if isinstance(found, Images) else ():
            assert isinstance(made.ask(ImageRemove(digest=image.digest)), Removed)
    assert made.said == ""


@pytest.fixture
def outside(tmp_path):
    """A file and a directory that no image has anything to do with."""
    (tmp_path / "canary").write_text("untouched")
    (tmp_path / "place").mkdir()
    tmp_path.chmod(0o755)
    return tmp_path


def untouched(outside):
    """Nothing has happened there."""
    assert (outside / "canary").read_text() == "untouched"
    assert os.listdir(outside / "place") == []
    assert sorted(os.listdir(outside)) == ["canary", "place"]
    assert stat.S_IMODE((outside / "canary").stat().st_mode) == 0o644
    return True


def add(caller, image, blobs=None, **fields):
    """Hand an image to root; returns the answer."""
    files = [memory_file(blob) for blob in blobs or image.blobs]
    request = ImageAdd(**{"digest": image.digest, "reference": "x:1", **fields})
    answer = caller.ask(request, tuple(files))
    for file in files:
        os.close(file)
    return answer


def store(human):
    return STORES / str(human.account.pw_uid)


def rootfs(human, image):
    return store(human) / image.digest[7:] / "rootfs"


def escapes(outside):
    """Layers that would write outside, each as a whole image's."""
    up = "../" * 12
    inner = str(outside).lstrip("/")
    return {
        "upward": [layer(Entry(f"{up}{inner}/place/x", b"!"))],
        "upward-within": [layer(folder("a"), Entry(f"a/../{up}{inner}/place/x", b"!"))],
        "absolute": [layer(Entry(f"{outside}/canary", b"!"))],
        "through-a-link": [
            layer(symlink("out", f"{outside}/place")),
            layer(Entry("out/x", b"!")),
        ],
        "through-a-link-of-the-same-layer": [
            layer(symlink("out", f"{outside}/place"), Entry("out/x", b"!"))
        ],
        "through-a-relative-link": [
            layer(symlink("out", f"{up}{inner}/place")),
            layer(Entry("out/x", b"!")),
        ],
        "through-a-chain-of-links": [
            layer(symlink("a", "b/c"), folder("b"), symlink("b/c", f"{up}{inner}")),
            layer(Entry("a/place/x", b"!")),
        ],
        "over-a-link-to-a-file": [
            layer(symlink("file", f"{outside}/canary")),
            layer(Entry("file", b"!", mode=0o777)),
        ],
        "directory-over-a-link": [
            layer(symlink("dir", f"{outside}/place")),
            layer(folder("dir", 0o777), Entry("dir/x", b"!")),
        ],
        "hard-link-upward": [
            layer(hardlink("x", f"{up}{inner}/canary")),
            layer(Entry("x", b"!")),
        ],
        "hard-link-to-an-absolute": [layer(hardlink("x", f"{outside}/canary"))],
        "hard-link-through-a-link": [
            layer(symlink("out", str(outside)), hardlink("x", "out/canary"))
        ],
        "whiteout-through-a-link": [
            layer(symlink("out", str(outside))),
            layer(Entry("out/.wh.canary")),
        ],
        "opaque-through-a-link": [
            layer(symlink("out", str(outside))),
            layer(Entry("out/.wh..wh..opq")),
        ],
        "whiteout-of-the-parent": [layer(Entry("a/.wh..."))],
        "whiteout-of-itself": [layer(Entry("a/.wh..")), layer(Entry(".wh."))],
        "process-files": [
            layer(symlink("out", "/proc/self/root/" + inner)),
            layer(Entry("out/place/x", b"!")),
        ],
        "root-replaced": [layer(symlink(".", str(outside)))],
        "store-of-others": [layer(Entry("../../image.json", b"{}"))],
    }


@pytest.mark.parametrize("kind", escapes(Path("/x")))
def test_nothing_outside_of_the_image_is_touched(human, caller, outside, kind):
    image = build(*escapes(outside)[kind])
    answer = add(caller, image)
    assert isinstance(answer, (ImageAdded, Failed))
    assert untouched(outside)
    if isinstance(answer, Failed):
        assert answer.code in (1, 2, 3)
        assert "\n" not in answer.message
        assert not store(human).exists()
    else:
        assert sorted(os.listdir(store(human) / image.digest[7:])) == ["image.json", "rootfs"]


REACHES = {"upward", "upward-within", "absolute", "through-a-link", "process-files"} | {
    f"through-{how}" for how in ("a-relative-link", "a-chain-of-links")
}


@pytest.mark.parametrize("kind", sorted(REACHES))
def test_control_an_extraction_without_care_writes_outside(outside, tmp_path_factory, kind):
    target = tmp_path_factory.mktemp("target")
    for content in escapes(outside)[kind]:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extraction_filter = lambda entry, _: entry  # newer Pythons take care
            archive.extractall(target)
    changed = (outside / "canary").read_text() != "untouched"
    assert changed or os.listdir(outside / "place") == ["x"]


def test_no_right_comes_with_a_file(human, caller):
    image = build(
        layer(
            Entry("tool", b"x", mode=0o6755),
            folder("shared", 0o3777),
            device("zero"),
            Entry("pipe", kind=tarfile.FIFOTYPE),
            Entry(
                "able",
                b"x",
                headers={
                    "SCHILY.xattr.security.capability": "\x01\0\0\x02\xff\xff\xff\xff",
                    "SCHILY.xattr.trusted.overlay.opaque": "y",
                    "SCHILY.xattr.user.overlay.redirect": "/etc",
                    "SCHILY.xattr.user.note": "kept",
                },
            ),
        )
    )
    answer = add(caller, image)
    assert isinstance(answer, (ImageAdded, Failed)), answer
    assert isinstance(answer, ImageAdded), answer
    assert answer.left_out == 2
    top = rootfs(human, image)
    assert sorted(os.listdir(top)) == ["able", "shared", "tool"]
    assert stat.S_IMODE((top / "tool").stat().st_mode) == 0o755
    assert stat.S_IMODE((top / "shared").stat().st_mode) == 0o1777
    assert os.listxattr(top / "able") == ["user.note"]


def test_the_store_is_roots_alone(human, other, caller):
    image = build(layer(Entry("x", owner=human.account.pw_uid, mode=0o666)))
    assert isinstance(add(caller, image), ImageAdded)
    assert (rootfs(human, image) / "x").stat().st_uid == human.account.pw_uid
    for place in (STORES, store(human), store(human) / image.digest[7:]):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert place.stat().st_uid == 0
    for who in (human, other):
        assert who.run("ls", rootfs(human, image), code=None).returncode != 0


def test_another_humans_store_is_out_of_reach(human, other, caller):
    image = build(layer(Entry("x", b"mine")))
    assert isinstance(add(caller, image), ImageAdded)
    with Caller(other.account.pw_uid) as theirs:
        assert theirs.ask(ImageList()) == Images(images=())
        assert isinstance(theirs.ask(ImageRemove(digest=image.digest)), Failed)
        named = theirs.ask(ImageName(digest=image.digest, reference="x:1"))
        assert isinstance(named, Failed)
        poison = build(layer(Entry("x", b"theirs")))
        assert isinstance(add(theirs, poison), ImageAdded)  # of the same name
        assert isinstance(theirs.ask(ImageRemove(digest=poison.digest)), Removed)
    (found,) = caller.ask(ImageList()).images
    assert (found.digest, found.references) == (image.digest, ("x:1",))


def wrong(image):
    """Streams that are not what the digests say, by what is wrong with them."""
    manifest, config, first, second = image.blobs
    other = gzip.compress(layer(Entry("evil", b"!")), mtime=0)
    return {
        "layer": (manifest, config, other, second),
        "order": (manifest, config, second, first),
        "cut": (manifest, config, first, second[: len(second) // 2]),
        "more": (manifest, config, first, second + other),
        "trailing": (manifest, config, first, second + b"\0"),
        "empty": (manifest, config, first, b""),
        "configuration": (manifest, config + b" ", first, second),
        "manifest": (manifest + b" ", config, first, second),
        "missing": (manifest, config, first),
        "additional": (manifest, config, first, second, second),
        "only-a-manifest": (manifest,),
        "no-json": (b"{", config, first, second),
    }


@pytest.mark.parametrize("kind", wrong(build(b"", b"")))
def test_what_has_not_its_digest_is_not_there(human, caller, kind):
    image = build(layer(Entry("a", b"a" * 5000)), layer(Entry("b", os.urandom(5000))))
    answer = add(caller, image, wrong(image)[kind])
    assert isinstance(answer, Failed), answer
    assert answer.code in (2, 3)
    assert not store(human).exists()
    assert isinstance(add(caller, image), ImageAdded)  # the honest one


def with_manifest(document):
    content = json.dumps(document).encode()
    return content, digest(content)


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": None},
        {"layers": [None]},
        {"layers": [{"digest": "sha256:../../../../etc/passwd"}]},
        {"layers": [{"digest": "md5:x"}]},
        {"layers": [{"digest": 5}]},
        {"layers": [{"digest": digest(b"")}] * 500},
        {"config": None},
        {"config": {"digest": "sha256:" + "A" * 64}},
    ],
    ids=lambda changes: json.dumps(changes)[:40],
)
def test_an_odd_manifest(human, caller, changes):
    image = build(layer(Entry("a")))
    content, name = with_manifest({**json.loads(image.manifest), **changes})
    answer = add(caller, image, (content, *image.blobs[1:]), digest=name)
    assert isinstance(answer, Failed), answer
    assert answer.code in (2, 3)
    assert not store(human).exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"rootfs": None},
        {"rootfs": {"diff_ids": []}},
        {"rootfs": {"diff_ids": [digest(b"another")]}},
        {"rootfs": {"diff_ids": ["sha256:x"]}},
        {"os": "windows"},
    ],
    ids=lambda changes: json.dumps(changes)[:40],
)
def test_an_odd_configuration(human, caller, changes):
    answer = add(caller, build(layer(Entry("a")), **changes))
    assert isinstance(answer, Failed), answer
    assert answer.code in (2, 3)
    assert not store(human).exists()


def test_odd_words_in_a_configuration_are_left_out(caller):
    words = {"Env": ["A=\0", "B=\ud800", 5, "C=c"], "Cmd": "sh", "WorkingDir": ["/"]}
    answer = add(caller, build(layer(Entry("a")), config=words, created=7))
    assert isinstance(answer, ImageAdded), answer
    image = answer.image
    assert (image.environment, image.command, image.directory) == (("C=c",), (), "")
    assert image.created == ""


def sparse(size):
    """A file of which an archive claims that it is that large, and holds nothing of it."""
    info = tarfile.TarInfo("huge")
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "huge",
        "GNU.sparse.realsize": str(size),
    }
    content = b"0\n".ljust(512, b"\0")
    info.size = len(content)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def claimed(size):
    """A file that is said to be that large in an archive that ends soon."""
    info = tarfile.TarInfo("huge")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + b"x" * 2048


ODD_ARCHIVES = {
    "sparse": sparse(1 << 43),
    "claimed": claimed(1 << 62),
    "negative": claimed(-(1 << 20)),
    "no-archive": b"hello" * 1000,
    "nothing": b"",
    "owner-of-nobody": layer(Entry("x", owner=2**32 - 1)),
    "negative-owner": layer(Entry("x", headers={"uid": "-1"})),
    "no-time": layer(Entry("x", headers={"mtime": "nan"})),
    "nul-in-a-name": layer(Entry("x", headers={"path": "a\0b"})),
    "deep": layer(Entry("/".join(["d"] * 3000))),
    "long-name": layer(Entry("n" * 300)),
}


@pytest.mark.parametrize("kind", ODD_ARCHIVES)
def test_an_odd_archive_ends_soon_and_takes_no_room(human, caller, kind):
    free = os.statvfs("/var/lib").f_bavail
    began = time.monotonic()
    answer = add(caller, build(ODD_ARCHIVES[kind]))
    assert time.monotonic() - began < 20
    if isinstance(answer, Failed):
        assert answer.code in (1, 2, 3)
        assert not store(human).exists()
    else:
        assert isinstance(answer, ImageAdded), answer
        assert answer.image.size < 100 << 20
    assert os.statvfs("/var/lib").f_bavail > free - (1 << 18)


def test_zstd_is_named(caller):
    image = build(b"\x28\xb5\x2f\xfd" + b"x" * 100, packed=False)
    answer = add(caller, image)
    assert isinstance(answer, Failed)
    assert "zstd" in answer.message


ODD_BLOBS = {
    "pipe": lambda: os.pipe()[0],
    "directory": lambda: os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY),
    "path": lambda: os.open("/etc/passwd", os.O_PATH),
    "endless": lambda: os.open("/dev/zero", os.O_RDONLY),
    "write-only": lambda: os.open("/dev/null", os.O_WRONLY),
}


@pytest.mark.parametrize("kind", ODD_BLOBS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_blob_that_is_no_plain_file(human, caller, kind, place):
    image = build(layer(Entry("a")))
    files = [memory_file(blob) for blob in image.blobs]
    os.close(files[place])
    files[place] = ODD_BLOBS[kind]()
    answer = caller.ask(ImageAdd(digest=image.digest, reference="x:1"), tuple(files))
    for file in files:
        os.close(file)
    assert isinstance(answer, Failed), answer
    assert answer.code == 2
    assert not store(human).exists()


@pytest.mark.parametrize("name", ["", "..", "sha256:", "sha256:..", "x" * 64, "new", "/etc"])
def test_only_a_digest_names_an_image(caller, name):
    for request in (
        ImageRemove(digest=name),
        ImageName(digest=name, reference="x:1"),
        ImageAdd(digest=name, reference="x:1"),
    ):
        answer = caller.ask(request)
        assert isinstance(answer, Failed)
        assert answer.code == 2


@pytest.mark.parametrize("reference", ["", "a\nb", "\x1b[2J", "x" * 5000])
def test_a_reference_is_a_line_of_text(human, caller, reference):
    answer = add(caller, build(layer(Entry("a"))), reference=reference)
    assert isinstance(answer, Failed)
    assert not store(human).exists()


def test_whiteouts_hide_what_is_below_and_nothing_else(human, caller):
    image = build(
        layer(
            folder("gone"), Entry("gone/a", b"1"), folder("opaque"), Entry("opaque/old", b"1"),
            folder("opaque/both"), Entry("opaque/both/old", b"1"), Entry("file", b"1"),
            Entry("same", b"1"), symlink("lib", "usr/lib"), folder("usr/lib"),
        ),
        layer(
            Entry(".wh.gone"), Entry("opaque/new", b"2"), folder("opaque/both"),
            Entry("opaque/both/new", b"2"), Entry("opaque/.wh..wh..opq"), Entry(".wh.never"),
            Entry("same", b"2"), Entry(".wh.same"), folder("file"), Entry("file/x", b"2"),
            Entry("lib/library", b"2"), hardlink("linked", "same"), Entry(".wh..wh.plnk"),
        ),
    )  # fmt: skip
    assert isinstance(add(caller, image), ImageAdded)
    top = rootfs(human, image)
    found = sorted(str(path.relative_to(top)) for path in top.rglob("*"))
    assert found == [
        "file", "file/x", "lib", "linked", "opaque", "opaque/both", "opaque/both/new",
        "opaque/new", "same", "usr", "usr/lib", "usr/lib/library",
    ]  # fmt: skip
    assert (top / "same").stat().st_nlink == 2


def large(tmp_path):
    """An image that takes a while: its layer as a file with much of nothing in it."""
    return build(layer(*(Entry(f"f{n}", b"\0" * (1 << 20)) for n in range(300))))


def is_unpacking(human):
    return (store(human) / "new/rootfs/f20").exists()


def begin(caller, image):
    files = [memory_file(blob) for blob in image.blobs]
    send(caller.channel, ImageAdd(digest=image.digest, reference="x:1"), tuple(files))
    for file in files:
        os.close(file)


def test_who_hangs_up_leaves_nothing(human, tmp_path):
    with Caller(human.account.pw_uid) as caller:
        begin(caller, large(tmp_path))
        until(lambda: is_unpacking(human))
    assert caller.said == ""
    assert not store(human).exists()


def test_what_a_killed_helper_leaves_is_swept(human, tmp_path):
    image = large(tmp_path)
    with Caller(human.account.pw_uid) as caller:
        begin(caller, image)
        until(lambda: is_unpacking(human))
        children = Path(f"/proc/{caller.process.pid}/task/{caller.process.pid}/children")
        (unpacker,) = children.read_text().split()
        caller.process.send_signal(signal.SIGKILL)
        caller.process.wait()
        until(lambda: not Path(f"/proc/{unpacker}").exists())
    with Caller(human.account.pw_uid) as caller:
        assert caller.ask(ImageList()) == Images(images=())
        assert isinstance(caller.ask(ImageRemove(digest=image.digest)), Failed)
    assert not store(human).exists()


def test_the_unpacking_process_has_next_to_no_rights(human, tmp_path):
    with Caller(human.account.pw_uid) as caller:
        begin(caller, large(tmp_path))
        until(lambda: is_unpacking(human))
        helper = caller.process.pid
        (unpacker,) = Path(f"/proc/{helper}/task/{helper}/children").read_text().split()
        status = Path(f"/proc/{unpacker}/status").read_text()
        mounts = Path(f"/proc/{unpacker}/mountinfo").read_text().splitlines()
        spaces = {
            kind: os.readlink(f"/proc/{unpacker}/ns/{kind}") for kind in ("mnt", "net", "pid")
        }
        files = [
            os.readlink(f"/proc/{unpacker}/fd/{n}") for n in os.listdir(f"/proc/{unpacker}/fd")
        ]
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert {fields[name] for name in ("CapEff", "CapPrm")} == {f"{0b1011:016x}"}
    assert {fields[name] for name in ("CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
    assert len(mounts) == 1
    assert all(word in mounts[0] for word in ("nosuid", "nodev", "noexec"))
    assert all(os.readlink(f"/proc/self/ns/{kind}") != it for kind, it in spaces.items())
    # Its channel, the layer, and the file of the image that it writes: paths are below its root.
    assert sorted({path.partition(":")[0].rstrip("0123456789") for path in files}) in (
        ["/f", "/memfd", "socket"],
        ["/memfd", "socket"],
    )


def test_an_image_in_use_cannot_be_removed(human, caller):
    uid, image = human.account.pw_uid, build(layer(Entry("a", b"1")))
    assert isinstance(add(caller, image), ImageAdded)
    tree = images.tree(uid, image.digest)
    assert os.listdir(tree.rootfs) == ["a"]
    assert tree.image.digest == image.digest
    (found,) = caller.ask(ImageList()).images
    assert found.running
    answer = caller.ask(ImageRemove(digest=image.digest))
    assert isinstance(answer, Failed)
    assert answer.code == 5
    tree.close()
    (found,) = caller.ask(ImageList()).images
    assert not found.running
    with pytest.raises(Refusal, match="not there"):
        images.tree(uid + 1, image.digest)
    with pytest.raises(Refusal, match="not there"):
        images.tree(uid, digest(b""))


def test_a_record_that_cannot_be_read_is_no_image_and_is_mended(human, caller):
    image = build(layer(Entry("a", b"1")))
    assert isinstance(add(caller, image), ImageAdded)
    (store(human) / image.digest[7:] / "image.json").write_text("{")
    assert caller.ask(ImageList()) == Images(images=())
    assert isinstance(add(caller, image), ImageAdded)
    assert len(caller.ask(ImageList()).images) == 1


def test_an_image_has_so_many_names_and_no_more(caller):
    image = build(layer(Entry("a", b"1")))
    add(caller, image)
    for number in range(99):
        named = ImageName(digest=image.digest, reference=f"n:{number}")
        assert isinstance(caller.ask(named), ImageAdded)
    answer = caller.ask(ImageName(digest=image.digest, reference="one:more"))
    assert isinstance(answer, Failed)


def test_control_without_the_comparison_another_layer_gets_in(human, tmp_path):
    image = build(layer(Entry("a")), layer(Entry("b")))
    package = patched(
        tmp_path,
        ("layers.py", 'if f"sha256:{self._packed.hexdigest()}" != packed:', "if False:"),
        ("layers.py", 'if f"sha256:{self._content.hexdigest()}" != content:', "if False:"),
    )
    with Caller(human.account.pw_uid, package=package) as caller:
        assert isinstance(add(caller, image, wrong(image)["layer"]), ImageAdded)
        assert (rootfs(human, image) / "evil").exists()
        caller.ask(ImageRemove(digest=image.digest))
    assert package != PACKAGE
