"""A package named `tiny` in the form of each registry, for the tests' internet."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

WORD = "it came through"  # what each package holds
_GO = "example.org/tiny"


def write(files: Path, elsewhere: str) -> None:
    """Fill the directory of a web server; `elsewhere` is the host of files that an index names."""
    _put(files / "hello", f"{WORD}\n".encode())
    _python(files, elsewhere)
    _npm(files)
    _go(files)
    _cargo(files)


def write_debian(files: Path) -> None:
    """Add a repository of one package; needs dpkg-deb."""
    control = (
        "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
        f"Description: {WORD}\n"
    )
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        _put(Path(directory, "DEBIAN/control"), control.encode())
        package = files / "apt/tiny_1.0_all.deb"
        package.parent.mkdir(parents=True)
        subprocess.run(
            ["dpkg-deb", "--build", directory, str(package)], check=True, capture_output=True
        )
    data = package.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    entry = f"{control}Filename: ./{package.name}\nSize: {len(data)}\nSHA256: {digest}\n"
    _put(files / "apt/Packages", entry.encode())


def _python(files: Path, elsewhere: str) -> None:
    """Two indexes of wheels: `simple` on one host, `apart` with its files on another one.

    `pip` is there because a client is asked for it where files are.
    """
    for name in ("tiny", "pip"):
        about = f"{name}-1.0.dist-info"
        wheel = f"{name}-1.0-py3-none-any.whl"
        members = {
            f"{name}.py": f'"""{WORD}"""\n',
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{each},,\n" for each in (*members, f"{about}/RECORD"))
        data = _zip({**members, f"{about}/RECORD": record})
        _put(files / "wheels" / wheel, data)
        fragment = f"{wheel}#sha256={hashlib.sha256(data).hexdigest()}"
        for index, base in (("simple", "../../wheels"), ("apart", f"https://{elsewhere}/wheels")):
            page = f'<!DOCTYPE html><body><a href="{base}/{fragment}">{wheel}</a></body>\n'
            _put(files / index / name / "index.html", page.encode())


def _npm(files: Path) -> None:
    about = {"name": "tiny", "version": "1.0.0"}
    package = {"package.json": json.dumps(about), "index.js": f"// {WORD}\n"}
    data = _tar({f"package/{name}": text for name, text in package.items()})
    _put(files / "tarballs/tiny-1.0.0.tgz", data)
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    place = "https://@HOST@/tarballs/tiny-1.0.0.tgz"
    version = {**about, "dist": {"tarball": place, "integrity": f"sha512-{digest}"}}
    document = {
        "name": "tiny",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version},
    }
    _put(files / "npm/tiny", json.dumps(document).encode())


def _go(files: Path) -> None:
    module = f"module {_GO}\n"
    place = files / "go" / _GO / "@v"
    inside = {"go.mod": module, "tiny.go": f"// {WORD}\npackage tiny\n"}
    _put(place / "list", b"v1.0.0\n")
    _put(place / "v1.0.0.info", b'{"Version": "v1.0.0", "Time": "2024-01-01T00:00:00Z"}')
    _put(place / "v1.0.0.mod", module.encode())
    packed = _zip({f"{_GO}@v1.0.0/{name}": text for name, text in inside.items()})
    _put(place / "v1.0.0.zip", packed)


def _cargo(files: Path) -> None:
    manifest = '[package]\nname = "tiny"\nversion = "1.0.0"\n'
    data = _tar({"tiny-1.0.0/Cargo.toml": manifest, "tiny-1.0.0/src/lib.rs": f"// {WORD}\n"})
    _put(files / "crates/tiny-1.0.0.crate", data)
    place = {"dl": "https://@HOST@/crates/{crate}-{version}.crate"}
    _put(files / "cargo/config.json", json.dumps(place).encode())
    entry = {
        "name": "tiny",
        "vers": "1.0.0",
        "deps": [],
        "cksum": hashlib.sha256(data).hexdigest(),
        "features": {},
        "yanked": False,
    }
    _put(files / "cargo/ti/ny/tiny", json.dumps(entry).encode() + b"\n")


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _zip(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _tar(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()
