"""What is said about images between clsecure and its root helper."""

from __future__ import annotations

from .records import Record

# Blobs arrive as one descriptor each, and the manifest and the configuration are two of them.
MAX_LAYERS = 128


class Image(Record):
    """An image in a human's store, as root remembers it.

    What comes from the image's configuration (everything from `architecture` to `created`) is the
    word of whoever made the image. OCI image-spec, config.md.
    """

    digest: str  # of its manifest: "sha256:" and 64 hexadecimal digits
    references: tuple[str, ...]  # the names under which this human has pulled it
    size: int  # bytes on the disk, unpacked
    entries: int  # files, directories and links
    architecture: str
    environment: tuple[str, ...]  # NAME=value
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    directory: str  # where a program starts; empty: /
    created: str  # as the image says it: RFC 3339, or empty
    pulled: int  # seconds since the epoch
    running: bool = False  # a box that stands has it as its file system


class ImageAdd(Record):
    """Unpack an image into this human's store. Answered by ImageAdded.

    Descriptors come with it: the manifest, the configuration, then each layer, the lowest first.
    They are plain files; root reads each of them once.
    """

    digest: str
    reference: str


class ImageName(Record):
    """Give an image that is there one more name, which it takes from others. See ImageAdded."""

    digest: str
    reference: str


class ImageList(Record):
    """All images of this human. Answered by Images."""


class ImageRemove(Record):
    """Remove an image. Answered by Removed."""

    digest: str


class ImageAdded(Record):
    """Answer to ImageAdd and ImageName; `left_out`: devices and pipes that were not made."""

    image: Image
    left_out: int = 0


class Images(Record):
    """Answer to ImageList."""

    images: tuple[Image, ...]


class Unpacked(Record):
    """From the process that unpacks to the helper: all layers are there, their digests right."""

    size: int
    entries: int
    left_out: int


IMAGE_REQUESTS = (ImageAdd, ImageName, ImageList, ImageRemove)
IMAGE_ANSWERS = (ImageAdded, Images)
