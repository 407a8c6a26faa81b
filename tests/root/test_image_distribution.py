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
