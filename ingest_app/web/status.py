"""`GET /status/<ingestion_id>`: how far an ingestion is."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain
from typing import Any

from flask import Response, request, url_for

from ingest_app.queue.reading import IngestionStatus, read_status
from ingest_app.runtime import current_runtime
from ingest_app.states import Role
from ingest_app.web.access import requires
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.revalidation import revalidate
from ingest_app.web.schemas import INGESTION_ID_SCHEMA, PageSchema, StatusSchema

blueprint = Blueprint("status", __name__, description="Follow what was handed over.")

_JSON, _END = "application/json", "]}"
_EXAMPLE = {
    "ingestion_id": "mfrggzdfmztwq2lkmfrggzdf",
    "status": "triggered",
    "batches": [
        {
            "batch_id": "mfrggzdfmztwq2lkmfrggzdf-1",
            "ids": [1, 2, 3],
            "status": "completed",
        },
        {
            "batch_id": "mfrggzdfmztwq2lkmfrggzdf-2",
            "ids": [4, 5],
            "status": "yet_to_start",
        },
    ],
}
_HEADERS = {
    "Link": {
        "description": 'With `limit`: the next batches, as `rel="next"`, while there are more.',
        "schema": {"type": "string"},
    },
}
_PATH = {"in": "path", "name": "ingestion_id", "required": True, "schema": INGESTION_ID_SCHEMA}


@blueprint.get("/status/<ingestion_id>", parameters=[_PATH])
@requires(Role.READER)
@blueprint.etag
@blueprint.arguments(PageSchema(), location="query")
@blueprint.response(200, StatusSchema(), example=_EXAMPLE, headers=_HEADERS)
@blueprint.doc(
    operationId="status",
    responses=answers(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def status(page: dict[str, Any], ingestion_id: str) -> Response:
    """Tell the state of an ingestion and of its batches, in order."""
    found = read_status(current_runtime().database, ingestion_id, **page)
    response = _at_once(found) if found.version is None else _in_parts(found, found.version)
    if found.next_after is not None:
        response.headers["Link"] = _next_link(found, page["limit"])
    return response


def _at_once(found: IngestionStatus) -> Response:
    text = f"{_opening(found)}{','.join(found.parts)}{_END}"
    return Response(text, content_type=_JSON)


def _in_parts(found: IngestionStatus, version: str) -> Response:
    response = Response(content_type=_JSON)
    response.automatically_set_content_length = False  # or all of it would be read to be counted
    revalidate(response, version)
    if request.method == "HEAD" or response.status_code != HTTPStatus.OK:
        found.close()
        return response
    response.call_on_close(found.close)  # also when the client hangs up
    response.response = _streamed(found)
    return response


def _streamed(found: IngestionStatus) -> Iterator[str]:
    # The first before the answer begins: a fault of the database is still a problem then.
    first = next(found.parts, "")
    rest = (f",{part}" for part in found.parts)
    return chain([f"{_opening(found)}{first}"], rest, [_END])


def _opening(found: IngestionStatus) -> str:
    # The queue has the batches as JSON text; reading and writing it again would take longest.
    return f'{{"ingestion_id":"{found.ingestion_id}","status":"{found.status}","batches":['


def _next_link(found: IngestionStatus, limit: int) -> str:
    after = found.next_after
    address = url_for("status.status", ingestion_id=found.ingestion_id, limit=limit, after=after)
    return f'<{address}>; rel="next"'
