"""What the tests' internet has to fetch: files of registries, and git repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import http.server

_TYPES = {".html": "text/html", ".json": "application/json", "": "application/json"}


def answer(request: http.server.BaseHTTPRequestHandler, body: bytes, directory: Path) -> bool:
    """Answer a request below a directory of `files` or `git`; False where it asks for neither."""
    path = unquote(urlsplit(request.path).path).strip("/")
    if path.startswith("git/"):
        _git(request, body, directory)
    elif path and (directory / "files" / path.partition("/")[0]).exists():
        _file(request, directory / "files" / path)
    else:
        return False
    return True


def _file(request: http.server.BaseHTTPRequestHandler, path: Path) -> None:
    if path.is_dir():
        path /= "index.html"
    if not path.is_file():
        _send(request, HTTPStatus.NOT_FOUND, {"Content-Type": "text/plain"}, b"not here\n")
        return
    data, kind = path.read_bytes(), _TYPES.get(path.suffix)
    if kind:  # documents of registries name the host that they are asked at
        data = data.replace(b"@HOST@", (request.headers.get("Host") or "").encode())
    _send(request, HTTPStatus.OK, {"Content-Type": kind or "application/octet-stream"}, data)


def _git(request: http.server.BaseHTTPRequestHandler, body: bytes, directory: Path) -> None:
    """Have git-http-backend(1) answer."""
    parts = urlsplit(request.path)
    environ = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(directory / "git"),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": request.headers.get("Git-Protocol") or "",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "PATH_INFO": parts.path.removeprefix("/git"),
        "QUERY_STRING": parts.query,
        "REQUEST_METHOD": request.command,
        "CONTENT_TYPE": request.headers.get("Content-Type") or "",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding") or "",
        "REMOTE_ADDR": request.client_address[0],
    }
    git = shutil.which("git") or "git"
    said = subprocess.run(
        [git, "http-backend"], env=environ, input=body, capture_output=True, check=False
    ).stdout
    head, _, data = said.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    _send(request, int(fields.pop("Status", "200").split()[0]), fields, data)


def _send(
    request: http.server.BaseHTTPRequestHandler, status: int, fields: dict[str, str], data: bytes
) -> None:
    request.send_response(status)
    for name, value in fields.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(data)
