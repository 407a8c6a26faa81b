"""The root helper: standard input is a socketpair to clsecure. Takes no arguments."""

import gc
import os
import sys

if __name__ == "__main__":
    gc.set_threshold(50_000)  # none comes of loading, which would look for it a dozen times
    # Run by path under -IS, so that nothing but the standard library and this package is
    # importable.
    package = os.path.dirname(os.path.realpath(__file__))
    sys.path.insert(0, os.path.dirname(package))
    name = os.path.basename(package)
    sys.exit(__import__(f"{name}.loop", fromlist=["main"]).main())
