"""`clsecure image build agent`, from a base that a registry on loopback serves."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess

import pytest

from clsecure.images import agentimage
from world.ociimage import build
from world.registry import running_registry

pytestmark = pytest.mark.root

# Of this host: its node and npm, so that not everything has to come from the distribution.
NODE = r"""
set -e
node=$(readlink -f "$(command -v node)"); npm=$(readlink -f "$(command -v npm)")
root=$1; mkdir -p "$root/usr/local/bin" "$root/usr/local/lib/node_modules"
cp "$node" "$root/usr/local/bin/node"
cp -r "${npm%/bin/npm-cli.js}" "$root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A base image with node, in a registry: its reference."""
    place = tmp_path_factory.mktemp("base")
    hook = place / "hook"
    hook.write_text(f"#!/bin/sh\n{NODE}")
    hook.chmod(0o755)
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", f"--customize-hook={hook}"]
    argv += ["--include=libstdc++6,libatomic1", suite, f"{place}/root.tar"]
    subprocess.run(argv, check=True, capture_output=True, timeout=300)
    rootfs = (place / "root.tar").read_bytes()
    image = build(rootfs, packed=False, history=[{"created_by": "mmdebstrap"}])
    (place / "root.tar").unlink()
    with running_registry(place) as registry:
        yield registry.push(image, "library/node:22")
    shutil.rmtree(place)


def addresses():
    """Where the hosts are: some resolvers have addresses that only count when they are listed."""
    found = set()
    for host in agentimage.hosts():
        found |= {each[4][0] for each in socket.getaddrinfo(host, 443, socket.AF_INET)}
    return [word for address in sorted(found) for word in ("--allow", address)]


def test_an_image_with_an_agent_is_built_and_used(human, base):
    built = human.clsecure("image", "build", "agent", "--base", base, *addresses(), seconds=600)
    assert built.stdout.startswith("built: agent (")
    assert human.workers() == []
    state = human.home / ".local/state/clsecure"
    assert not list(state.glob("clsecure-image-*"))
    top = human.repository("with-an-agent")
    script = "for program in claude node rg git python3; do $program --version | head -1; done"
    flags = ("--mode", "container", "--image", "agent")
    said = human.clsecure("exec", *flags, "--", "sh", "-c", script, cwd=top).stdout
    claude, node, rg, git, python = said.splitlines()
    assert "Claude Code" in claude
    assert node.startswith("v")
    assert rg.startswith("ripgrep ")
    assert git.startswith("git version ")
    assert python.startswith("Python 3")
    # The agent is the image's, though the human has another, or none.
    human.agent("echo of the human")
    ran = human.clsecure(*flags, "--resume", "--", "--version", cwd=top)
    assert "Claude Code" in ran.stdout
    human.clsecure("discard", "--yes", cwd=top)
