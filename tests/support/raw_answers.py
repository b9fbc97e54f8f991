"""Answers for an upstream of the tests, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ingest_app.items import FetchedRecord, ItemId
from ingest_app.states import RecordOutcome
from tests.support.raw_upstream import Answer, Exchange


def know_all(exchange: Exchange) -> None:
    """Every ID of `/items/{id}` and `/items?ids={ids}` has an item."""
    parts = urlsplit(exchange.path)
    given = parse_qs(parts.query).get("ids")
    if given:
        exchange.reply([{"id": item} for item in given[0].split(",")])
    else:
        exchange.reply({"id": parts.path.rpartition("/")[2]})


def answers(*, by_path: dict[str, Answer]) -> Answer:
    """Answers otherwise for some paths, and as `know_all` for all others."""
    return lambda exchange: by_path.get(exchange.path, know_all)(exchange)


def reply(*args: Any, **kwargs: Any) -> Answer:
    """What `Exchange.reply` makes of this."""
    return lambda exchange: exchange.reply(*args, **kwargs)


def raw(content: bytes) -> Answer:
    """Just these bytes, and the end of the connection."""
    return lambda exchange: exchange.raw(content)


def outcomes(records: Sequence[FetchedRecord]) -> list[tuple[ItemId, RecordOutcome]]:
    return [(record.item_id, record.outcome) for record in records]
