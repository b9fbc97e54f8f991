"""`GET /status/<ingestion_id>`: how far an ingestion is."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

from flask import Response, request, url_for

from ingest_app.queue.reading import BatchLine, IngestionStatus, read_status
from ingest_app.runtime import current_runtime
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.schemas import INGESTION_ID_SCHEMA, PageSchema, StatusSchema

blueprint = Blueprint("status", __name__, description="Follow what was handed over.")

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
    "ETag": {
        "description": "Changes with the answer; send it back in If-None-Match.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Link": {
        "description": 'With `limit`: the next batches, as `rel="next"`, while there are more.',
        "schema": {"type": "string"},
    },
}
_PATH = {"in": "path", "name": "ingestion_id", "required": True, "schema": INGESTION_ID_SCHEMA}
_IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "The ETag of an earlier answer; 304 when it is still current.",
    "schema": {"type": "string"},
}


@blueprint.get("/status/<ingestion_id>", parameters=[_PATH, _IF_NONE_MATCH])
@blueprint.arguments(PageSchema(), location="query")
@blueprint.response(200, StatusSchema(), example=_EXAMPLE, headers=_HEADERS)
@blueprint.doc(
    operationId="status",
    responses=answers(
        HTTPStatus.NOT_MODIFIED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def status(page: dict[str, Any], ingestion_id: str) -> Response:
    """Tell the state of an ingestion and of its batches, in order."""
    found = read_status(current_runtime().database, ingestion_id, **page)
    response = Response(_text(found), content_type="application/json")
    limit = page.get("limit")
    if _has_more(found, limit):
        response.headers["Link"] = _next_link(found, limit)
    return _revalidated(response)


def _text(found: IngestionStatus) -> str:
    # Stored IDs are JSON already; reading and writing them again would take most of the time.
    batches = ",".join(_batch_text(found.ingestion_id, line) for line in found.batches)
    return (
        f'{{"ingestion_id":"{found.ingestion_id}","status":"{found.status}","batches":[{batches}]}}'
    )


def _batch_text(ingestion_id: str, line: BatchLine) -> str:
    return (
        f'{{"batch_id":"{ingestion_id}-{line.position}","ids":{line.ids},"status":"{line.status}"}}'
    )


def _has_more(found: IngestionStatus, limit: int | None) -> bool:
    return len(found.batches) == limit and found.batches[-1].position < found.batch_count


def _next_link(found: IngestionStatus, limit: int | None) -> str:
    after = found.batches[-1].position
    address = url_for("status.status", ingestion_id=found.ingestion_id, limit=limit, after=after)
    return f'<{address}>; rel="next"'


def _revalidated(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest())
    response.make_conditional(request)
    return response
