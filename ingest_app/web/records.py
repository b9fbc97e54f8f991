"""`GET /ingestions/<ingestion_id>/records`: what was fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any

from flask import Response, request, url_for
from werkzeug.exceptions import NotAcceptable

from ingest_app.queue.records import IngestionRecords, RecordLine, find_records
from ingest_app.runtime import current_runtime
from ingest_app.states import Role
from ingest_app.web.access import requires
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.entries import RECORDS_DEFAULT, RecordPageSchema, RecordsQuerySchema
from ingest_app.web.record_forms import csv_text, json_page, ndjson
from ingest_app.web.schemas import INGESTION_ID_SCHEMA

blueprint = Blueprint("records", __name__, description="What was fetched.")

_JSON, _NDJSON, _CSV = "application/json", "application/x-ndjson", "text/csv"
_CONTENT_TYPES = {"json": _JSON, "ndjson": _NDJSON, "csv": _CSV}
Write = Callable[[Iterable[Sequence[RecordLine]]], Iterator[str]]
_STREAMS: dict[str, Write] = {"ndjson": ndjson, "csv": csv_text}

_EXAMPLE = {
    "records": [
        {
            "position": 1,
            "id": 7,
            "outcome": "fetched",
            "data": {"id": 7, "name": "Lamp"},
            "error": None,
            "fetched_at": "2026-11-24T05:15:48.061217Z",
            "batch_id": "mfrggzdfmztwq2lkmfrggzdf-1",
        }
    ]
}
_TEXT_EXAMPLES = {
    _NDJSON: (
        '{"position":1,"id":7,"outcome":"fetched","data":{"id":7,"name":"Lamp"},"error":null,'
        '"fetched_at":"2026-11-24T05:15:48.061217Z","batch_id":"mfrggzdfmztwq2lkmfrggzdf-1"}\n'
    ),
    _CSV: (
        "position,id,outcome,data,error,fetched_at,batch_id\r\n"
        '1,7,fetched,"{""id"":7,""name"":""Lamp""}",,2026-11-24T05:15:48.061217Z,'
        "mfrggzdfmztwq2lkmfrggzdf-1\r\n"
    ),
}
_HEADERS = {
    "Link": {
        "description": 'With JSON: the next records, as `rel="next"`, while more are known.',
        "schema": {"type": "string"},
    },
    "Content-Disposition": {
        "description": "With NDJSON and CSV: a name for the file.",
        "schema": {"type": "string"},
    },
}
_PATH = {"in": "path", "name": "ingestion_id", "required": True, "schema": INGESTION_ID_SCHEMA}
_TEXTS = {
    content_type: {"schema": {"type": "string"}, "example": example}
    for content_type, example in _TEXT_EXAMPLES.items()
}


@blueprint.get("/ingestions/<ingestion_id>/records", parameters=[_PATH])
@requires(Role.READER)
@blueprint.etag
@blueprint.arguments(RecordsQuerySchema(), location="query")
@blueprint.response(200, RecordPageSchema(), example=_EXAMPLE, headers=_HEADERS)
@blueprint.doc(
    operationId="records",
    responses={
        200: {"content": _TEXTS},
        **answers(
            HTTPStatus.NOT_FOUND,
            HTTPStatus.NOT_ACCEPTABLE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
def records(query: dict[str, Any], ingestion_id: str) -> Response:
    """Hand out what was fetched so far, in the order of the request.

    Pages of JSON; with `Accept: application/x-ndjson` or `text/csv` all of it as a stream. In CSV
    an apostrophe stands before an ID or error that a spreadsheet would take for a formula (first
    character = + - @, tab or carriage return); NDJSON is the exact form.
    """
    form = query.pop("format", None) or _accepted_form()
    found = find_records(current_runtime().database, ingestion_id)
    response = _page(found, query) if form == "json" else _stream(found, query, form)
    response.vary.add("Accept")
    return response


def _accepted_form() -> str:
    accepted = request.accept_mimetypes
    best = accepted.best_match(_CONTENT_TYPES.values()) if accepted else _JSON
    if best is None:
        raise NotAcceptable(f"Accept {_JSON}, {_NDJSON} or {_CSV}.")
    return next(form for form, content_type in _CONTENT_TYPES.items() if content_type == best)


def _page(found: IngestionRecords, query: dict[str, Any]) -> Response:
    limit = query.pop("limit", RECORDS_DEFAULT)
    # One more than asked for, to know whether there is a next page.
    text, next_after = json_page(found.read(**query, limit=limit + 1), limit)
    response = Response(text, content_type=_JSON)
    if next_after is not None:
        query = {**query, "after": next_after, "limit": limit, "format": request.args.get("format")}
        address = url_for("records.records", ingestion_id=found.ingestion_id, **query)
        response.headers["Link"] = f'<{address}>; rel="next"'
    return response


def _stream(found: IngestionRecords, query: dict[str, Any], form: str) -> Response:
    parts = found.read(**query)
    # The first before the answer begins: a fault of the database is still a problem then.
    first = next(parts, ())
    response = Response(_STREAMS[form](chain([first], parts)), mimetype=_CONTENT_TYPES[form])
    name = f"records-{found.ingestion_id}.{form}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
