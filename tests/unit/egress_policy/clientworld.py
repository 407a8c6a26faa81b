"""A human with client programs: a home, a project, and servers that stand for registries."""

from __future__ import annotations

import http.server
import io
import shutil
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from clsecure.egress.registries import expand
from clsecure.errors import UserError


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


class World:
    """Nothing is set but where the home is and where programs are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.project = root / "project"
        self.home.mkdir()
        self.project.mkdir()
        self.environ = {"HOME": str(self.home), "PATH": "/usr/bin:/bin"}

    def use(self, program):
        """Put the real program on the path, and nothing else that is not the system's."""
        place = Path(shutil.which(program))
        self.environ["PATH"] = f"{place.parent}:/usr/bin:/bin"

    def program(self, name, script, directory="bin"):
        """Make a program that stands in for a client, and let it be the only one."""
        place = self.root / directory / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)
        self.environ["PATH"] = str(place.parent)

    def write(self, place, text):
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def expand(self, word):
        return expand(word, self.environ, self.project)

    def refuse(self, word):
        with pytest.raises(UserError) as caught:
            self.expand(word)
        assert "in place of" in caught.value.hint
        return caught.value


@contextmanager
def serving(pages):
    """Serve a mapping of paths to bytes, which may be filled later; yields the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def wheel(name, version="1.0"):
    """Return the bytes of a package that holds nothing (PEP 427)."""
    info = f"{name}-{version}.dist-info"
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            archive.writestr(f"{info}/METADATA", text)
            tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            archive.writestr(f"{info}/WHEEL", tag)
            archive.writestr(f"{info}/RECORD", "")
        return buffer.getvalue()
