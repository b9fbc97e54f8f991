"""What the forecast's routes take and answer; shape only, as in `schemas`."""

from __future__ import annotations

from typing import Any

from marshmallow import (
    RAISE,
    Schema,
    ValidationError,
    fields,
    post_dump,
    validate,
    validates_schema,
)

from ingest_app.settings import DEFAULT_SOURCE
from ingest_app.states import BatchStatus
from ingest_app.web.entries import IngestionEntrySchema, Instant
from ingest_app.web.schemas import ID_SCHEMA, INGESTION_ID_SCHEMA, IdList, SourceName

_NO_ONE_CAN_SAY = "Null when no one can say, as while the source is paused."
_REMAINING = {
    "description": "Until it has finished, from when its source goes on. Null when nothing tells."
}
_COUNT_MOST = 10**9


ONE_OF_BOTH = {"oneOf": [{"required": ["id_count"]}, {"required": ["ids"]}]}
"""What the document has to say beside `PreviewQuerySchema`, which marshmallow cannot."""


class WholeNumber(fields.Integer):
    """An integer as JSON Schema has it: 9.0 is one, "9" and true are none."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        is_whole = type(value) is int or (type(value) is float and value.is_integer())
        if not is_whole:
            raise self.make_error("invalid", input=value)
        return super()._deserialize(int(value), *args, **kwargs)


class Seconds(fields.Float):
    """A duration, to the millisecond."""

    def _serialize(self, value: float | None, *_: Any, **__: Any) -> float | None:
        return None if value is None else round(value, 3)


class EtaSchema(Schema):
    """The forecast of an ingestion in a list."""

    batches_ahead = fields.Integer(
        required=True, metadata={"description": "Batches of others that go before its next one."}
    )
    next_starts_at = Instant(
        required=True,
        allow_none=True,
        metadata={"description": "When its next batch goes. " + _NO_ONE_CAN_SAY},
    )
    finishes_at = Instant(required=True, allow_none=True, metadata={"description": _NO_ONE_CAN_SAY})
    remaining_seconds = Seconds(required=True, allow_none=True, metadata=_REMAINING)
    approximate = fields.Boolean(
        required=True, metadata={"description": "True when it may turn out otherwise."}
    )


class ListedEtaSchema(EtaSchema):
    """The same without what changes all the time, so that a list that does not has one ETag."""

    remaining_seconds = Seconds(
        required=True,
        allow_none=True,
        metadata={"description": _REMAINING["description"] + " Null where finishes_at tells it."},
    )

    @post_dump
    def leave_out_what_is_told(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        """Keep the time it takes only where no one can say when."""
        told = {"remaining_seconds": None} if data["finishes_at"] else {}
        return {**data, **told}


class ListedIngestionSchema(IngestionEntrySchema):
    """An ingestion in a list."""

    forecast = fields.Nested(
        ListedEtaSchema,
        allow_none=True,
        metadata={"description": "With `forecast=true`; null when it has ended."},
    )


class IngestionListSchema(Schema):
    """One page of ingestions."""

    ingestions = fields.List(fields.Nested(ListedIngestionSchema), required=True)


class AboutForecastSchema(Schema):
    """What every forecast says of its source."""

    pace_seconds = Seconds(
        required=True,
        allow_none=True,
        metadata={"description": "Expected from one call to the next. Null when nothing tells."},
    )
    waits_for = fields.String(
        required=True, allow_none=True, metadata={"description": "As of the source."}
    )
    caveats = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Why it is approximate, a sentence each."},
    )


class ForecastSchema(EtaSchema, AboutForecastSchema):
    """The forecast of one ingestion."""

    class Meta:  # noqa: D106
        fields = (
            "ingestion_id",
            "status",
            "source",
            "waiting_count",
            "batches_ahead",
            "next_starts_at",
            "finishes_at",
            "remaining_seconds",
            "pace_seconds",
            "waits_for",
            "approximate",
            "caveats",
        )

    ingestion_id = fields.String(required=True, metadata=INGESTION_ID_SCHEMA)
    status = fields.Enum(BatchStatus, by_value=True, required=True)
    source = fields.String(required=True)
    waiting_count = fields.Integer(
        required=True, metadata={"description": "How many of its batches wait."}
    )


class DelaysSchema(Schema):
    """What others would wait longer."""

    ingestion_count = fields.Integer(required=True)
    seconds = Seconds(
        required=True,
        allow_none=True,
        metadata={"description": "How much longer each of them would wait, at most."},
    )


class AtPrioritySchema(Schema):
    """What would become of a submission at one priority."""

    batches_ahead = fields.Integer(required=True)
    starts_at = Instant(required=True, allow_none=True, metadata={"description": _NO_ONE_CAN_SAY})
    finishes_at = Instant(required=True, allow_none=True, metadata={"description": _NO_ONE_CAN_SAY})
    remaining_seconds = Seconds(required=True, allow_none=True, metadata=_REMAINING)
    delays = fields.Nested(DelaysSchema, required=True)


class AtPrioritiesSchema(Schema):
    """The same at each priority."""

    HIGH = fields.Nested(AtPrioritySchema, required=True)
    MEDIUM = fields.Nested(AtPrioritySchema, required=True)
    LOW = fields.Nested(AtPrioritySchema, required=True)


class PreviewSchema(AboutForecastSchema):
    """The forecast of a submission that has not been made."""

    class Meta:  # noqa: D106
        fields = (
            "source",
            "id_count",
            "batch_count",
            "pace_seconds",
            "waits_for",
            "approximate",
            "caveats",
            "priorities",
        )

    source = fields.String(required=True)
    id_count = fields.Integer(required=True)
    batch_count = fields.Integer(required=True)
    approximate = fields.Boolean(required=True)
    priorities = fields.Nested(AtPrioritiesSchema, required=True)


class PreviewQuerySchema(Schema):
    """What `POST /forecast` takes."""

    class Meta:  # noqa: D106
        unknown = RAISE

    id_count = WholeNumber(
        validate=validate.Range(1, _COUNT_MOST),
        metadata={"description": "How many IDs; either this or `ids`."},
    )
    ids = IdList(
        metadata={
            "type": "array",
            "description": "The IDs, which are checked as those of a submission.",
            "items": ID_SCHEMA,
            "minItems": 1,
        }
    )
    source = SourceName(
        load_default=DEFAULT_SOURCE,
        metadata={"description": "The upstream API they would be fetched from."},
    )

    @validates_schema
    def check_one_of_both(self, data: dict[str, Any], **_: object) -> None:
        """Either the IDs or their number (ValidationError)."""
        if len({"id_count", "ids"} & data.keys()) != 1:
            raise ValidationError("Send either id_count or ids.", "id_count")
