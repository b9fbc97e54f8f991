"""What lists and control routes take and answer; shape only, as in `schemas`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from ingest_app.clock import instant
from ingest_app.queue.listing import Place
from ingest_app.states import BatchStatus, Priority, RecordOutcome
from ingest_app.web.schemas import (
    ID_SCHEMA,
    INGESTION_ID_SCHEMA,
    INTEGER_MOST,
    PAGE_LARGEST,
    QueryInteger,
)

LIST_DEFAULT = 50
LIST_LARGEST = 200
RECORDS_DEFAULT = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9]{1,16})-([a-z2-7]{24})")


class Instant(fields.DateTime):
    """An aware UTC time as in RFC 3339, with a Z and always six digits after the second."""

    def _serialize(self, value: datetime | None, *_: Any, **__: Any) -> str | None:
        return None if value is None else instant(value)


class Cursor(fields.Field[Place]):
    """A place in the list of ingestions, for us alone to make and to read."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Place:
        found = _CURSOR.fullmatch(str(value))
        if found is None:
            raise ValidationError("Send what a Link of an earlier page has here.")
        return Place(_EPOCH + timedelta(microseconds=int(found[1])), found[2])


def cursor(place: Place) -> str:
    """The text that `Cursor` reads."""
    microseconds = (place.created_at - _EPOCH) // timedelta(microseconds=1)
    return f"{microseconds}-{place.ingestion_id}"


class ListQuerySchema(Schema):
    """Which ingestions to list."""

    status = fields.Enum(
        BatchStatus, by_value=True, metadata={"description": "Only those in this state."}
    )
    priority = fields.Enum(
        Priority, by_value=True, metadata={"description": "Only those of this priority."}
    )
    source = fields.String(metadata={"description": "Only those of this source."})
    forecast = fields.Boolean(
        load_default=False,
        truthy={"true"},
        falsy={"false"},
        metadata={"description": "Say of those that have not ended when they will."},
    )
    limit = QueryInteger(
        load_default=LIST_DEFAULT,
        validate=validate.Range(1, LIST_LARGEST),
        metadata={"description": "At most so many."},
    )
    after = Cursor(
        metadata={
            "type": "string",
            "description": "Where the page before ended: opaque, from its Link.",
            "pattern": f"^{_CURSOR.pattern}$",
        }
    )


class CountsSchema(Schema):
    """How many batches are in each state."""

    yet_to_start = fields.Integer(required=True)
    triggered = fields.Integer(required=True)
    completed = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    cancelled = fields.Integer(required=True)


class IngestionEntrySchema(Schema):
    """An ingestion without its batches."""

    ingestion_id = fields.String(required=True, metadata=INGESTION_ID_SCHEMA)
    status = fields.Enum(BatchStatus, by_value=True, required=True)
    priority = fields.Enum(Priority, by_value=True, required=True)
    source = fields.String(required=True)
    created_at = Instant(required=True)
    id_count = fields.Integer(required=True)
    batch_count = fields.Integer(required=True)
    counts = fields.Nested(CountsSchema, required=True)
    first_triggered_at = Instant(
        required=True,
        allow_none=True,
        metadata={"description": "The first dispatch, where of each batch the latest counts."},
    )
    last_completed_at = Instant(
        required=True,
        allow_none=True,
        metadata={"description": "When the last of its batches that have ended did."},
    )
    cancelled_at = Instant(
        required=True,
        allow_none=True,
        metadata={"description": "When it was cancelled, if it was."},
    )


class RetrySchema(Schema):
    """What to ask for again."""

    class Meta:  # noqa: D106
        unknown = RAISE

    ids = fields.String(
        load_default="failed",
        validate=validate.OneOf(("failed", "all")),
        error_messages={"invalid": 'Send "failed" or "all".'},
        metadata={
            "description": "Of the failed batches: the IDs that failed, or all of their IDs."
        },
    )


class RecordsQuerySchema(Schema):
    """Which records to answer with, and in which form."""

    format = fields.String(
        validate=validate.OneOf(("json", "ndjson", "csv")),
        metadata={"description": "The form; it comes before what Accept says."},
    )
    outcome = fields.Enum(
        RecordOutcome, by_value=True, metadata={"description": "Only records with this outcome."}
    )
    after = QueryInteger(
        load_default=0,
        validate=validate.Range(0, INTEGER_MOST),
        metadata={"description": "Only records after this position; the first has position 1."},
    )
    limit = QueryInteger(
        validate=validate.Range(1, PAGE_LARGEST),
        metadata={
            "description": (
                f"At most so many. Without it JSON has pages of {RECORDS_DEFAULT}, and the other"
                " forms have all."
            )
        },
    )


class RecordSchema(Schema):
    """A record as it is documented."""

    position = fields.Integer(required=True, metadata={"minimum": 1})
    id = fields.Raw(required=True, metadata=ID_SCHEMA)
    outcome = fields.Enum(RecordOutcome, by_value=True, required=True)
    data = fields.Raw(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    fetched_at = Instant(required=True)
    batch_id = fields.String(required=True)


class RecordPageSchema(Schema):
    """One page of records as it is documented; the answer is built from stored text."""

    records = fields.List(fields.Nested(RecordSchema), required=True)


class WaitingSchema(Schema):
    """How many batches of each priority wait."""

    HIGH = fields.Integer(required=True)
    MEDIUM = fields.Integer(required=True)
    LOW = fields.Integer(required=True)


class SourceStateSchema(Schema):
    """A source, without its address or anything that may be secret."""

    name = fields.String(required=True)
    kind = fields.String(
        required=True, allow_none=True, metadata={"description": "Null when it is not configured."}
    )
    configured = fields.Boolean(
        required=True, metadata={"description": "False when only the database knows it."}
    )
    interval_seconds = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "The least time between the calls of two batches."},
    )
    batch_size = fields.Integer(required=True, allow_none=True)
    next_slot_at = Instant(
        required=True, allow_none=True, metadata={"description": "Null when the slot is open."}
    )
    waiting = fields.Nested(WaitingSchema, required=True)
    waiting_is_estimated = fields.Boolean(
        required=True,
        metadata={"description": "True when so many wait that `waiting` is near the truth only."},
    )
    in_flight_count = fields.Integer(required=True)
    paused_at = Instant(required=True, allow_none=True)
    deferred_until = Instant(
        required=True, allow_none=True, metadata={"description": "What the upstream asked for."}
    )
    backoff_until = Instant(
        required=True, allow_none=True, metadata={"description": "What follows from failures."}
    )
    failure_count = fields.Integer(
        required=True,
        metadata={"description": "Failures of different batches since the last success."},
    )
    last_error = fields.String(required=True, allow_none=True)
    waits_for = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why nothing goes now; null when a batch is about to."},
    )


class SourceListSchema(Schema):
    """All sources."""

    sources = fields.List(fields.Nested(SourceStateSchema), required=True)
