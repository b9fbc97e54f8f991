"""`/docs`: Swagger UI from the installed package, offline, under a strict policy."""

from __future__ import annotations

from importlib import resources

from flask import Blueprint, Response, render_template, send_from_directory
from werkzeug import Response as AnyResponse

from ingest_app.errors import KeyNeeded
from ingest_app.states import Role
from ingest_app.web.access import public, requires
from ingest_app.web.landing import ask_to_sign_in

blueprint = Blueprint("docs", __name__, template_folder="templates")

_OWN = str(resources.files(__package__) / "static")
_DIST = str(resources.files("flask_swagger_ui") / "dist")
_DIST_MAX_AGE_SECONDS = 86_400

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # the icons in Swagger UI's style sheet
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@blueprint.get("/docs")
@requires(Role.READER)
def page() -> str:
    """Show the interactive documentation."""
    return render_template("docs.html")


@blueprint.get("/docs/<name>")
@public
def dist_file(name: str) -> Response:
    """Send a file of Swagger UI; NotFound for any other. `name` has no slash."""
    return send_from_directory(_DIST, name, max_age=_DIST_MAX_AGE_SECONDS)


@blueprint.get("/docs/own/<name>")
@public
def own_file(name: str) -> Response:
    """Send a file of ours to the page, to be revalidated each time; NotFound as above."""
    return send_from_directory(_OWN, name)


@blueprint.errorhandler(KeyNeeded)
def _ask_for_key(_: KeyNeeded) -> AnyResponse:
    return ask_to_sign_in()


@blueprint.after_request
def _restrict(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    return response
