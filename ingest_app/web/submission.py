"""`POST /ingest`: take in a list of IDs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import request, url_for

from ingest_app.items import ItemId
from ingest_app.queue.submit import submit_ingestion
from ingest_app.runtime import current_runtime
from ingest_app.states import Priority, Role
from ingest_app.web.access import current_identity, requires
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.limits import max_waiting_ids
from ingest_app.web.parsing import IDEMPOTENCY_KEY_PATTERN, parse_idempotency_key
from ingest_app.web.schemas import AcknowledgementSchema, SubmissionSchema

blueprint = Blueprint("submission", __name__, description="Hand over IDs.")

_EXAMPLES = {
    "integers": {
        "summary": "Five numbers, urgent",
        "value": {"ids": [1, 2, 3, 4, 5], "priority": "HIGH"},
    },
    "strings": {
        "summary": "Names, when there is time, from a source by name",
        "value": {"ids": ["B00AEV8H0I", "B01N5IB20Q"], "priority": "LOW", "source": "default"},
    },
}
_LOCATION = {
    "description": "Where the status of the ingestion is.",
    "required": True,
    "schema": {"type": "string", "format": "uri-reference"},
}
_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": (
        "A name of your own for this submission, so that it can be sent again when the answer was"
        " lost: the same key with the same IDs, priority and source answers with the first"
        " ingestion, for as long as that is stored; with others it is 422. A string between quotes,"
        " with a backslash before a quote or a backslash in it; bare, a key has neither, nor a"
        " comma."
    ),
    "schema": {"type": "string", "pattern": f"^(?:{IDEMPOTENCY_KEY_PATTERN})$"},
}


@blueprint.post("/ingest", parameters=[_IDEMPOTENCY_KEY])
@requires(Role.SUBMITTER)
@blueprint.arguments(SubmissionSchema(), examples=_EXAMPLES)
@blueprint.response(
    200,
    AcknowledgementSchema(),
    description="Stored on disk; every ID will be fetched.",
    example={"ingestion_id": "mfrggzdfmztwq2lkmfrggzdf"},
    headers={"Location": _LOCATION},
)
@blueprint.doc(
    operationId="ingest",
    responses=answers(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def ingest(submission: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Submit IDs for fetching.

    They are fetched batch by batch at the pace of their source, lower priorities after higher ones.
    """
    key = parse_idempotency_key(request.headers.get("Idempotency-Key"))
    ingestion_id = _submit(**submission, key=key)
    location = url_for("status.status", ingestion_id=ingestion_id)
    return {"ingestion_id": ingestion_id}, {"Location": location}


def _submit(*, ids: list[ItemId], priority: Priority, source: str, key: str | None) -> str:
    runtime = current_runtime()
    identity = current_identity()
    return submit_ingestion(
        runtime.database,
        ids=ids,
        priority=priority,
        source=runtime.settings.source(source),
        clock=runtime.clock,
        idempotency_key=key,
        submitted_by=identity.owner,
        max_waiting_ids=max_waiting_ids(identity),
    )
