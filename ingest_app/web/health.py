"""`/healthz` and `/readyz`: is the process alive, and can it take work."""

from __future__ import annotations

from http import HTTPStatus

from werkzeug.exceptions import ServiceUnavailable

from ingest_app.migrating import check_writable, schema_is_current
from ingest_app.runtime import current_runtime
from ingest_app.web.access import public
from ingest_app.web.api import Blueprint, answers
from ingest_app.web.readiness import current_readiness
from ingest_app.web.schemas import HealthSchema

blueprint = Blueprint("health", __name__, description="For load balancers and supervisors.")

_OK = {"status": "ok"}
_RETRY_AFTER_SECONDS = 30


@blueprint.get("/healthz")
@public
@blueprint.response(200, HealthSchema(), description="The process answers.", example=_OK)
@blueprint.doc(operationId="healthz", responses=answers(HTTPStatus.INTERNAL_SERVER_ERROR))
def healthz() -> dict[str, str]:
    """Tell whether the process is alive.

    The database is not asked: restarting the process would not mend it.
    """
    return _OK


@blueprint.get("/readyz")
@public
@blueprint.response(200, HealthSchema(), description="Submissions can be stored.", example=_OK)
@blueprint.doc(
    operationId="readyz",
    responses=answers(HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE),
)
def readyz() -> dict[str, str]:
    """Tell whether submissions can be stored.

    They can when the write lock can be taken and the schema is the one this version needs; that
    they can is looked up once a second at most, and that they cannot each time.
    """
    current_readiness().confirm(current_runtime().clock)
    return _OK


def check_database() -> None:
    """Return when submissions can be stored; raises ServiceUnavailable and DatabaseError."""
    database = current_runtime().database
    if not schema_is_current(database):
        raise ServiceUnavailable(
            "The schema of the database is not the one this version needs; restart the service"
            " to migrate it.",
            retry_after=_RETRY_AFTER_SECONDS,
        )
    check_writable(database)
