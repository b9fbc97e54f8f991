"""`GET /activity`: the slots used lately."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from marshmallow import Schema, fields

from ingest_app.queue.activity import MOST_COUNTED, Activity, Span, read_activity
from ingest_app.runtime import current_runtime
from ingest_app.states import Role
from ingest_app.web.access import requires
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.entries import Instant

blueprint = Blueprint("activity", __name__, description="What was dispatched.")

_NO_SLOTS = [0] * Span.HOUR.bucket_count
_EXAMPLE = {
    "span": "hour",
    "bucket_seconds": 60,
    "starts_at": [f"2026-11-24T05:{minute:02}:00.000000Z" for minute in range(60)],
    "approximate": False,
    "outcomes": {
        "completed": [*_NO_SLOTS[:-3], 11, 12, 4],
        "retried": [*_NO_SLOTS[:-2], 1, 0],
        **dict.fromkeys(("failed", "deferred", "released", "lost"), _NO_SLOTS),
        "in_flight": [*_NO_SLOTS[:-1], 1],
    },
}


class ActivityQuerySchema(Schema):
    """Which part of the ledger to look at."""

    span = fields.Enum(
        Span,
        by_value=True,
        load_default=Span.HOUR,
        metadata={"description": "An hour by the minute, or a day by the quarter of an hour."},
    )
    source = fields.String(metadata={"description": "Only the slots of this source."})


class SlotsSchema(Schema):
    """The slots used in each bucket, by the outcome of their dispatches."""

    completed = fields.List(fields.Integer(), required=True)
    retried = fields.List(fields.Integer(), required=True)
    failed = fields.List(fields.Integer(), required=True)
    deferred = fields.List(fields.Integer(), required=True)
    released = fields.List(fields.Integer(), required=True)
    lost = fields.List(fields.Integer(), required=True)
    in_flight = fields.List(
        fields.Integer(), required=True, metadata={"description": "Those without an outcome yet."}
    )


class ActivitySchema(Schema):
    """The slots used over a span; all lists are of the same length."""

    span = fields.Enum(Span, by_value=True, required=True)
    bucket_seconds = fields.Integer(required=True)
    starts_at = fields.List(
        Instant(),
        required=True,
        metadata={"description": "When each bucket starts; the last is the one that now is in."},
    )
    approximate = fields.Boolean(
        required=True,
        metadata={"description": "True when the counts are estimates."},
    )
    outcomes = fields.Nested(SlotsSchema, required=True)


@blueprint.get("/activity")
@requires(Role.READER)
@blueprint.etag
@blueprint.arguments(ActivityQuerySchema(), location="query")
@blueprint.response(200, ActivitySchema(), example=_EXAMPLE)
@blueprint.doc(
    operationId="activity",
    description=(
        "The sum over all outcomes is the number of slots used. A slot counts when its call began;"
        f" if none was made, when the batch was handed back. Of more than {MOST_COUNTED} slots a"
        " part is counted and scaled up, evenly spread: a bucket is then within a few percent, of"
        " one source among several within ten or twenty, and what is rare may be missing."
    ),
    responses=answers(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def activity(query: dict[str, Any]) -> Activity:
    """Tell how many slots were used over the last hour or day, and with which outcome."""
    runtime = current_runtime()
    return read_activity(runtime.database, clock=runtime.clock, **query)
