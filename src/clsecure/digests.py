"""SHA-256 without `hashlib`, whose OpenSSL takes 3 ms to load: a start digests a few words."""

from __future__ import annotations


def sha256(content: bytes) -> str:
    """Return the digest in hexadecimal digits."""
    return _new(content).hexdigest()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256 as _new
else:
    try:
        from _sha2 import sha256 as _new
    except ImportError:  # until 3.11
        try:
            from _sha256 import sha256 as _new
        except ImportError:  # an interpreter with OpenSSL's alone
            from hashlib import sha256 as _new
