"""Every error answer is a problem (RFC 9457); one table says which exception is which status."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from flask import Flask, Response, request
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnprocessableEntity

from ingest_app import events
from ingest_app.errors import (
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    IdempotencyKeyReused,
    IngestError,
    KeyNeeded,
    KeyRefused,
    MoreThanMayWait,
    NoSuchSource,
    NotForStrangers,
    RoleTooLow,
    TryLater,
    UnknownIngestion,
    UnknownSource,
)
from ingest_app.runtime import current_runtime

Entry = TypeVar("Entry")

CONTENT_TYPE = "application/problem+json"
LISTED_ERROR_COUNT = 10
_LONGEST_NAME = 60

STATUS_OF: Mapping[type[IngestError], HTTPStatus] = {
    UnknownIngestion: HTTPStatus.NOT_FOUND,
    UnknownSource: HTTPStatus.UNPROCESSABLE_ENTITY,
    NoSuchSource: HTTPStatus.NOT_FOUND,
    IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    DatabaseError: HTTPStatus.SERVICE_UNAVAILABLE,
    KeyNeeded: HTTPStatus.UNAUTHORIZED,
    KeyRefused: HTTPStatus.UNAUTHORIZED,
    RoleTooLow: HTTPStatus.FORBIDDEN,
    NotForStrangers: HTTPStatus.FORBIDDEN,
    TryLater: HTTPStatus.TOO_MANY_REQUESTS,
    MoreThanMayWait: HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""What our own errors are over HTTP; a subclass is what its nearest base is."""

_FIELD_OF: Mapping[type[IngestError], str] = {
    UnknownSource: "source",
    IdempotencyKeyReused: "Idempotency-Key",
    MoreThanMayWait: "ids",
}
"""Which part of a request an error of ours is about, for the `errors` of its problem."""

_CHALLENGES: Mapping[type[IngestError], str] = {
    KeyNeeded: 'Bearer realm="ingest"',
    KeyRefused: 'Bearer realm="ingest", error="invalid_token"',
}
"""What a 401 asks for in WWW-Authenticate (RFC 6750, section 3)."""

FAULT_DETAIL = "Something went wrong inside the service; its log says what."
"""All that is said of a fault of our own."""

_HTTP_DETAIL = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address; /docs lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address has no such method; Allow lists those it has.",
    HTTPStatus.INTERNAL_SERVER_ERROR: FAULT_DETAIL,
}
"""For errors that Flask raises with a text of its own, which says less or too much."""

_DATABASE_DETAIL: Mapping[type[DatabaseError], str] = {
    DatabaseBusy: "The database is busy; nothing was kept. Try again after Retry-After seconds.",
    DatabaseFull: "The disk of the database is full; nothing was kept. Free some space.",
    DatabaseError: "The database cannot be used; nothing was kept. The service's log says why.",
}
"""Their own texts are for the log: they may quote the driver and name files."""

_log = logging.getLogger(__name__)


class InvalidInput(UnprocessableEntity):
    """What was sent has the right form but may not be accepted.

    errors: field name -> sentences, or -> position -> sentences.
    """

    def __init__(self, errors: Mapping[str, object]) -> None:
        super().__init__("Some values are not allowed; errors says which and what is allowed.")
        self.errors = errors


class ProblemSchema(Schema):
    """A problem as it is documented; answers are built by `problem`, not dumped by this."""

    type = fields.String(required=True, metadata={"format": "uri-reference"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True, metadata={"format": "uri-reference"})
    errors = fields.Dict(
        keys=fields.String(),
        metadata={"description": "Which field is wrong, and in `ids` which positions, from 0."},
    )
    request_id = fields.String(
        metadata={"description": "Of a fault of the service: what its log has, and X-Request-ID."}
    )


def register_problems(app: Flask) -> None:
    """Answer our own errors with problems; the Api does it for HTTP's."""
    for error_type in STATUS_OF:
        app.register_error_handler(error_type, answer_ingest_error)


def answer_ingest_error(error: IngestError) -> Response:
    """Turn one of our own errors into its problem."""
    if isinstance(error, DatabaseError):
        return _answer_database_error(error)
    field = _FIELD_OF.get(type(error))
    errors = {field: [str(error)]} if field else {}
    answer = _answer(_nearest(STATUS_OF, error), str(error), errors)
    if type(error) in _CHALLENGES:
        answer.headers["WWW-Authenticate"] = _CHALLENGES[type(error)]
    if isinstance(error, TryLater):
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def _answer_database_error(error: DatabaseError) -> Response:
    events.emit(_log, "database_failed", level=logging.ERROR, path=request.path, error=error)
    answer = _answer(_nearest(STATUS_OF, error), _nearest(_DATABASE_DETAIL, error), {})
    answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def answer_http_exception(error: HTTPException) -> Response:
    """Turn an HTTP error into its problem, with its headers such as Allow."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    errors = error.errors if isinstance(error, InvalidInput) else {}
    answer = _answer(status, _detail(error, status), errors)
    for name, value in error.get_headers(request.environ):
        if name != "Content-Type":
            answer.headers[name] = value
    return answer


def _detail(error: HTTPException, status: HTTPStatus) -> str:
    if type(error) is RequestEntityTooLarge:  # a subclass says itself of what
        return f"The body is larger than {current_runtime().settings.max_body_bytes} bytes."
    return _HTTP_DETAIL.get(status) or error.description or status.description


def _nearest(table: Mapping[Any, Entry], error: Exception) -> Entry:
    return next(table[base] for base in type(error).__mro__ if base in table)


def _answer(status: HTTPStatus, detail: str, errors: Mapping[str, object]) -> Response:
    text = problem_text(status, detail, instance=quote(request.path), errors=errors)
    return Response(text, status=status, content_type=CONTENT_TYPE)


def problem_text(
    status: HTTPStatus, detail: str, *, instance: str, errors: Mapping[str, object]
) -> str:
    """A problem as it is sent; from 500 on with the id of the request that this thread answers."""
    members = problem(status, detail, instance, errors)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        members["request_id"] = events.REQUEST_ID.get()
    # ASCII, so that a lone surrogate in a field's name cannot break the answer about it.
    return json.dumps(members)


def problem(
    status: HTTPStatus, detail: str, instance: str, errors: Mapping[str, object]
) -> dict[str, object]:
    """The members of a problem; `errors` is left out when empty and cut when long."""
    members: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "instance": instance,
    }
    return {**members, "errors": _shortened(errors)} if errors else members


def _shortened(errors: Mapping[str, object]) -> dict[str, object]:
    # A client may send a million unknown fields, or one with a name of megabytes.
    listed = {name[:_LONGEST_NAME]: errors[name] for name in list(errors)[:LISTED_ERROR_COUNT]}
    return listed | more(len(errors) - LISTED_ERROR_COUNT)


def more(count: int) -> dict[str, list[str]]:
    """What to add to errors of which `count` are left out; nothing unless it is positive."""
    return {"more": [f"{count} more are not listed."]} if count > 0 else {}
