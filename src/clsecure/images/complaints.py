"""What skopeo complains of, as a line and what to do next.

It ends with `level=fatal msg="…"` on standard error. Its wording is not promised: what is not known
here is passed on as it is.
"""

from __future__ import annotations

import re

from clsecure.errors import ExitCode, UserError
from clsecure.images.reference import Reference

_FATAL = re.compile(r'level=fatal msg="((?:[^"\\]|\\.)*)"')
_LONGEST = 300  # characters

# What it says, what that means, what to do, and the code; the first that fits counts.
_KNOWN: tuple[tuple[str, str, str, ExitCode], ...] = (
    (
        r"no space left on device|disk quota exceeded",
        "there is no room to fetch {name}",
        "make room in /var/tmp, or set TMPDIR to a directory that has some",
        ExitCode.MISSING,
    ),
    (
        r"digest did not match|doesn't match the digest|does not match|digest mismatch",
        "what the registry sent for {name} does not have the digest that it should have",
        "the registry's copy is damaged or was changed; push the image again",
        ExitCode.REFUSED,
    ),
    (
        r"unexpected EOF|unexpected end of|connection reset|bytes remaining",
        "a part of {name} was cut short",
        "try again; if it stays so, push the image again",
        ExitCode.FAILURE,
    ),
    (
        r"connection refused|no such host|i/o timeout|no route to host|unreachable|TLS handshake",
        "the registry of {name} cannot be reached",
        "check its address and your network",
        ExitCode.FAILURE,
    ),
    (
        r"blob unknown",
        "the registry has lost a part of {name}",
        "push the image again",
        ExitCode.FAILURE,
    ),
    (
        r"unauthorized|authentication required|denied|403",
        "the registry does not let you have {name}, or there is no such image",
        "skopeo login {host}",
        ExitCode.REFUSED,
    ),
    (
        r"manifest unknown|name unknown|not found|404",
        "there is no image {name}",
        "check its name and tag",
        ExitCode.USAGE,
    ),
    (
        r"no image found in (manifest list|image index)",
        "{name} is not made for this machine's architecture",
        "take an image that is",
        ExitCode.USAGE,
    ),
)


def explain(said: str, source: Reference) -> UserError:
    """Return the error for what skopeo said on its standard error."""
    fatal = _FATAL.findall(said)
    lines = said.split("\n")
    message = fatal[-1] if fatal else next((line for line in reversed(lines) if line.strip()), "")
    for pattern, what, hint, code in _KNOWN:
        if re.search(pattern, message, re.IGNORECASE):
            names = {"name": source.name, "host": source.host}
            return UserError(what.format(**names), hint=hint.format(**names), code=code)
    plain = message.replace('\\"', '"')[-_LONGEST:]
    return UserError(f"{source.name} cannot be fetched: {plain or 'skopeo says nothing'}")
