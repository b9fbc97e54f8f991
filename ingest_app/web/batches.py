"""`GET /ingestions/<ingestion_id>/batches`: what happened to each batch."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import url_for
from marshmallow import Schema, fields, validate

from ingest_app.queue.batch_listing import MOST_DISPATCHES, MOST_LOOKED_AT, list_batches
from ingest_app.runtime import current_runtime
from ingest_app.states import BatchStatus, DispatchOutcome, Role
from ingest_app.web.access import requires
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.entries import Instant
from ingest_app.web.schemas import (
    ID_SCHEMA,
    INGESTION_ID_SCHEMA,
    INTEGER_MOST,
    QueryInteger,
)

blueprint = Blueprint("batches", __name__, description="What happened to each batch.")

_DEFAULT = 100
_LARGEST = 1_000
_EXAMPLE = {
    "batches": [
        {
            "batch_id": "mfrggzdfmztwq2lkmfrggzdf-1",
            "position": 1,
            "ids": [1, 2, 3],
            "status": "completed",
            "attempt_count": 2,
            "triggered_at": "2026-11-24T05:15:52.068640Z",
            "completed_at": "2026-11-24T05:15:53.074212Z",
            "not_before": None,
            "last_error": None,
            "dispatches": [
                {
                    "attempt": 1,
                    "worker": "shop-1:4711/90210@4026531836",
                    "dispatched_at": "2026-11-24T05:15:47.047735Z",
                    "finished_at": "2026-11-24T05:15:48.061217Z",
                    "outcome": "retried",
                    "error": "HTTP 502 Bad Gateway",
                },
                {
                    "attempt": 2,
                    "worker": "shop-1:4711/90210@4026531836",
                    "dispatched_at": "2026-11-24T05:15:52.068640Z",
                    "finished_at": "2026-11-24T05:15:53.074212Z",
                    "outcome": "completed",
                    "error": None,
                },
            ],
        },
        {
            "batch_id": "mfrggzdfmztwq2lkmfrggzdf-2",
            "position": 2,
            "ids": [4, 5],
            "status": "yet_to_start",
            "attempt_count": 0,
            "triggered_at": None,
            "completed_at": None,
            "not_before": None,
            "last_error": None,
            "dispatches": [],
        },
    ]
}
_HEADERS = {
    "Link": {
        "description": 'Where to go on, as `rel="next"`, while there may be more.',
        "schema": {"type": "string"},
    }
}
_PATH = {"in": "path", "name": "ingestion_id", "required": True, "schema": INGESTION_ID_SCHEMA}


class BatchesQuerySchema(Schema):
    """Which batches of an ingestion to answer with."""

    status = fields.Enum(
        BatchStatus, by_value=True, metadata={"description": "Only those in this state."}
    )
    after = QueryInteger(
        load_default=0,
        validate=validate.Range(0, INTEGER_MOST),
        metadata={"description": "Only batches after this position; the first has position 1."},
    )
    limit = QueryInteger(
        load_default=_DEFAULT,
        validate=validate.Range(1, _LARGEST),
        metadata={"description": "At most so many."},
    )


class DispatchSchema(Schema):
    """One start of a batch."""

    attempt = fields.Integer(required=True)
    worker = fields.String(required=True)
    dispatched_at = Instant(
        required=True,
        allow_none=True,
        metadata={"description": "Null when the batch was handed back without a call."},
    )
    finished_at = Instant(required=True, allow_none=True)
    outcome = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "enum": [*map(str, DispatchOutcome), None],
            "description": "Null while it is in flight.",
        },
    )
    error = fields.String(required=True, allow_none=True)


class BatchEntrySchema(Schema):
    """A batch and what happened to it."""

    batch_id = fields.String(required=True)
    position = fields.Integer(required=True, metadata={"minimum": 1})
    ids = fields.List(fields.Raw(metadata=ID_SCHEMA), required=True)
    status = fields.Enum(BatchStatus, by_value=True, required=True)
    attempt_count = fields.Integer(
        required=True, metadata={"description": "Deferrals and releases cost none."}
    )
    triggered_at = Instant(
        required=True, allow_none=True, metadata={"description": "Its last dispatch."}
    )
    completed_at = Instant(
        required=True, allow_none=True, metadata={"description": "When it ended, however it did."}
    )
    not_before = Instant(
        required=True, allow_none=True, metadata={"description": "When it may go again."}
    )
    last_error = fields.String(required=True, allow_none=True)
    dispatches = fields.List(
        fields.Nested(DispatchSchema),
        required=True,
        metadata={"description": f"Its last {MOST_DISPATCHES}, in their order."},
    )


class BatchListSchema(Schema):
    """One page of batches."""

    batches = fields.List(fields.Nested(BatchEntrySchema), required=True)


@blueprint.get("/ingestions/<ingestion_id>/batches", parameters=[_PATH])
@requires(Role.READER)
@blueprint.etag
@blueprint.arguments(BatchesQuerySchema(), location="query")
@blueprint.response(200, BatchListSchema(), example=_EXAMPLE, headers=_HEADERS)
@blueprint.doc(
    operationId="batches",
    description=(
        f"A page ends early, even empty, when it has looked at {MOST_LOOKED_AT} batches or has"
        " some megabytes of IDs: follow its Link until there is none."
    ),
    responses=answers(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def batches(query: dict[str, Any], ingestion_id: str) -> tuple[dict[str, Any], dict[str, str]]:
    """List the batches of an ingestion in order, with their dispatches."""
    page = list_batches(current_runtime().database, ingestion_id, **query)
    headers = _link(ingestion_id, {**query, "after": page.next_after}) if page.next_after else {}
    return {"batches": page.entries}, headers


def _link(ingestion_id: str, query: dict[str, Any]) -> dict[str, str]:
    address = url_for("batches.batches", ingestion_id=ingestion_id, **query)
    return {"Link": f'<{address}>; rel="next"'}
