"""The store of images: /var/lib/clsecure/images/<human>/<digest>/rootfs, one store a human.

Root alone writes there, so that nobody can change what somebody else, or a session, has pulled.
"""

from __future__ import annotations

import os
import select
import time

from . import syscalls as sc
from .imagerecords import (
    Image,
    ImageAdd,
    ImageAdded,
    ImageName,
    ImageRemove,
    Images,
)
from .imagestore import Store, all_images, hold, read, write
from .lean import socket
from .manifest import Configuration, Manifest, check_file, name_of
from .protocol import Refusal, Removed
from .unpacker import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Record

_MAX_REFERENCE = 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_NO_LINKS = sc.NO_LINKS | sc.RESOLVE_BENEATH
_DOCUMENTS = 2  # descriptors before the layers': manifest and configuration


class Tree:
    """An image as the file system of a box; as long as it is open nobody can remove it."""

    def __init__(self, image: Image, rootfs: int, held: int) -> None:
        self.image = image
        self.rootfs = rootfs  # a descriptor of the directory: owners and modes as in the image
        self.held = held  # a descriptor whose lock counts until its last copy is closed

    def close(self) -> None:
        """Let others remove it, unless a copy of `held` is open in another process."""
        os.close(self.rootfs)
        os.close(self.held)


def tree(human: int, digest: str) -> Tree:
    """Open an image of that human's; raises Refusal where there is none."""
    held = hold(human, name_of(digest))
    image = None if held is None else read(held)
    if held is None or image is None:
        raise Refusal("the image is not there", hint="clsecure image pull REFERENCE", code=4)
    return Tree(image, sc.openat2(held, "rootfs", _DIRECTORY, resolve=_NO_LINKS), held)


def answer(request: Record, descriptors: list[int], human: int, control: socket.socket) -> Record:
    """Carry out a request on that human's images; raises Refusal and OSError."""
    if isinstance(request, ImageAdd):
        return _add(request, descriptors, human, control)
    if isinstance(request, ImageName):
        return _name(request, human, control)
    if isinstance(request, ImageRemove):
        return _remove(request, human, control)
    return Images(images=all_images(human))


def _add(
    request: ImageAdd, descriptors: list[int], human: int, control: socket.socket
) -> ImageAdded:
    name = name_of(request.digest)
    _check_reference(request.reference)
    if len(descriptors) < _DOCUMENTS:
        raise Refusal("an image needs a manifest and a configuration", code=2)
    for descriptor in descriptors:
        check_file(descriptor)
    manifest = Manifest(descriptors[0], request.digest)
    config = Configuration(descriptors[1], manifest)
    blobs = descriptors[_DOCUMENTS:]
    if len(blobs) != len(manifest.layers):
        raise Refusal("the image's manifest counts other layers than there are", code=2)
    with _locked(human, control) as store:
        found = store.find(name)
        if found is not None:
            return ImageAdded(image=store.rename(found, request.reference))
        store.clear(name)
        with store.making() as new:
            os.mkdir("rootfs", 0o755, dir_fd=new)
            root = os.open("rootfs", _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=new)
            try:
                packed = tuple(zip(blobs, manifest.layers, config.contents, strict=True))
                unpacked = unpack(root, packed, control)
            finally:
                os.close(root)
            image = Image(
                digest=request.digest,
                references=(request.reference,),
                size=unpacked.size,
                entries=unpacked.entries,
                architecture=config.architecture,
                environment=config.environment,
                entrypoint=config.entrypoint,
                command=config.command,
                directory=config.directory,
                created=config.created,
                pulled=int(time.time()),
            )
            write(new, image)
            sc.write_out(new)  # or a power cut could leave files without their content
            store.finish(name)
        return ImageAdded(image=store.rename(image, request.reference), left_out=unpacked.left_out)


def _name(request: ImageName, human: int, control: socket.socket) -> ImageAdded:
    name = name_of(request.digest)
    _check_reference(request.reference)
    with _locked(human, control) as store:
        found = store.find(name)
        if found is None:
            raise Refusal("the image is not there", code=4)
        return ImageAdded(image=store.rename(found, request.reference))


def _remove(request: ImageRemove, human: int, control: socket.socket) -> Removed:
    name = name_of(request.digest)
    with _locked(human, control) as store:
        store.remove(name)
    return Removed()


def _check_reference(reference: str) -> None:
    if not 0 < len(reference) <= _MAX_REFERENCE or not reference.isprintable():
        raise Refusal("an image's reference is a line of text", code=2)


def _locked(human: int, control: socket.socket) -> Store:
    # Another pull may take minutes; whoever hangs up meanwhile does not wait for it.
    while True:
        store = Store.open(human)
        if store is not None:
            return store
        if select.select([control], [], [], 0.1)[0]:
            raise Refusal("given up while another image was being added", code=5)
