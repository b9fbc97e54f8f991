"""Forecasts: when an ingestion will be done, and what a submission not made yet would do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ingest_app.queue.forecast import Forecast, read_forecast
from ingest_app.queue.previews import Preview, preview_submission
from ingest_app.runtime import current_runtime
from ingest_app.states import Role
from ingest_app.web.access import requires
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.forecast_entries import ForecastSchema, PreviewQuerySchema, PreviewSchema
from ingest_app.web.schemas import INGESTION_ID_SCHEMA

blueprint = Blueprint("forecast", __name__, description="When it will be done.")

_FORECAST = {
    "ingestion_id": "mfrggzdfmztwq2lkmfrggzdf",
    "status": "triggered",
    "source": "default",
    "waiting_count": 40,
    "batches_ahead": 12,
    "next_starts_at": "2026-11-24T05:16:47.250306Z",
    "finishes_at": "2026-11-24T05:20:04.212713Z",
    "remaining_seconds": 257.2,
    "pace_seconds": 5.024,
    "waits_for": "The next slot opens at 2026-11-24 05:15:52 UTC.",
    "approximate": False,
    "caveats": [],
}
_ASKED = {
    "count": {"summary": "How many", "value": {"id_count": 10_000}},
    "ids": {"summary": "Which", "value": {"ids": [1, 2, 3], "source": "default"}},
}
_PREVIEW = {
    "source": "default",
    "id_count": 10_000,
    "batch_count": 3_334,
    "pace_seconds": 5.024,
    "waits_for": "The next slot opens at 2026-11-24 05:15:52 UTC.",
    "approximate": False,
    "caveats": [],
    "priorities": {
        "HIGH": {
            "batches_ahead": 0,
            "starts_at": "2026-11-24T05:15:50.200000Z",
            "finishes_at": "2026-11-24T09:54:56.187000Z",
            "remaining_seconds": 16_749.2,
            "delays": {"ingestion_count": 3, "seconds": 16_750.0},
        },
        "MEDIUM": {
            "batches_ahead": 52,
            "starts_at": "2026-11-24T05:20:11.448000Z",
            "finishes_at": "2026-11-24T09:59:17.435000Z",
            "remaining_seconds": 17_010.4,
            "delays": {"ingestion_count": 1, "seconds": 16_750.0},
        },
        "LOW": {
            "batches_ahead": 4_000,
            "starts_at": "2026-11-24T10:50:46.200000Z",
            "finishes_at": "2026-11-24T15:29:52.187000Z",
            "remaining_seconds": 36_845.2,
            "delays": {"ingestion_count": 0, "seconds": 0.0},
        },
    },
}
_PATH = {"in": "path", "name": "ingestion_id", "required": True, "schema": INGESTION_ID_SCHEMA}


@blueprint.get("/ingestions/<ingestion_id>/forecast", parameters=[_PATH])
@requires(Role.READER)
@blueprint.etag
@blueprint.response(200, ForecastSchema(), example=_FORECAST)
@blueprint.doc(
    operationId="forecast",
    responses=answers(
        HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
def forecast(ingestion_id: str) -> Forecast:
    """Tell when an ingestion will go on and be done.

    What is submitted later with a higher priority goes first, which no forecast knows.
    """
    runtime = current_runtime()
    return read_forecast(
        runtime.database, ingestion_id, runtime.settings.sources, clock=runtime.clock
    )


@blueprint.post("/forecast")
@requires(Role.READER)
@blueprint.arguments(PreviewQuerySchema(), examples=_ASKED)
@blueprint.response(200, PreviewSchema(), example=_PREVIEW)
@blueprint.doc(
    operationId="preview",
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
def preview(asked: dict[str, Any]) -> Preview:
    """Tell when a submission would be done at each priority, and what it would delay.

    Nothing is stored.
    """
    runtime = current_runtime()
    return preview_submission(
        runtime.database,
        runtime.settings.source(asked["source"]),
        id_count=asked.get("id_count") or len(asked["ids"]),
        clock=runtime.clock,
    )
