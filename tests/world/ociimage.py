"""Images that a test writes itself, down to the last byte of their layers."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Entry(NamedTuple):
    """One entry of a layer; `kind` is one of tarfile's types."""

    name: str
    content: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    owner: int = 0
    headers: dict[str, str] | None = None


def folder(name: str, mode: int = 0o755) -> Entry:
    """A directory."""
    return Entry(name, mode=mode, kind=tarfile.DIRTYPE)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, mode=0o777, kind=tarfile.SYMTYPE, link=target)


def hardlink(name: str, target: str) -> Entry:
    """A hard link."""
    return Entry(name, kind=tarfile.LNKTYPE, link=target)


def device(name: str) -> Entry:
    """The device of /dev/zero."""
    return Entry(name, mode=0o666, kind=tarfile.CHRTYPE)


def layer(*entries: Entry) -> bytes:
    """An uncompressed layer with these entries, names as they are given."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.size, info.mode, info.type = len(entry.content), entry.mode, entry.kind
            info.linkname, info.uid, info.gid = entry.link, entry.owner, entry.owner
            info.mtime, info.pax_headers = 1_000_000_000, entry.headers or {}
            if entry.kind == tarfile.CHRTYPE:
                info.devmajor, info.devminor = 1, 5
            archive.addfile(info, io.BytesIO(entry.content))
    return file.getvalue()


def digest(content: bytes) -> str:
    """The digest of a blob."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Built(NamedTuple):
    """An image as its blobs, the layers as packed."""

    manifest: bytes
    config: bytes
    layers: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        return digest(self.manifest)

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return (self.manifest, self.config, *self.layers)


def build(*layers: bytes, packed: bool = True, config: Any = None, **changes: Any) -> Built:
    """An image with these layers; `changes` replaces fields of the configuration."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]},
        **changes,
    }
    blobs = tuple(gzip.compress(each, mtime=0) if packed else each for each in layers)
    written = json.dumps(document).encode()
    kind = "application/vnd.oci.image"
    form = "tar+gzip" if packed else "tar"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": _descriptor(f"{kind}.config.v1+json", written),
        "layers": [_descriptor(f"{kind}.layer.v1.{form}", blob) for blob in blobs],
    }
    return Built(json.dumps(manifest).encode(), written, blobs)


def write_archive(image: Built, path: Path) -> Path:
    """Write it as an oci-archive: image-spec, image-layout.md."""
    descriptor = _descriptor("application/vnd.oci.image.manifest.v1+json", image.manifest)
    files = {
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [descriptor]}).encode(),
        **{f"blobs/sha256/{digest(blob)[7:]}": blob for blob in image.blobs},
    }
    with tarfile.open(path, "w") as archive:
        for name in ("blobs", "blobs/sha256"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    path.chmod(0o644)
    return path


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest(content), "size": len(content)}
