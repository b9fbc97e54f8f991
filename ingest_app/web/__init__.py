"""The HTTP face of the service."""

from __future__ import annotations

from importlib.metadata import version
from typing import cast

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider

from ingest_app.runtime import runtime_of
from ingest_app.web import (
    activity,
    batches,
    docs,
    forecast,
    health,
    ingestions,
    records,
    sources,
    status,
    submission,
)
from ingest_app.web.api import Api
from ingest_app.web.browsers import refuse_other_sites
from ingest_app.web.forecast_entries import ONE_OF_BOTH
from ingest_app.web.problems import register_problems
from ingest_app.web.schemas import document_settings

_DESCRIPTION = (
    "Hand over a list of IDs with a priority. They are fetched batch by batch at the pace the"
    " upstream allows, urgent work first."
)


def register_web(app: Flask) -> None:
    """Add the routes, the error answers and the OpenAPI document; the runtime must be attached."""
    # werkzeug cuts a chunked body at this length without a word; one byte more shows that it did.
    app.config["MAX_CONTENT_LENGTH"] = runtime_of(app).settings.max_body_bytes + 1
    # Answers are read by people too: keys stand in the order in which the schemas name them.
    cast(DefaultJSONProvider, app.json).sort_keys = False
    app.before_request(refuse_other_sites)
    app.after_request(_forbid_sniffing)
    register_problems(app)
    # The document names settings, which are the application's.
    with app.app_context():
        _register_api(app)
    app.register_blueprint(docs.blueprint)


def _register_api(app: Flask) -> None:
    app.config["OPENAPI_URL_PREFIX"] = "/"
    api = Api(
        app,
        spec_kwargs={
            "title": "Ingest",
            "version": version("ingest-app"),
            "openapi_version": "3.1.0",
            "info": {"description": _DESCRIPTION},
        },
    )
    api.ma_plugin.converter.add_attribute_function(document_settings)
    for module in (
        submission,
        status,
        forecast,
        ingestions,
        batches,
        records,
        sources,
        activity,
        health,
    ):
        api.register_blueprint(module.blueprint)
    api.spec.components.schemas["PreviewQuery"].update(ONE_OF_BOTH)


def _forbid_sniffing(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
