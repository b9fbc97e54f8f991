"""From the body of an answer to what it says about each ID. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ingest_app.items import FetchedRecord, ItemId
from ingest_app.states import RecordOutcome

_DEEPEST = 100
"""Deeper nesting than any data has; more could not be written again, or by others not be read."""


class UnexpectedAnswer(ValueError):
    """An answer is not what the settings say."""


class SameIdTwice(ValueError):
    """Which of several items is meant cannot be told."""


def parse(body: bytes) -> Any:
    """The JSON value of a body (UnexpectedAnswer when it is none that can be kept)."""
    if not body.strip():
        raise UnexpectedAnswer("the answer is empty")
    try:
        value = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise UnexpectedAnswer("the answer is not JSON") from None
    if not _is_shallow(value):
        raise UnexpectedAnswer("the answer is nested too deeply")
    return value


def records_of_all(
    answer: Any, ids: Sequence[ItemId], *, items: str, id_field: str
) -> dict[ItemId, FetchedRecord]:
    """A record for each of `ids` from the answer for all of them; without an item it is missing.

    items: where they are, as in "result.items"; empty for the answer itself.
    Raises UnexpectedAnswer for another shape, SameIdTwice when several items have one of the IDs.
    """
    found = _at(answer, items)
    if not isinstance(found, list):
        raise UnexpectedAnswer(f"there is no list of items {_place(items)}")
    by_text = _by_text(found, id_field)
    return {item: _record(item, by_text, id_field) for item in ids}


def record_of_one(answer: Any, item: ItemId, *, items: str, id_field: str) -> FetchedRecord:
    """The record of one ID from the answer for it alone: missing if it holds null, or no such item.

    Raises UnexpectedAnswer for another shape; when several items have the ID the record says so.
    """
    found = _at(answer, items)
    if not isinstance(found, list):
        return missing(item) if found is None else _fetched(item, found)
    try:
        return _record(item, _by_text(found, id_field), id_field)
    except SameIdTwice as error:
        return failed(item, str(error))


def missing(item: ItemId) -> FetchedRecord:
    """The record of an ID that the upstream does not have."""
    return FetchedRecord(item, RecordOutcome.MISSING, error="The upstream does not have it.")


def failed(item: ItemId, error: str) -> FetchedRecord:
    """The record of an ID that cannot be fetched."""
    return FetchedRecord(item, RecordOutcome.ERROR, error=error)


def _refuse_constant(_name: str) -> None:
    raise ValueError("JSON has neither NaN nor Infinity")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("too large a number")
    return value


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            below
            for above in level
            if isinstance(above, list | dict)
            for below in (above.values() if isinstance(above, dict) else above)
        ]
        if not level:
            return True
    return False


def _at(answer: Any, path: str) -> Any:
    """What stands at a dotted path; None as soon as null stands there (UnexpectedAnswer)."""
    for name in path.split(".") if path else ():
        if answer is None:
            return None
        if not isinstance(answer, dict) or name not in answer:
            raise UnexpectedAnswer(f"there is nothing {_place(path)}")
        answer = answer[name]
    return answer


def _place(path: str) -> str:
    return f'at "{path}" in the answer' if path else "in the answer"


def _by_text(items: Sequence[Any], id_field: str) -> Mapping[str, Sequence[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        if not isinstance(item, dict) or _id_of(item, id_field) is None:
            raise UnexpectedAnswer(f'an item is not an object with an ID under "{id_field}"')
        found.setdefault(str(_id_of(item, id_field)), []).append(item)
    return found


def _id_of(item: Mapping[str, Any], id_field: str) -> ItemId | None:
    value = item.get(id_field)
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 5.0 is the same number in JSON as 5
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _record(
    item: ItemId, by_text: Mapping[str, Sequence[dict[str, Any]]], id_field: str
) -> FetchedRecord:
    alike = by_text.get(str(item), ())
    # Upstreams write 5 as "5" and the other way round; where they tell them apart, so do we.
    same = [one for one in alike if _id_of(one, id_field) == item] or alike
    if len(same) > 1:
        raise SameIdTwice(f'several items have the same ID under "{id_field}"')
    return _fetched(item, same[0]) if same else missing(item)


def _fetched(item: ItemId, data: Any) -> FetchedRecord:
    return FetchedRecord(item, RecordOutcome.FETCHED, data=data)
