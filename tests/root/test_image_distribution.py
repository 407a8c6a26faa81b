"""A whole distribution as an image: what root's store holds is what tar unpacks."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
from pathlib import Path

import pytest

from world.ociimage import build, write_archive

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def distribution(tmp_path_factory):
    """A tar archive of this host's distribution with its essential packages alone."""
    path = tmp_path_factory.mktemp("distribution") / "root.tar"
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=essential", suite, str(path)]
    subprocess.run(argv, check=True, capture_output=True, timeout=300)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A small package with a script that makes a user's directory, as packages do."""
    top = tmp_path_factory.mktemp("package") / "clsecure-test"
    (top / "DEBIAN").mkdir(parents=True)
    (top / "DEBIAN/control").write_text(
        "Package: clsecure-test\nVersion: 1\nArchitecture: all\n"
        "Maintainer: A Test <test@example.org>\nDescription: a test\n"
    )
    script = top / "DEBIAN/postinst"
    script.write_text("#!/bin/sh\nset -e\nmkdir -p /var/lib/its; chown www-data /var/lib/its\n")
    script.chmod(0o755)
    (top / "usr/bin").mkdir(parents=True)
    tool = top / "usr/bin/of-the-package"
    tool.write_text("#!/bin/sh\necho installed\n")
    tool.chmod(0o755)
    argv = ["dpkg-deb", "--root-owner-group", "--build", str(top)]
    subprocess.run(argv, check=True, capture_output=True)
    return top.with_suffix(".deb")


def described(top: Path):
    """Every file below: what it is, whose, since when, and how many names it has."""
    found = {}
    for directory, names, files in os.walk(top):
        for name in (*names, *files):
            path = Path(directory, name)
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode)
            if kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                found[str(path.relative_to(top))] = (
                    kind,
                    0 if path.is_symlink() else status.st_mode & 0o1777,
                    status.st_uid,
                    status.st_gid,
                    int(status.st_mtime),
                    status.st_size if kind == stat.S_IFREG else 0,
                    status.st_nlink,
                    os.readlink(path) if path.is_symlink() else "",
                )
    return found


def test_it_comes_out_as_it_went_in(human, distribution, tmp_path):
    image = build(distribution.read_bytes())
    write_archive(image, human.home / "root.tar")
    human.clsecure("image", "pull", "oci-archive:root.tar")
    rootfs = Path(f"/var/lib/clsecure/images/{human.account.pw_uid}/{image.digest[7:]}/rootfs")
    subprocess.run(["tar", "-x", "-p", "-f", distribution, "-C", tmp_path], check=True)
    expected, found = described(tmp_path), described(rootfs)
    assert len(found) > 2000
    assert found.keys() == expected.keys()
    assert {name for name in found if found[name] != expected[name]} == set()
    subprocess.run(["chroot", rootfs, "/bin/sh", "-c", "dpkg --version"], check=True)
    set_uid = [name for name in found if (rootfs / name).lstat().st_mode & 0o6000]
    assert set_uid == []
    subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)
    tools_of_the_home_run_there(human)


def tools_of_the_home_run_there(human):
    """Programs of the human's work as far as the image has what they are made for."""
    top = human.repository("equipped")
    for name, program in (("counting", "seq"), ("needing-more", "curl")):
        human.run("cp", f"/usr/bin/{program}", human.write(f"bin/{name}", "", mode=0o755))
    words = ("exec", "--mode", "container", "--image", f"oci-archive:{human.home}/root.tar", "--")
    assert human.clsecure(*words, "counting", "2", cwd=top).stdout == "1\n2\n"
    ended = human.clsecure(*words, "needing-more", "--version", cwd=top, code=127)
    assert "error while loading shared libraries: libcurl.so" in ended.stderr


def test_a_package_is_installed_in_a_writable_container(human, distribution, package):
    top = human.repository("packaged")
    human.write(top / "setup", "dpkg --unpack ./it.deb && dpkg --configure clsecure-test\n")
    (human.home / "it.deb").write_bytes(package.read_bytes())
    human.run("cp", human.home / "it.deb", top)
    human.write(".config/clsecure/config", "setup_script = . ./setup\n")
    write_archive(build(distribution.read_bytes()), human.home / "root.tar")
    script = "of-the-package; stat -c %U /var/lib/its; dpkg -s clsecure-test | grep ^Status"
    wanted = "installed\nwww-data\nStatus: install ok installed\n"
    for image in ("host", f"oci-archive:{human.home}/root.tar"):
        flags = ("exec", "--mode", "container", "--writable", "--image", image)
        first = human.clsecure(*flags, "--", "sh", "-c", script, cwd=top)
        assert first.stdout == wanted, first.stderr
        assert human.clsecure(*flags, "--", "sh", "-c", script, cwd=top).stdout == wanted
        human.clsecure("discard", "--yes", cwd=top)
    assert not Path("/usr/bin/of-the-package").exists()
