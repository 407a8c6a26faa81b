"""A registry of the test's own, on loopback: Debian's docker-registry, its files in a directory."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from world.ociimage import Built, write_archive

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 15


class Registry:
    """Images can be pushed to it, and their blobs be found on the disk."""

    def __init__(self, port: int, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.host, self._directory, self._process = f"127.0.0.1:{port}", directory, process

    def push(self, image: Built, name: str) -> str:
        """Push an image and return its reference."""
        archive = write_archive(image, self._directory / "pushed.tar")
        reference = f"{self.host}/{name}"
        subprocess.run(
            ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--preserve-digests",
             f"oci-archive:{archive}", f"docker://{reference}"],
            check=True,
        )  # fmt: skip
        return reference

    def fall_silent(self) -> None:
        """Answer nobody any more, in the middle of a word."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        self._process.send_signal(signal.SIGCONT)

    def blob(self, digest: str) -> Path:
        """Where the registry keeps a blob."""
        digits = digest.removeprefix("sha256:")
        place = "storage/docker/registry/v2/blobs/sha256"
        return self._directory / place / digits[:2] / digits / "data"


@contextmanager
def running_registry(directory: Path, *, remembers_sizes: bool = False) -> Iterator[Registry]:
    """Run a registry; `remembers_sizes`: it says how long a blob was when it came."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "of a test"},
    }
    if remembers_sizes:
        config["storage"]["cache"] = {"blobdescriptor": "inmemory"}
    path = directory / "registry.yml"
    path.write_text(json.dumps(config))  # which is YAML, too
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", path], stdout=log, stderr=log)
    try:
        _wait(port, process)
        yield Registry(port, directory, process)
    finally:
        process.kill()
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        assert process.poll() is None, "the registry has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < end, "the registry does not answer"
            time.sleep(0.05)
        else:
            return
