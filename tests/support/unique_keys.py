"""A hook of schemathesis: whether a key is new is not in the document, so every valid one is."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import schemathesis

from ingest_app.web.parsing import IDEMPOTENCY_KEY_PATTERN

_HEADER = "Idempotency-Key"
_ROOM = 255 - 32


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """Make the key of a request one that was not sent before; one that is not valid stays."""
    key = (case.headers or {}).get(_HEADER)
    found = re.fullmatch(IDEMPOTENCY_KEY_PATTERN, key) if isinstance(key, str) else None
    # The longest stay as they are; they hardly ever come again.
    if found and len(key) <= _ROOM:
        case.headers[_HEADER] = f'{key[:-1]}{uuid4().hex}"' if found[1] else key + uuid4().hex
