"""Whether a value from elsewhere has the shape that is declared for it, down to the last member."""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

_LARGEST = 2**63


def fits(value: object, shape: Any) -> bool:
    """True when JSON is what a TypedDict, list, dict, union or plain type says; more is no harm."""
    if is_typeddict(shape):
        hints = _hints(shape)
        return isinstance(value, dict) and all(
            name in value and fits(value[name], hint) for name, hint in hints.items()
        )
    origin, inner = get_origin(shape), get_args(shape)
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in inner)
    if origin is list:
        return isinstance(value, list) and all(fits(each, inner[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(each, inner[1]) for each in value.values())
    return _is_plain(value, shape)


def _is_plain(value: object, shape: type) -> bool:
    if shape in (int, float):
        kinds = (int,) if shape is int else (int, float)
        # Python reads NaN and endless numbers, too, with which nothing can be reckoned.
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        return is_number and -_LARGEST < value < _LARGEST  # type: ignore[operator]
    return isinstance(value, NoneType if shape is None else shape)


@cache
def _hints(shape: type) -> dict[str, Any]:
    return get_type_hints(shape)
