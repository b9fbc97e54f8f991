"""`/ingestions`: what was handed over, to list, to cancel and to retry."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from flask import url_for

from ingest_app.queue.control import cancel_ingestion, retry_ingestion
from ingest_app.queue.forecast import list_with_forecasts
from ingest_app.queue.listing import (
    MOST_LOOKED_AT,
    IngestionEntry,
    ListPage,
    Place,
    Wanted,
    list_ingestions,
    read_ingestion,
)
from ingest_app.runtime import current_runtime
from ingest_app.states import Role
from ingest_app.web.access import current_identity, requires
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.entries import (
    IngestionEntrySchema,
    ListQuerySchema,
    RetrySchema,
    cursor,
)
from ingest_app.web.forecast_entries import IngestionListSchema
from ingest_app.web.schemas import INGESTION_ID_SCHEMA

blueprint = Blueprint("ingestions", __name__, description="What was handed over.")

_EXAMPLE = {
    "ingestion_id": "mfrggzdfmztwq2lkmfrggzdf",
    "status": "triggered",
    "priority": "HIGH",
    "source": "default",
    "created_at": "2026-11-24T05:15:47.021306Z",
    "id_count": 5,
    "batch_count": 2,
    "counts": {"yet_to_start": 1, "triggered": 0, "completed": 1, "failed": 0, "cancelled": 0},
    "first_triggered_at": "2026-11-24T05:15:47.047735Z",
    "last_completed_at": "2026-11-24T05:15:48.061217Z",
    "cancelled_at": None,
}
_CANCELLED = {
    **_EXAMPLE,
    "status": "cancelled",
    "counts": {"yet_to_start": 0, "triggered": 0, "completed": 1, "failed": 0, "cancelled": 1},
    "last_completed_at": "2026-11-24T05:15:49.500813Z",
    "cancelled_at": "2026-11-24T05:15:49.500813Z",
}
_RETRY_EXAMPLES = {
    "failed": {"summary": "Only the IDs that failed", "value": {"ids": "failed"}},
    "all": {"summary": "All IDs of the failed batches", "value": {"ids": "all"}},
}
_HEADERS = {
    "Link": {
        "description": 'Where to go on, as `rel="next"`, while there may be more.',
        "schema": {"type": "string"},
    }
}
_PATH = {"in": "path", "name": "ingestion_id", "required": True, "schema": INGESTION_ID_SCHEMA}


@blueprint.get("/ingestions")
@requires(Role.READER)
@blueprint.etag
@blueprint.arguments(ListQuerySchema(), location="query")
@blueprint.response(
    200, IngestionListSchema(), example={"ingestions": [_EXAMPLE]}, headers=_HEADERS
)
@blueprint.doc(
    operationId="ingestions",
    description=(
        "A page ends early, even empty, when it has looked at"
        f" {MOST_LOOKED_AT} ingestions: follow its Link until there is none."
    ),
    responses=answers(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def ingestions(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List ingestions, newest first."""
    page, entries = _with_forecasts(query) if query["forecast"] else _without(query)
    headers = _link(query, page.next_after) if page.next_after else {}
    return {"ingestions": entries}, headers


@blueprint.get("/ingestions/<ingestion_id>", parameters=[_PATH])
@requires(Role.READER)
@blueprint.etag
@blueprint.response(200, IngestionEntrySchema(), example=_EXAMPLE)
@blueprint.doc(
    operationId="ingestion",
    responses=answers(
        HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
def ingestion(ingestion_id: str) -> IngestionEntry:
    """Tell the state of an ingestion, without its batches."""
    return read_ingestion(current_runtime().database, ingestion_id)


@blueprint.post("/ingestions/<ingestion_id>/cancel", parameters=[_PATH])
@requires(Role.SUBMITTER)
@blueprint.response(200, IngestionEntrySchema(), example=_CANCELLED)
@blueprint.doc(
    operationId="cancel",
    responses=answers(
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def cancel(ingestion_id: str) -> IngestionEntry:
    """Cancel the batches that wait.

    Those in flight end by themselves, and do not wait again; what was fetched is kept.
    """
    runtime = current_runtime()
    cancel_ingestion(runtime.database, ingestion_id, clock=runtime.clock)
    return read_ingestion(runtime.database, ingestion_id)


@blueprint.post("/ingestions/<ingestion_id>/retry", parameters=[_PATH])
@requires(Role.SUBMITTER)
@blueprint.arguments(RetrySchema(), required=False, examples=_RETRY_EXAMPLES)
@blueprint.response(200, IngestionEntrySchema(), example=_EXAMPLE)
@blueprint.doc(
    operationId="retry",
    responses=answers(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def retry(wish: dict[str, str], ingestion_id: str) -> IngestionEntry:
    """Let the failed batches wait again, with all their attempts before them.

    Batches that were cancelled stay so.
    """
    database = current_runtime().database
    retry_ingestion(database, ingestion_id, all_ids=wish["ids"] == "all")
    return read_ingestion(database, ingestion_id)


def _without(query: dict[str, Any]) -> tuple[ListPage, Sequence[IngestionEntry]]:
    page = list_ingestions(current_runtime().database, _wanted(query), **_where(query))
    return page, page.entries


def _with_forecasts(query: dict[str, Any]) -> tuple[ListPage, Sequence[dict[str, Any]]]:
    runtime = current_runtime()
    page, forecasts = list_with_forecasts(
        runtime.database,
        _wanted(query),
        runtime.settings.sources,
        clock=runtime.clock,
        **_where(query),
    )
    entries = [
        {**vars(entry), "forecast": forecasts.get(entry.ingestion_id)} for entry in page.entries
    ]
    return page, entries


def _wanted(query: dict[str, Any]) -> Wanted:
    return Wanted(
        query.get("status"),
        query.get("priority"),
        query.get("source"),
        submitted_by=current_identity().sees_only,
    )


def _where(query: dict[str, Any]) -> dict[str, Any]:
    return {"limit": query["limit"], "after": query.get("after")}


def _link(query: dict[str, Any], next_after: Place) -> dict[str, str]:
    asked = {**query, "forecast": "true" if query["forecast"] else None}
    address = url_for("ingestions.ingestions", **{**asked, "after": cursor(next_after)})
    return {"Link": f'<{address}>; rel="next"'}
