"""Frozen records that read themselves from JSON, checking the type of every field.

Like dataclasses, which alone would double the helper's start-up time.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_options: bool) -> Callable[[type], type]:
        """Stand in for typing's, which is for type checkers alone."""
        return lambda cls: cls


MAX_TEXT = 1 << 20
MAX_ITEMS = 200_000

_KINDS: dict[str, type[Record]] = {}


class BadField(ValueError):
    """A message does not have the shape that it must have; the text names the field."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record:
    """A frozen record whose fields are the annotations of the class.

    Field types are str, int, bool, tuple[str, ...], tuple[int, ...], another record, a tuple of
    one, and `| None` of each.
    """

    __slots__ = ("__dict__",)
    _fields: tuple[tuple[str, str], ...] = ()

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(
            (name, str(kind)) for name, kind in cls.__annotations__.items() if name[0] != "_"
        )
        _KINDS[cls.__name__] = cls

    def __init__(self, **values: Any) -> None:
        for name, _ in self._fields:
            if name in values:
                self.__dict__[name] = values.pop(name)
            elif hasattr(type(self), name):
                self.__dict__[name] = getattr(type(self), name)
            else:
                raise TypeError(f"{type(self).__name__} needs {name}")
        if values:
            raise TypeError(f"{type(self).__name__} has no {next(iter(values))}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is read-only")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.items()))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={self.__dict__[name]!r}" for name, _ in self._fields)
        return f"{type(self).__name__}({inside})"

    def replace(self, **values: Any) -> Self:
        """Return a copy with other values in some fields."""
        return type(self)(**{**self.__dict__, **values})

    def to_json(self) -> dict[str, Any]:
        """Return a plain object of JSON's kinds."""
        return {name: _plain(self.__dict__[name]) for name, _ in self._fields}

    @classmethod
    def from_json(cls, document: object) -> Self:
        """Read a record from what was read as JSON; raises BadField."""
        if not isinstance(document, dict):
            raise BadField(f"{cls.__name__}: not an object")
        known = dict(cls._fields)
        for name in document:
            if name not in known:
                raise BadField(f"{cls.__name__}: unknown field {name!r}")
        values = {}
        for name, kind in cls._fields:
            if name in document:
                values[name] = _read(kind, document[name], f"{cls.__name__}.{name}")
            elif not hasattr(cls, name):
                raise BadField(f"{cls.__name__}: {name} is missing")
        return cls(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _read(kind: str, value: Any, where: str) -> Any:
    if kind.endswith(" | None"):
        return None if value is None else _read(kind.removesuffix(" | None"), value, where)
    if kind.startswith("tuple["):
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise BadField(f"{where}: not a list")
        inner = kind[len("tuple[") :].removesuffix(", ...]")
        return tuple(_read(inner, item, where) for item in value)
    if kind in _KINDS:
        return _KINDS[kind].from_json(value)
    return _SCALARS[kind](value, where)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
        raise BadField(f"{where}: not a text")
    try:
        value.encode("utf-8", "surrogateescape")  # as a path it must have bytes
    except UnicodeEncodeError:
        raise BadField(f"{where}: not a text") from None
    return value


def _number(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadField(f"{where}: not a number")
    return value


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise BadField(f"{where}: not true or false")
    return value


_SCALARS: dict[str, Callable[[object, str], Any]] = {"str": _text, "int": _number, "bool": _flag}
