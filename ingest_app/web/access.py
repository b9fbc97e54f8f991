"""Who may use which route: said beside each route, checked before each request.

A route of which nothing is said keeps the application from being made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Flask, current_app, g, request

from ingest_app.access.identity import ANYBODY, Identity
from ingest_app.access.keys import is_open, owns
from ingest_app.errors import (
    KeyNeeded,
    NotForStrangers,
    RoleTooLow,
    UnknownIngestion,
)
from ingest_app.runtime import current_runtime
from ingest_app.states import Role
from ingest_app.web.attempts import holder_of_sent_key
from ingest_app.web.limits import count_request
from ingest_app.web.sessions import signed_in
from ingest_app.web.strangers import comes_from_this_machine

View = TypeVar("View", bound=Callable[..., Any])

_NEEDED = "_needed_role"
_PUBLIC_WHEN = "_public_when"

SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, from `ingest keys create`. While there is none, none is needed.",
}

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
"""What every route may answer that is not public."""

_NOT_OURS: Mapping[str, Role | None] = {
    "dashboard.static": None,
    "api-docs.openapi_json": Role.READER,
}
"""The role that is needed where the view is a library's; None for everybody."""


def requires(role: Role, *, public_when: str | None = None) -> Callable[[View], View]:
    """Let only those with this role, or more, use a route; to stand right under its decorator.

    public_when: the setting that leaves it to everybody where it is true.
    """

    def mark(view: View) -> View:
        setattr(view, _NEEDED, role)
        setattr(view, _PUBLIC_WHEN, public_when)
        view._apidoc = {**getattr(view, "_apidoc", {}), "role": role}  # type: ignore[attr-defined]
        return view

    return mark


def public(view: View) -> View:
    """Let everybody use a route."""
    setattr(view, _NEEDED, None)
    return view


def register_access(app: Flask) -> None:
    """Check every request from now on."""
    app.before_request(_check)


def needed_roles(app: Flask) -> Mapping[str, Role | None]:
    """The role that each endpoint needs, None for none (LookupError when one does not say)."""
    return {rule.endpoint: _needed_role(app, rule.endpoint) for rule in app.url_map.iter_rules()}


def public_when(app: Flask, endpoint: str) -> str | None:
    """The setting that leaves an endpoint to everybody; None where none does."""
    setting: str | None = getattr(app.view_functions[endpoint], _PUBLIC_WHEN, None)
    return setting


def current_identity() -> Identity:
    """Who makes the request that is being answered, on a route that is not public."""
    identity: Identity = g.identity
    return identity


def nobody_needs_a_key() -> bool:
    """True while no key has been created."""
    return is_open(current_runtime().database)


def document_access(doc: dict[str, Any], doc_info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add to an operation of the OpenAPI document who may use it, and what others are answered."""
    role = doc_info.get("role")
    if role is not None:
        doc["security"] = [{"key": []}, {}]
        doc["x-role"] = str(role)
        for status in _REFUSALS:
            doc.setdefault("responses", {}).setdefault(int(status), status.name)
    return doc


def _needed_role(app: Flask, endpoint: str) -> Role | None:
    if endpoint in _NOT_OURS:
        return _NOT_OURS[endpoint]
    view = app.view_functions[endpoint]
    if not hasattr(view, _NEEDED):
        raise LookupError(f"{endpoint} does not say who may use it")
    role: Role | None = getattr(view, _NEEDED)
    return role


def _check() -> None:
    if request.endpoint is None:  # there is no such route, which Flask says
        return
    needed = _needed_role(current_app, request.endpoint)
    if needed is None or _is_left_to_everybody(request.endpoint):
        return
    g.identity = identity = _identify()
    count_request(identity)
    if not identity.role.includes(needed):
        raise RoleTooLow(identity.role, needed)
    ingestion_id = (request.view_args or {}).get("ingestion_id")
    if ingestion_id is not None and identity.sees_only is not None:
        _check_owner(identity.sees_only, ingestion_id)


def _is_left_to_everybody(endpoint: str) -> bool:
    setting = public_when(current_app, endpoint)
    return setting is not None and getattr(current_runtime().settings, setting)


def _identify() -> Identity:
    if "Authorization" in request.headers:
        return _holder()
    holder = signed_in()
    if holder is not None:
        return holder
    if not nobody_needs_a_key():
        raise KeyNeeded
    if not current_runtime().settings.allow_anonymous and not comes_from_this_machine(request):
        raise NotForStrangers
    return ANYBODY


def _holder() -> Identity:
    # Not werkzeug's reading, which raises at what it cannot decode.
    scheme, _, text = request.headers["Authorization"].partition(" ")
    return holder_of_sent_key(text.strip() if scheme.lower() == "bearer" else None)


def _check_owner(owner: str, ingestion_id: str) -> None:
    # As if there were none: who may not see it learns nothing of it.
    if not owns(current_runtime().database, owner, ingestion_id):
        raise UnknownIngestion(ingestion_id)
