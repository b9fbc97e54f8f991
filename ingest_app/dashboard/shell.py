"""What all pages have in common: their policy, and who looks at them."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, g, request

from ingest_app.access.identity import Identity
from ingest_app.states import Role
from ingest_app.web.sessions import CSRF_FIELD, current_csrf_token

blueprint = Blueprint(
    "dashboard",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/ui/static",
)

SIGN_IN_PATH = "/ui/sign-in"

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # the icons in pico's style sheet
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


@blueprint.context_processor
def _visitor() -> dict[str, object]:
    visitor: Identity | None = g.get("identity")
    return {
        "visitor": visitor,
        "may": [] if visitor is None else _allowed(visitor.role),
        "csrf_field": CSRF_FIELD,
        "csrf_token": current_csrf_token(),
    }


def _allowed(role: Role) -> Sequence[str]:
    """What the page offers; the service checks it at each request all the same."""
    needed = {"submit": Role.SUBMITTER, "operate": Role.OPERATOR}
    return [word for word, least in needed.items() if role.includes(least)]


@blueprint.after_request
def _restrict(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    # With no-referrer a form says that its Origin is null, and signing in has to know it.
    is_form = request.path == SIGN_IN_PATH
    response.headers["Referrer-Policy"] = "same-origin" if is_form else "no-referrer"
    if response.mimetype == "text/html":
        response.headers.setdefault("Cache-Control", "no-cache")
    return response
