"""The pre-receive hook of a mirror: asks the egress service, and says what it said.

Run by git as a program of its own, with nothing but the standard library, on a channel that it
inherits. The service checks each ref and pushes it on while git waits for this hook.
"""

from __future__ import annotations

import json
import os
import socket
import sys

MOST = 1 << 20  # bytes of a question or an answer
_OBJECTS = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")


def main() -> int:
    """Return the hook's exit code."""
    updates = sys.stdin.buffer.read(MOST + 1).decode("utf-8", "surrogateescape")
    # Where all refs are to be deleted, there are no objects.
    objects = {name: os.environ[name] for name in _OBJECTS if name in os.environ}
    question = {"updates": updates, "objects": objects}
    with socket.socket(fileno=int(os.environ["CLSECURE_CHANNEL"])) as channel:
        channel.sendall(json.dumps(question).encode("ascii") + b"\n")
        with channel.makefile("rb") as answers:
            answer = json.loads(answers.readline(MOST) or b'{"said": "no answer", "code": 1}')
    sys.stderr.write(answer["said"])
    return int(answer["code"])


if __name__ == "__main__":
    sys.exit(main())
