"""`python -m clsecure`: the same as the `clsecure` command."""

import sys

from clsecure.cli import main

sys.exit(main())
