"""What is said of a partial clone: how the session gets what git has not fetched."""

from __future__ import annotations

from clsecure.choices import Network
from clsecure.config import Config
from clsecure.output import escape

_FIRST = "fetch it first: git fetch --refetch --no-filter"


def lacking(url: str, config: Config) -> str:
    """Return the warning for a partial clone of the repository at `url`."""
    from urllib.parse import urlsplit

    begin = "a partial clone: of other commits, git lacks what it has not fetched"
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname or ""
    except ValueError:
        scheme, host = "", ""
    if scheme not in {"http", "https"} or config.network is Network.NONE:
        return f"{begin}, and cannot fetch it in the box; {_FIRST}"
    fetches = f"{begin}; in the box it fetches from {escape(host)}"
    without = "without your password"
    if config.network is Network.OPEN or host in config.allow:
        return f"{fetches}, {without}"
    return f"{fetches} with --allow {escape(host)}, {without}; or {_FIRST}"
