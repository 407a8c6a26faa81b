"""The parts of `ctypes` that are written in C, without its package, which takes 2 ms to import.

Under the package's own names, which it takes from there, too. As in `lean`: the helper runs on the
distribution's CPython.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import (
        CDLL,
        Structure,
        addressof,
        byref,
        c_char_p,
        c_long,
        c_uint32,
        c_uint64,
        c_ulong,
        c_ushort,
        create_string_buffer,
        get_errno,
        sizeof,
    )

    library = CDLL(None, use_errno=True)
else:
    import _ctypes
    from _ctypes import Structure, addressof, byref, get_errno, sizeof

    def _simple(code: str) -> type:
        return type(f"c_{code}", (_ctypes._SimpleCData,), {"_type_": code})  # noqa: SLF001

    c_char, c_ushort, c_int, c_uint32 = map(_simple, "cHiI")  # as in the module `struct`
    c_long, c_ulong, c_char_p = map(_simple, "lLz")
    c_uint64 = c_ulong  # a register's width, on both machines

    class _Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = c_int

    class _Library:
        """The C library's functions; `restype` of each is int unless it is set."""

        def __getattr__(self, name: str) -> _Function:
            function = _Function(_ctypes.dlsym(_loaded, name))
            setattr(self, name, function)
            return function

    _loaded = _ctypes.dlopen(None, 0)
    library = _Library()

    def create_string_buffer(content: bytes) -> _ctypes.Array:
        """Return memory that holds these bytes, and a zero behind them."""
        return (c_char * (len(content) + 1)).from_buffer_copy(content + b"\0")


__all__ = [
    "Structure",
    "addressof",
    "byref",
    "c_char_p",
    "c_long",
    "c_uint32",
    "c_uint64",
    "c_ulong",
    "c_ushort",
    "create_string_buffer",
    "get_errno",
    "library",
    "sizeof",
]
