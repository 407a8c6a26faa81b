"""The box's /etc/resolv.conf is its own, wherever the host's leads, or where the host has none."""

from __future__ import annotations

import pytest
from caller import Caller, open_request, patched

from clsecure.helper.protocol import Opened

pytestmark = pytest.mark.root

OWN = "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n"
# For the helper's eyes alone: a mount namespace in which /etc is a copy that may be changed.
HOST = """
mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work &&
mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc &&
rm -f /etc/resolv.conf && {change} && exec "$@"
"""
CHANGES = {
    "file": "echo nameserver 192.0.2.1 > /etc/resolv.conf",
    "link": (
        "mount -t tmpfs none /run/lock && echo nameserver 192.0.2.1 > /run/lock/resolv.conf"
        " && ln -s ../run/lock/resolv.conf /etc/resolv.conf"
    ),
    "link-within": "echo nameserver 192.0.2.1 > /etc/other && ln -s other /etc/resolv.conf",
    "link-to-nothing": "ln -s /run/clsecure-t-nothing/x /etc/resolv.conf",
    "link-to-mnt": "ln -s /mnt/clsecure-t/resolv.conf /etc/resolv.conf",
    "missing": "true",
}
NO_LAYER = ("mounts.py", "layer = etc_layer(self._files)", "layer = None")


@pytest.fixture(scope="module")
def project(human):
    return human.repository()


@pytest.mark.parametrize("layered", [True, False], ids=["layer", "single-files"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_box_asks_its_own_resolver(human, project, tmp_path, change, layered):
    package = patched(tmp_path, *([] if layered else [NO_LAYER]))
    host = HOST.format(change=CHANGES[change])
    prefix = ("unshare", "-m", "sh", "-c", host, "sh")
    with Caller(human.account.pw_uid, package=package, prefix=prefix) as caller:
        opened = caller.ask(open_request(human, project, session="resolver"))
        assert isinstance(opened, Opened), (opened, caller.said)
        told = caller.run("/bin/cat", "/etc/resolv.conf")
        assert "192.0.2.1" not in caller.run("/bin/sh", "-c", "cat /etc/resolv* /run/*/*").output
        caller.discard(opened)
    if change == "missing" and not layered:
        # The C library's default is the same server (resolv.conf(5)).
        assert "No such file" in told.output
    else:
        assert told.output == OWN
    assert layered is not any("/etc cannot be a layer" in one for one in opened.warnings)
