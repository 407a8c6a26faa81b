"""A layer's blob as a stream: unpacked while it is read, both of its digests taken on the way.

OCI image-spec 1.1, layer.md; RFC 1952 for gzip, of which a file can have several members.
"""

from __future__ import annotations

import hashlib
import os
import zlib

from .protocol import Refusal

_CHUNK = 1 << 20  # bytes
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib.h, inflateInit2: a header and trailer of gzip


class Layer:
    """What a layer holds, from its first byte to its last; a blob is read once."""

    def __init__(self, descriptor: int) -> None:
        """Begin with the blob's first byte, wherever its offset is; raises Refusal, OSError."""
        self._descriptor, self._offset = descriptor, 0
        self._packed, self._content = hashlib.sha256(), hashlib.sha256()
        self._rest = b""  # unpacked, and not handed on yet
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
        """Return that many bytes, fewer only at the end; raises Refusal and OSError."""
        parts = [self._rest]
        missing = size - len(self._rest)
        while missing > 0 and (part := self._next()):
            parts.append(part)
            missing -= len(part)
        everything = b"".join(parts)
        self._rest = everything[size:]
        return everything[:size]

    def finish(self, packed: str, content: str) -> None:
        """Read to the end and compare both digests; raises Refusal and OSError."""
        while self._next():
            pass
        if f"sha256:{self._packed.hexdigest()}" != packed:
            raise Refusal("a layer does not have the digest that the manifest names", code=3)
        if f"sha256:{self._content.hexdigest()}" != content:
            raise Refusal("a layer's content does not have the configuration's digest", code=3)

    def _next(self) -> bytes:
        part = self._inflated() if self._is_packed else self._blob()
        self._content.update(part)
        return part

    def _blob(self) -> bytes:
        part = os.pread(self._descriptor, _CHUNK, self._offset)
        self._offset += len(part)
        self._packed.update(part)
        return part

    def _inflated(self) -> bytes:
        # At most a chunk at a time: a megabyte can hold a thousand of them.
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
                part = self._inflater.decompress(waiting, _CHUNK)
            except zlib.error:
                raise Refusal("a layer is damaged", code=3) from None
            self._waiting = self._inflater.unconsumed_tail
            if part:
                return part
