"""Runs in the box as the worker, before an agent's first start there: writes files it would miss.

They come in a variable, as a JSON object from paths in the home to texts, which is not handed on.
What is there already stays. The arguments are the command, which takes this program's place.
"""

from __future__ import annotations

import json
import os
import sys

FILES = "CLSECURE_FIRST_FILES"


def main() -> None:
    """Write what is missing and become the command."""
    home, files = os.environ["HOME"], json.loads(os.environ.pop(FILES))
    for name, text in files.items():
        path = f"{home}/{name}"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            sys.stderr.write(f"clsecure: {name} cannot be made: {error.strerror}\n")
            continue
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
