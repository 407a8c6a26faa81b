"""Addresses of git repositories: without the credentials in them, and whose host they name."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^/\s]*)@")
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^/]*@)?(\[[^\]/]*\]|[^/:]*)(?::([0-9]{1,5}))?/?"
)
_SCP = re.compile(r"(?:[^@/:]*@)?(\[[^\]/]*\]|[^/:]+):")  # git-clone(1), "GIT URLS"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # of the path of a repository on GitHub
_PORTS = {"https": 443, "http": 80, "git": 9418, "file": 0}
_SSH = 22


def without_credentials(text: str) -> str:
    """Drop `user:password@` from addresses in `text`; an ssh user, which is no secret, stays."""

    def replaced(match: re.Match[str]) -> str:
        scheme, userinfo = match[1], match[2]
        if "ssh" in scheme.lower():
            return f"{scheme}{userinfo.partition(':')[0]}@"
        return scheme

    return _USERINFO.sub(replaced, text)


def repository_of(address: str) -> str:
    """Return HOST/OWNER/NAME of an address whose path has these two parts; else ""."""
    rest = address[found.end() :] if (found := _URL.match(address) or _SCP.match(address)) else ""
    parts = rest.strip("/").removesuffix(".git").split("/")
    if len(parts) != 2 or not all(_PART.fullmatch(part) for part in parts):  # noqa: PLR2004
        return ""
    return f"{place_of(address)[0]}/{parts[0]}/{parts[1]}"


def place_of(address: str) -> tuple[str, int]:
    """Return the host and port of an address; ("localhost", 0) for a path of this machine."""
    if found := _URL.match(address):
        scheme, host, port = found[1].lower(), found[2].strip("[]").lower(), found[3]
        return host or "localhost", int(port) if port else _PORTS.get(scheme, _SSH)
    if found := _SCP.match(address):
        return found[1].strip("[]").lower(), _SSH
    return "localhost", 0
