"""A layer's blob as a stream: unpacked while it is read, both of its digests taken on the way.

OCI image-spec 1.1, layer.md; RFC 1952 for gzip, of which a file can have several members.
"""

from __future__ import annotations

import hashlib
import os
import zlib

from .protocol import Refusal

CHUNK = 1 << 16  # bytes; tarfile copies what it has of one for each small thing that it reads
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib.h, inflateInit2: a header and trailer of gzip


class Layer:
    """What a layer holds, from its first byte to its last; a blob is read once."""

    def __init__(self, descriptor: int) -> None:
        """Begin with the blob's first byte, wherever its offset is; raises Refusal, OSError."""
        self._descriptor, self._offset = descriptor, 0
        self._packed, self._content = hashlib.sha256(), hashlib.sha256()
        start = os.pread(descriptor, len(_ZSTD), 0)
        if start == _ZSTD:
            raise Refusal(
                "a layer is packed with zstd, which is not understood here",
                hint="push the image with layers packed by gzip",
                code=2,
            )
        self._is_packed = start.startswith(_GZIP)
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        self._waiting = b""  # packed, and not inflated yet

    def read(self, size: int) -> bytes:
        """Return at most that many bytes, none only at the end; raises Refusal and OSError."""
        most = min(size, CHUNK)
        part = self._inflated(most) if self._is_packed else self._blob(most)
        self._content.update(part)
        return part

    def finish(self, packed: str, content: str) -> None:
        """Read to the end and compare both digests; raises Refusal and OSError."""
        while self.read(CHUNK):
            pass
        if f"sha256:{self._packed.hexdigest()}" != packed:
            raise Refusal("a layer does not have the digest that the manifest names", code=3)
        if f"sha256:{self._content.hexdigest()}" != content:
            raise Refusal("a layer's content does not have the configuration's digest", code=3)

    def _blob(self, most: int = CHUNK) -> bytes:
        part = os.pread(self._descriptor, most, self._offset)
        self._offset += len(part)
        self._packed.update(part)
        return part

    def _inflated(self, most: int) -> bytes:
        # No more at a time: a chunk can hold a thousand of them.
        while True:
            if self._inflater.eof:
                self._waiting = self._inflater.unused_data or self._blob()
                if not self._waiting:
                    return b""
                self._inflater = zlib.decompressobj(_GZIP_WINDOW)
            waiting = self._waiting or self._blob()
            if not waiting:
                raise Refusal("a layer is cut short", code=3)
            try:
                part = self._inflater.decompress(waiting, most)
            except zlib.error:
                raise Refusal("a layer is damaged", code=3) from None
            self._waiting = self._inflater.unconsumed_tail
            if part:
                return part
