"""What container mode needs of this host: the versions that docs/dependencies.md lists."""

from __future__ import annotations

import os

from clsecure import facts, modes
from clsecure.helper import container
from clsecure.hostfinds import Check, Status, as_root, dotted, find, install, version_of

_OLDEST_PODMAN = (4, 0)  # --passwd, --log-driver=passthrough
_OLDEST_CRUN = (1, 8)  # Debian 12's; an older one was never tried
_LAYERED_KERNEL = (5, 19)  # overlays on idmapped mounts, for images and --writable


def containers() -> Check:
    """Look for podman, crun, uidmap and what a container's root directory needs of the kernel."""
    name, purpose = "containers", "container mode, where it is asked for"
    missing = facts.missing_for_containers()
    if missing:
        found = f"no {', '.join(missing)}"
        mend = as_root(modes.install_hint(" ".join(missing)))
        return Check(name, Status.WEAK, purpose, found, mend)
    podman, crun = version_of(container.PODMAN), version_of(container.CRUN)
    found = f"podman {dotted(podman)}, crun {dotted(crun)}"
    for program, has, oldest in (("podman", podman, _OLDEST_PODMAN), ("crun", crun, _OLDEST_CRUN)):
        if has < oldest:
            found = f"{found}; {program} {dotted(oldest)} is needed"
            return Check(name, Status.WEAK, purpose, found, install(program))
    if not os.path.exists("/etc/subuid"):
        mend = as_root("touch /etc/subuid /etc/subgid")
        return Check(name, Status.WEAK, purpose, f"{found}, but no /etc/subuid", mend)
    if facts.kernel() < _LAYERED_KERNEL:
        found += "; images and --writable need Linux 5.19"
        return Check(name, Status.WEAK, purpose, found, "upgrade the distribution's kernel")
    return Check(name, Status.OK, purpose, found)


def images() -> Check:
    """Look for what fetches images."""
    purpose = "pulls images for container mode"
    if not find("skopeo"):
        return Check("images", Status.WEAK, purpose, "no skopeo", install("skopeo"))
    return Check("images", Status.OK, purpose, f"skopeo {dotted(version_of('skopeo'))}")
