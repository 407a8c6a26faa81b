"""clsecure runs coding agents as a Linux user of their own, in a box, on a copy-on-write view."""

__version__ = "0.1.0"
