"""`/metrics`: how the service stands, for Prometheus."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, current_app, request

from ingest_app.metrics.exposition import expose
from ingest_app.metrics.request_times import request_times_of
from ingest_app.runtime import current_runtime
from ingest_app.states import Role
from ingest_app.web.access import requires
from ingest_app.web.api import Blueprint, answers

blueprint = Blueprint("metrics", __name__, description="For Prometheus.")

_EXAMPLE = """\
# HELP ingest_waiting_batches Batches that wait; near the truth only where more than 20,000 do.
# TYPE ingest_waiting_batches gauge
ingest_waiting_batches{priority="HIGH",source="default"} 2.0
"""
_TEXT = {"schema": {"type": "string"}}


@blueprint.get("/metrics")
@requires(Role.READER, public_when="public_metrics")
@blueprint.doc(
    operationId="metrics",
    responses={
        200: {
            "description": "All metrics, as text in the form that Accept asks for.",
            "content": {
                "text/plain": {**_TEXT, "example": _EXAMPLE},
                "application/openmetrics-text": _TEXT,
            },
        },
        **answers(HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def metrics() -> Response:
    """Tell how the queue, the sources and the service stand.

    They are computed from the database, so that any process may be asked.
    """
    is_writable = request_times_of(current_app).flush()
    accept = request.headers.get("Accept", "")
    text, content_type = expose(current_runtime(), accept, is_writable=is_writable)
    return Response(text, content_type=content_type)
