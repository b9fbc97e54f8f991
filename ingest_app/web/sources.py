"""`/sources`: the pace of each upstream, and a hand on it."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from ingest_app.queue.control import pause_source, resume_source
from ingest_app.queue.source_states import SourceState, read_source, read_sources
from ingest_app.runtime import current_runtime
from ingest_app.states import Role
from ingest_app.web.access import current_identity, requires
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.entries import SourceListSchema, SourceStateSchema

blueprint = Blueprint("sources", __name__, description="The pace of each upstream.")

_EXAMPLE = {
    "name": "default",
    "kind": "simulated",
    "configured": True,
    "interval_seconds": 5.0,
    "batch_size": 3,
    "next_slot_at": "2026-11-24T05:15:52.072735Z",
    "waiting": {"HIGH": 2, "MEDIUM": 1, "LOW": 0},
    "waiting_is_estimated": False,
    "in_flight_count": 1,
    "paused_at": None,
    "deferred_until": None,
    "backoff_until": None,
    "failure_count": 0,
    "last_error": None,
    "waits_for": "The next slot opens at 2026-11-24 05:15:52 UTC.",
}
_PAUSED = {
    **_EXAMPLE,
    "in_flight_count": 0,
    "paused_at": "2026-11-24T05:15:49.500813Z",
    "waits_for": "Paused since 2026-11-24 05:15:49 UTC.",
}
_PATH = {
    "in": "path",
    "name": "name",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "example": "default",
}
_ANSWERS = answers(
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


@blueprint.get("/sources")
@requires(Role.READER)
@blueprint.etag
@blueprint.response(200, SourceListSchema(), example={"sources": [_EXAMPLE]})
@blueprint.doc(
    operationId="sources",
    responses=answers(HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE),
)
def sources() -> dict[str, Any]:
    """List the sources, and say why each dispatches nothing now.

    `waits_for` is a sentence for people, and null when a batch is about to go. A source that only
    the database knows, since it was taken out of the settings, is not `configured`. `last_error` is
    for operators alone: it may name IDs of anybody.
    """
    runtime = current_runtime()
    found = read_sources(runtime.database, runtime.settings.sources, clock=runtime.clock)
    return {"sources": [_shown(state) for state in found]}


@blueprint.post("/sources/<name>/pause", parameters=[_PATH])
@requires(Role.OPERATOR)
@blueprint.response(200, SourceStateSchema(), example=_PAUSED)
@blueprint.doc(operationId="pause", responses=_ANSWERS)
def pause(name: str) -> SourceState:
    """Dispatch nothing of a source from now on.

    Calls in flight end by themselves. It stays paused across restarts.
    """
    runtime = current_runtime()
    _state(name)  # there must be one
    pause_source(runtime.database, name, clock=runtime.clock)
    return _state(name)


@blueprint.post("/sources/<name>/resume", parameters=[_PATH])
@requires(Role.OPERATOR)
@blueprint.response(200, SourceStateSchema(), example=_EXAMPLE)
@blueprint.doc(operationId="resume", responses=_ANSWERS)
def resume(name: str) -> SourceState:
    """Let a source go on at its next slot.

    It ends a deferral that the upstream asked for, too.
    """
    _state(name)  # there must be one
    resume_source(current_runtime().database, name)
    return _state(name)


def _state(name: str) -> SourceState:
    runtime = current_runtime()
    return read_source(runtime.database, name, runtime.settings.sources, clock=runtime.clock)


def _shown(state: SourceState) -> SourceState:
    return state if current_identity().sees_only is None else replace(state, last_error=None)
