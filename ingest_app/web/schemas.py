"""What requests and answers look like; shape only, no rule of the queue."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from ingest_app.items import ItemId
from ingest_app.runtime import current_runtime
from ingest_app.states import BatchStatus, Priority
from ingest_app.web.problems import LISTED_ERROR_COUNT, more

INTEGER_LEAST = -(2**63)
INTEGER_MOST = 2**63 - 1
STRING_LONGEST = 255
PAGE_LARGEST = 10_000
_FLOAT_MOST = 2**53 - 1  # from here on a float stands for several integers (RFC 7493, 2.2)
_SHOWN_LONGEST = 40

_ALLOWED = (
    f"an ID is an integer from {INTEGER_LEAST} to {INTEGER_MOST}, or a string of 1 to"
    f" {STRING_LONGEST} characters without NUL or lone surrogates."
)
ID_SCHEMA = {
    "oneOf": [
        {
            "type": "integer",
            "format": "int64",
            "minimum": INTEGER_LEAST,
            "maximum": INTEGER_MOST,
        },
        {
            "type": "string",
            "minLength": 1,
            "maxLength": STRING_LONGEST,
            "pattern": r"^[^\x00]*$",
        },
    ]
}
INGESTION_ID_SCHEMA = {"type": "string", "pattern": "^[a-z2-7]{24}$"}


class IdList(fields.Field[list[ItemId]]):
    """The IDs of a submission, checked in one pass: `fields.List` takes microseconds for each."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[ItemId]:
        if not isinstance(value, list):
            raise ValidationError(f"Send an array of IDs: {_ALLOWED}")
        _check_count(len(value), current_runtime().settings.max_ids)
        return _checked(value)


class SourceName(fields.String):
    """The name of a configured source; that it is one is checked where it is looked up."""


class QueryInteger(fields.Integer):
    """Digits only: `int` would take "1_000" and " 5" too."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class SubmissionSchema(Schema):
    """What `POST /ingest` takes."""

    class Meta:  # noqa: D106
        unknown = RAISE

    ids = IdList(
        required=True,
        error_messages={"required": "Send the IDs: an array of integers or strings."},
        metadata={
            "type": "array",
            "description": "Order and duplicates are kept. A number like 9.0 is the integer 9.",
            "items": ID_SCHEMA,
            "minItems": 1,
        },
    )
    priority = fields.Enum(
        Priority,
        by_value=True,
        required=True,
        error_messages={"required": "Send a priority: HIGH, MEDIUM or LOW."},
        metadata={"description": "HIGH goes first."},
    )
    source = SourceName(
        load_default="default", metadata={"description": "The upstream to fetch from."}
    )


class AcknowledgementSchema(Schema):
    """What `POST /ingest` answers."""

    ingestion_id = fields.String(required=True, metadata=INGESTION_ID_SCHEMA)


class PageSchema(Schema):
    """Which batches of an ingestion to answer with."""

    limit = QueryInteger(
        validate=validate.Range(1, PAGE_LARGEST),
        metadata={"description": "At most so many batches; all without it."},
    )
    after = QueryInteger(
        load_default=0,
        validate=validate.Range(0, INTEGER_MOST),
        metadata={"description": "Only batches after this position; the first has position 1."},
    )


class BatchSchema(Schema):
    """A batch as it is documented."""

    batch_id = fields.String(required=True)
    ids = fields.List(fields.Raw(metadata=ID_SCHEMA), required=True)
    status = fields.Enum(BatchStatus, by_value=True, required=True)


class StatusSchema(Schema):
    """An ingestion as it is documented; the answer is built from stored text."""

    ingestion_id = fields.String(required=True, metadata=INGESTION_ID_SCHEMA)
    status = fields.Enum(BatchStatus, by_value=True, required=True)
    batches = fields.List(fields.Nested(BatchSchema), required=True)


class HealthSchema(Schema):
    """What the health checks answer."""

    status = fields.String(required=True, metadata={"enum": ["ok"]})


def document_settings(_: object, field: fields.Field[Any], **__: Any) -> dict[str, object]:
    """What the document says of fields whose rule is a setting (apispec attribute function)."""
    settings = current_runtime().settings
    if isinstance(field, IdList):
        return {"maxItems": settings.max_ids}
    if isinstance(field, SourceName):
        return {"enum": sorted(settings.sources)}
    return {}


def _check_count(count: int, max_ids: int) -> None:
    if count == 0:
        raise ValidationError("Send at least one ID.")
    if count > max_ids:
        raise ValidationError(f"Send at most {max_ids} IDs; these are {count}.")


def _checked(values: list[Any]) -> list[ItemId]:
    kinds = set(map(type, values))
    if float in kinds:
        # JSON has one kind of number, so 9.0 is the integer 9 (JSON Schema, "integer").
        values = [int(value) if _is_whole_float(value) else value for value in values]
        kinds = set(map(type, values))
    if not _all_allowed(values, kinds):
        raise ValidationError(_bad_positions(values))
    return values


def _is_whole_float(value: object) -> bool:
    return type(value) is float and value.is_integer() and abs(value) <= _FLOAT_MOST


def _all_allowed(values: Sequence[Any], kinds: set[type]) -> bool:
    if kinds == {int}:
        return _integers_allowed(values)
    if kinds == {str}:
        return _strings_allowed(values)
    return kinds == {int, str} and (
        _integers_allowed([value for value in values if type(value) is int])
        and _strings_allowed([value for value in values if type(value) is str])
    )


def _integers_allowed(values: Sequence[int]) -> bool:
    return min(values) >= INTEGER_LEAST and max(values) <= INTEGER_MOST


def _strings_allowed(values: Sequence[str]) -> bool:
    lengths = set(map(len, values))
    return min(lengths) > 0 and max(lengths) <= STRING_LONGEST and _is_storable("".join(values))


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _bad_positions(values: Sequence[Any]) -> dict[str, list[str]]:
    bad = [position for position, value in enumerate(values) if not _is_allowed(value)]
    listed = {
        str(position): [f"{_shown(values[position])} is not allowed: {_ALLOWED}"]
        for position in bad[:LISTED_ERROR_COUNT]
    }
    return listed | more(len(bad) - len(listed))


def _is_allowed(value: object) -> bool:
    if type(value) is int:
        return INTEGER_LEAST <= value <= INTEGER_MOST
    return type(value) is str and 0 < len(value) <= STRING_LONGEST and _is_storable(value)


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "An array" if isinstance(value, list) else "An object"
    text = json.dumps(value[:_SHOWN_LONGEST] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN_LONGEST else f"{text[:_SHOWN_LONGEST]}…"
