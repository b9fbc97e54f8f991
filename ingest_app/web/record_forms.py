"""Records as text: NDJSON, CSV, or a page of JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

from ingest_app.clock import instant
from ingest_app.queue.records import RecordLine

PAGE_LENGTH = 8 * 1024 * 1024
"""A page of JSON ends when it has so many characters, however few its records are."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def ndjson(parts: Iterable[Sequence[RecordLine]]) -> Iterator[str]:
    """One JSON object a line (https://github.com/ndjson/ndjson-spec)."""
    for part in parts:
        yield "".join(f"{_object(line)}\n" for line in part)


def csv_text(parts: Iterable[Sequence[RecordLine]]) -> Iterator[str]:
    """CSV with a header row (RFC 4180); what a spreadsheet would take for a formula is quoted.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    yield _rows([("position", "id", "outcome", "data", "error", "fetched_at", "batch_id")])
    for part in parts:
        yield _rows(map(_row, part))


def json_page(parts: Iterable[Sequence[RecordLine]], limit: int) -> tuple[str, int | None]:
    """A page of at most `limit` records, and the position it ends at; None when that is the end."""
    objects: list[str] = []
    length = position = 0
    for line in (line for part in parts for line in part):
        if len(objects) == limit or length >= PAGE_LENGTH:
            return _page(objects), position
        objects.append(_object(line))
        length, position = length + len(objects[-1]), line.position
    return _page(objects), None


def _object(line: RecordLine) -> str:
    # Stored ids and data are JSON already; reading and writing them again would take most of
    # the time.
    error = "null" if line.error is None else json.dumps(line.error)
    return (
        f'{{"position":{line.position},"id":{line.item_id},"outcome":"{line.outcome}",'
        f'"data":{line.data or "null"},"error":{error},"fetched_at":"{instant(line.fetched_at)}",'
        f'"batch_id":"{line.batch_id}"}}'
    )


def _page(objects: Sequence[str]) -> str:
    return f'{{"records":[{",".join(objects)}]}}'


def _rows(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _row(line: RecordLine) -> tuple[object, ...]:
    is_text = line.item_id.startswith('"')
    return (
        line.position,
        _defused(json.loads(line.item_id)) if is_text else line.item_id,
        line.outcome,
        line.data,
        line.error and _defused(line.error),
        instant(line.fetched_at),
        line.batch_id,
    )


def _defused(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
