"""The HTTP face of the service."""

from __future__ import annotations

from importlib.metadata import version
from typing import cast

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from ingest_app.runtime import runtime_of
from ingest_app.web import (
    activity,
    batches,
    docs,
    forecast,
    health,
    ingestions,
    metrics,
    records,
    sources,
    status,
    submission,
)
from ingest_app.web.access import register_access
from ingest_app.web.api import Api
from ingest_app.web.browsers import refuse_odd_prefixes, refuse_other_sites, secure
from ingest_app.web.forecast_entries import ONE_OF_BOTH
from ingest_app.web.limits import register_limits
from ingest_app.web.observing import observe_requests
from ingest_app.web.problems import register_problems
from ingest_app.web.readiness import register_readiness
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
    _trust_proxies(app, runtime_of(app).settings.trusted_proxy_count)
    observe_requests(app)
    app.before_request(refuse_odd_prefixes)
    app.before_request(refuse_other_sites)
    register_limits(app)
    register_access(app)
    app.after_request(secure)
    register_readiness(app, health.check_database)
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
        metrics,
    ):
        api.register_blueprint(module.blueprint)
    api.spec.components.schemas["PreviewQuery"].update(ONE_OF_BOTH)


def _trust_proxies(app: Flask, count: int) -> None:
    # Whoever reaches the service directly could write these headers, too.
    if count:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count, x_prefix=count
        )
