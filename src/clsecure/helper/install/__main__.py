"""Started by `clsecure setup`, as root: install | remove, and the user id that gets a sudo rule."""

import os
import sys

if __name__ == "__main__":
    # Run by path under -IS, as the helper is; the first entry of the path is this directory.
    package = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    sys.path[0] = os.path.dirname(package)
    name = f"{os.path.basename(package)}.install.actions"
    sys.exit(__import__(name, fromlist=["main"]).main(sys.argv[1:]))
