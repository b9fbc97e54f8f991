"""Answers of the service, put together from the shapes that are declared for them."""

from __future__ import annotations

import json
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict


def answer(shape: Any, **known: Any) -> bytes:
    """The JSON of an answer of this shape: what is known, and the least for all the rest."""
    return json.dumps({**_least(shape), **known}).encode()


def _least(shape: Any) -> Any:
    if is_typeddict(shape):
        return {name: _least(hint) for name, hint in get_type_hints(shape).items()}
    origin = get_origin(shape)
    if origin in (list, dict):
        return origin()
    if type(None) in get_args(shape):
        return None
    return shape()
