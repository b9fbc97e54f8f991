"""flask-smorest with our errors: in the answers and in the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import flask_smorest
from flask import Response
from werkzeug.exceptions import HTTPException

from ingest_app.errors import KeyNeeded, RoleTooLow, TooManyRequests
from ingest_app.states import Role
from ingest_app.web.access import SECURITY_SCHEME, document_access
from ingest_app.web.limits import LIMIT_HEADER, POLICY_HEADER
from ingest_app.web.parsing import StrictParser
from ingest_app.web.problems import (
    CONTENT_TYPE,
    ProblemSchema,
    answer_http_exception,
    problem,
)
from ingest_app.web.revalidation import revalidate

_EXAMPLES: dict[HTTPStatus, tuple[str, str, dict[str, Any]]] = {
    HTTPStatus.BAD_REQUEST: (
        "/ingest",
        "The body is not JSON: Expecting value: line 1 column 9 (char 8).",
        {},
    ),
    HTTPStatus.UNAUTHORIZED: ("/sources", str(KeyNeeded()), {}),
    HTTPStatus.FORBIDDEN: (
        "/sources/default/pause",
        str(RoleTooLow(Role.READER, Role.OPERATOR)),
        {},
    ),
    HTTPStatus.NOT_FOUND: (
        "/status/aaaaaaaaaaaaaaaaaaaaaaaa",
        "There is no ingestion with this id.",
        {},
    ),
    HTTPStatus.NOT_ACCEPTABLE: (
        "/ingestions/aaaaaaaaaaaaaaaaaaaaaaaa/records",
        "Accept application/json, application/x-ndjson or text/csv.",
        {},
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "/ingest",
        "The body is larger than 33554432 bytes.",
        {},
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (
        "/ingest",
        "Send JSON, with Content-Type: application/json.",
        {},
    ),
    HTTPStatus.UNPROCESSABLE_ENTITY: (
        "/ingest",
        "Some values are not allowed; errors says which and what is allowed.",
        {"priority": ["Must be one of: HIGH, MEDIUM, LOW."]},
    ),
    HTTPStatus.TOO_MANY_REQUESTS: ("/sources", str(TooManyRequests(60, 12)), {}),
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "/ingest",
        "Something went wrong inside the service; its log says what.",
        {},
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "/ingest",
        "The database is busy; nothing was kept. Try again after Retry-After seconds.",
        {},
    ),
}
"""Instance, detail and errors of an example for each status that routes document."""

_RETRY_AFTER = {
    "description": "Seconds after which to try again.",
    "required": True,
    "schema": {"type": "integer", "minimum": 0},
}
_CHALLENGE = {
    "description": "That a bearer token is wanted, and what was wrong with the one sent.",
    "required": True,
    "schema": {"type": "string"},
}
_ETAG = {
    "description": "Changes with the answer; send it back in If-None-Match. A stream has none.",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "description": "The ETag of an earlier answer; 304 when it is still current.",
    "schema": {"type": "string"},
}


class Api(flask_smorest.Api):
    """Errors as problems with their headers, where smorest has a form of its own and drops them."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer an HTTP error with a problem."""
        return answer_http_exception(error)

    def _register_responses(self) -> None:
        for status, example in _EXAMPLES.items():
            self.spec.components.response(status.name, _documented(status, *example), lazy=True)
        not_modified = {"description": "What If-None-Match named is still current."}
        self.spec.components.response(HTTPStatus.NOT_MODIFIED.name, not_modified, lazy=True)

        self.spec.components.security_scheme("key", SECURITY_SCHEME)

    def _register_etag_headers(self) -> None:
        components = self.spec.components
        components.parameter("IF_NONE_MATCH", "header", _IF_NONE_MATCH)
        components.header("ETAG", _ETAG)


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose requests are parsed strictly.

    Its decorator `etag` is for what clients poll: see `revalidate`.
    """

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, *args: Any, **more: Any) -> None:
        """Document who may use each route, too."""
        super().__init__(*args, **more)
        self._prepare_doc_cbks.append(document_access)

    def _set_etag_in_response(self, response: Response) -> None:
        # smorest's own says in its 304 neither which tag nor how long it holds.
        revalidate(response)


def answers(*statuses: HTTPStatus) -> dict[int, str]:
    """The documented answers of a route besides the good one, for `Blueprint.doc(responses=…)`."""
    return {int(status): status.name for status in statuses}


def _documented(
    status: HTTPStatus, instance: str, detail: str, errors: dict[str, Any]
) -> dict[str, Any]:
    example = problem(status, detail, instance, errors)
    content = {CONTENT_TYPE: {"schema": ProblemSchema, "example": example}}
    answer: dict[str, Any] = {"description": status.phrase, "content": content}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer["headers"] = {"Retry-After": _RETRY_AFTER}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        limits = {"RateLimit-Policy": POLICY_HEADER, "RateLimit": LIMIT_HEADER}
        answer["headers"] = {"Retry-After": _RETRY_AFTER, **limits}
    if status == HTTPStatus.UNAUTHORIZED:
        answer["headers"] = {"WWW-Authenticate": _CHALLENGE}
    return answer
