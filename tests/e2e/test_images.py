"""Container mode with an image as the root directory: small ones, which the tests write."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.footprint import footprint
from world import ociimage
from world.ociimage import Entry, folder, hardlink, symlink

BUSYBOX = Entry("bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755)
TOOLS = ("sh", "ls", "cat", "id", "stat", "touch", "env", "pwd", "rm", "head", "tail", "mount")
SMALL = (
    folder("bin"),
    BUSYBOX,
    *(symlink(f"bin/{name}", "busybox") for name in TOOLS),
    folder("etc"),
    Entry("etc/passwd", b"root:x:0:0::/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/bin/false\n"),
    Entry("etc/of-the-image", b"yes\n"),
    folder("opt/tools"),
    Entry("opt/tools/hello", b"#!/bin/sh\necho $GREETING\n", mode=0o755),
    Entry("bin/set-uid", BUSYBOX.content[:100], mode=0o4755),
    Entry("srv/other", b"", owner=42),
)  # fmt: skip
CONFIG = {"Env": ["PATH=/opt/tools:/bin", "GREETING=hello from the image"]}


def archive(human, name, *layers, **config):
    """Write an image of these layers into the human's home; returns how it is named."""
    built = ociimage.build(*(ociimage.layer(*each) for each in layers), **config)
    path = ociimage.write_archive(built, human.home / name)
    return f"oci-archive:{path}"


@pytest.fixture(scope="module")
def small(human):
    return archive(human, "small.tar", SMALL, config=CONFIG)


@pytest.fixture(scope="module")
def top(human):
    human.agent("id -u; cat /etc/of-the-image; hello; echo work > made")
    return human.repository("imaged")


def in_image(image, *words):
    return ("exec", "--mode", "container", "--image", image, "--", *words)


def test_a_whole_session_in_an_image_without_python_or_a_c_library(human, top, small):
    ran = human.clsecure("--mode", "container", "--image", small, cwd=top)
    uid, *said = ran.stdout.splitlines()
    assert int(uid) >= 66000
    assert said == ["yes", "hello from the image"]
    assert f"container mode (podman, {small})" in ran.stderr
    (kept,) = json.loads(human.clsecure("list", "--json", cwd=top).stdout)
    assert kept["changes"] == 1
    (image,) = json.loads(human.clsecure("image", "list", "--json", cwd=top).stdout)
    assert image["used"] or image["in_use"]
    human.clsecure("import", "--branch", "home", "--yes", cwd=top)
    assert human.run("git", "show", "home:made", cwd=top).stdout == "work\n"


def test_the_root_directory_is_the_images(human, top, small):
    script = """
    cat /etc/passwd; ls -d /usr/bin /usr/lib 2>&1
    stat -c '%u %a' /bin/busybox /srv/other /bin/set-uid
    touch /bin/made /etc/made /made 2>&1; cat /etc/resolv.conf
    """
    said = human.clsecure(*in_image(small, "sh", "-c", script), cwd=top).stdout
    assert "_apt:x:42:" in said
    assert "claude-worker-imaged" in said
    assert f"\n{human.name}:" not in said
    assert "/usr/bin: No such file" in said
    assert "0 755\n42 644\n0 755\n" in said  # no set-uid bit is left
    assert said.count("Read-only file system") == 3
    assert "nameserver 127.0.0.1" in said


def test_it_is_pulled_once_and_shared(human, top, small):
    human.clsecure(*in_image(small, "touch", "/tmp/x"), cwd=top)
    state = Path("/var/lib/clsecure/images", str(human.account.pw_uid))
    stored = [path for path in state.iterdir() if len(path.name) == 64]
    before = {path: path.stat().st_mtime_ns for path in stored[0].rglob("*")}
    human.clsecure(*in_image(small, "sh", "-c", "rm -rf /* 2>/dev/null; pwd"), cwd=top)
    human.clsecure("exec", "--mode", "container", "--image", small, "-s", "b", "--", "pwd", cwd=top)
    assert {path: path.stat().st_mtime_ns for path in stored[0].rglob("*")} == before
    human.clsecure("discard", "-s", "b", "--yes", cwd=top)


def test_a_missing_program_or_image_is_one_clear_line(human, top, small):
    ended = human.clsecure(*in_image(small, "python3"), cwd=top, code=127)
    assert ended.stderr == "clsecure: python3 cannot be run in the box: No such file or directory\n"
    ended = human.clsecure(*in_image("oci-archive:/nowhere", "pwd"), cwd=top, code=None)
    assert ended.returncode in {2, 4}
    assert len(ended.stderr.splitlines()) == 2


@pytest.fixture(scope="module")
def tools(human):
    """Programs in the human's home: for a C library, for none, for a shell, for Python."""
    human.run("cp", "/bin/busybox", human.write("tools/busybox-of-mine", "", mode=0o755))
    human.run("cp", "/usr/bin/seq", human.write("tools/of-the-library", "", mode=0o755))
    human.write("tools/of-the-shell", "#!/bin/sh\necho read\n", mode=0o755)
    human.write("tools/of-python", "#!/usr/bin/python3 -I\nprint('read')\n", mode=0o755)
    human.write("tools/of-any-python", "#!/usr/bin/env python3\nprint('read')\n", mode=0o755)
    return {"PATH": f"{human.home}/tools:{human.environment['PATH']}"}


def test_tools_of_the_home_run_in_an_image_or_say_what_it_lacks(human, top, small, tools):
    for words, said in (
        (("busybox-of-mine", "echo", "runs"), "runs\n"),
        (("of-the-shell",), "read\n"),
    ):
        assert human.clsecure(*in_image(small, *words), cwd=top, env=tools).stdout == said
    loader = Path("/usr/bin/seq").read_bytes().partition(b"/ld-linux")[0].rpartition(b"\0")[2]
    assert loader in {b"/lib64", b"/lib"}
    for name, lacking in (
        ("of-the-library", f"it needs {loader.decode()}/ld-linux"),
        ("of-python", "it needs /usr/bin/python3, which is not there"),
        ("of-any-python", "it needs /usr/bin/env, which is not there"),
        (f"{human.home}/tools/of-python", "it needs /usr/bin/python3, which is not there"),
        ("of-nobody", "No such file or directory"),
    ):
        ended = human.clsecure(*in_image(small, name), cwd=top, env=tools, code=127)
        (line,) = ended.stderr.splitlines()
        assert line.startswith(f"clsecure: {name} cannot be run in the box: {lacking}")


CONTAINERFILE = """FROM scratch
COPY busybox /bin/sh
COPY busybox /bin/busybox
RUN ["/bin/sh", "-c", "/bin/busybox --install /bin; echo built > /made"]
ENV GREETING=hello
# \x1b]0;not for your terminal\x07
"""


@pytest.fixture(scope="module")
def buildable(human):
    project = human.repository("buildable", {".clsecure/Containerfile": CONTAINERFILE})
    human.run("cp", "/bin/busybox", project)
    return project


def test_a_projects_file_is_built_after_it_was_seen(human, buildable):
    from world.human import PROGRAM

    refused = human.clsecure("image", "build", cwd=buildable, code=3)
    assert "not built without your yes" in refused.stderr
    assert "\x1b" not in refused.stderr
    in_it = ("exec", "--mode", "container", "--image", "build", "--", "sh", "-c")
    missing = human.clsecure(*in_it, "true", cwd=buildable, code=4)
    assert "clsecure image build shows it to you" in missing.stderr
    screen = human.terminal(PROGRAM, "image", "build", cwd=buildable, size=(40, 150))
    screen.expect_exact("RUN [")
    screen.expect_exact("in a box with the network of a session?")
    screen.sendline("y")
    screen.expect("built: build:.*Containerfile@")
    screen.wait()
    said = human.clsecure(*in_it, "cat /made; echo $GREETING", cwd=buildable)
    assert said.stdout == "built\nhello\n"
    again = human.clsecure("image", "build", cwd=buildable)
    assert again.stdout.startswith("there already: build:")
    assert "image-build" not in human.clsecure("list", cwd=buildable).stdout


def test_a_changed_file_needs_another_yes(human, buildable):
    human.write(buildable / ".clsecure/Containerfile", f"{CONTAINERFILE}RUN echo more >> /made\n")
    in_it = ("exec", "--mode", "container", "--image", "build", "--", "cat", "/made")
    human.clsecure(*in_it, cwd=buildable, code=4)
    human.clsecure("image", "build", cwd=buildable, code=3)
    human.clsecure("image", "build", "--yes", cwd=buildable)
    assert human.clsecure(*in_it, cwd=buildable).stdout == "built\nmore\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("absent",), 2, "cannot be read"),
        (("/etc/hostname",), 2, "is not in the project"),
        (("broken", "--yes"), 1, "the image was not built: docker build ended with"),
    ],
)
def test_what_cannot_be_built_leaves_nothing(human, buildable, words, code, said):
    human.write(buildable / "broken", 'FROM scratch\nRUN ["/nothing"]\n')
    before = human.workers()
    ended = human.clsecure("image", "build", *words, cwd=buildable, code=code)
    assert said in ended.stderr
    assert human.workers() == before
    assert not list(Path("/var/tmp").glob(f"clsecure-image-{human.account.pw_uid}-*"))


@contextmanager
def small_disk(human, size):
    """A directory of the human's, on a file system of that size."""
    place = human.home / "small"
    human.run("mkdir", place)
    options = f"size={size},mode=0700,uid={human.account.pw_uid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


def test_a_build_may_not_fill_the_disk(human, buildable):
    human.write(buildable / "large", "FROM scratch\nCOPY noise /noise\n")
    human.run("sh", "-c", "head -c 12000000 /dev/urandom > noise", cwd=buildable)
    build = ("image", "build", "large", "--yes")
    with small_disk(human, "30M") as place:
        refused = human.clsecure(*build, cwd=buildable, env={"TMPDIR": str(place)}, code=1)
        assert list(place.iterdir()) == []
    assert "the image is larger than 9.5M, for which there is room in" in refused.stderr
    assert "make room there, or set TMPDIR" in refused.stderr
    assert human.clsecure(*build, cwd=buildable).stdout.startswith("built: ")


def test_a_base_is_only_asked_for_where_there_is_one(human, buildable):
    ended = human.clsecure("image", "build", "--base", "debian:12", cwd=buildable, code=2)
    assert "--base goes with `image build agent`" in ended.stderr


def test_an_agent_image_has_to_be_built_first(human, top):
    ended = human.clsecure("--mode", "container", "--image", "agent", cwd=top, code=4)
    assert "clsecure image build agent" in ended.stderr


# What an image could hold in order to have root write somewhere else.
TRAPS = {
    "etc-to-the-home": (folder("bin"), BUSYBOX, symlink("etc", "HOME")),
    "etc-upwards": (BUSYBOX, symlink("etc", "../../../../../../HOME")),
    "accounts-to-the-project": (BUSYBOX, folder("etc"), symlink("etc/passwd", "TOP/planted")),
    "scratch-to-the-home": (BUSYBOX, symlink("tmp", "HOME"), symlink("var", "HOME")),
    "home-to-the-system": (BUSYBOX, symlink("home", "/usr/share"), symlink("run", "/etc")),
    "mount-point-is-a-link": (BUSYBOX, symlink("dev", "/proc"), symlink("sys", "/")),
    "everything-is-a-file": (BUSYBOX, Entry("etc"), Entry("home"), Entry("tmp"), Entry("run")),
    "accounts-are-a-large-file": (BUSYBOX, Entry("etc/passwd", b"x" * (3 << 20))),
    "hard-link": (BUSYBOX, folder("etc"), hardlink("etc/passwd", "bin/busybox")),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_no_image_has_root_write_elsewhere(human, top, trap):
    def files():
        """All files of the human's, but for what is noted and cached."""
        found = footprint(human.home)
        return {path for path in found if not {".local", ".git", ".cache"} & set(path.split("/"))}

    def aimed(entry):
        target = entry.link.replace("HOME", str(human.home)).replace("TOP", str(top))
        return entry._replace(link=target.replace("..//", "../"))

    before = files()
    image = archive(human, f"{trap}.tar", tuple(aimed(each) for each in TRAPS[trap]))
    written = human.home / f"{trap}.tar"
    ran = human.clsecure(*in_image(image, "/bin/busybox", "id", "-u"), cwd=top, code=None)
    assert ran.returncode == 0 or (ran.returncode, len(ran.stderr.splitlines())) == (4, 2), ran
    seen = human.clsecure(
        *("exec", "--mode", "user", "--", "sh", "-c", "ls -A . ~ | sort"), cwd=top
    )
    assert not {"passwd", "group", "hosts", "planted", "resolv.conf"} & set(seen.stdout.split())
    written.unlink()
    human.clsecure("discard", "--yes", cwd=top, code=None)
    human.clsecure("image", "prune", "--yes", cwd=top)
    assert files() - before == set()
