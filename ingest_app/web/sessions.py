"""The cookie of who signed in on the page, and what keeps other sites from using it.

SameSite=Lax, not Strict: a link to an ingestion in a mail has to open for those who are signed in.
What Lax lets through besides, other sites' links, are requests that change nothing. What changes
something needs the session's CSRF token as well, which no other site can read.
"""

from __future__ import annotations

from flask import g, request
from werkzeug import Response
from werkzeug.exceptions import Forbidden

from ingest_app.access.identity import Identity
from ingest_app.access.sessions import (
    begin_session,
    csrf_token,
    end_session,
    is_csrf_token,
    session_holder,
)
from ingest_app.runtime import current_runtime
from ingest_app.web.browsers import SAFE_METHODS
from ingest_app.web.forms import sent_form

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"

_FORM_TYPE = "application/x-www-form-urlencoded"


def signed_in() -> Identity | None:
    """Whoever signed in with the browser that makes the request; None for nobody.

    Raises Forbidden where something would be changed without the CSRF token.
    """
    token = _token_brought()
    if token is None:
        return None
    runtime = current_runtime()
    holder = session_holder(runtime.database, token, clock=runtime.clock)
    if holder is None or not _is_of_this_session(token):
        return None
    g.session_token = token
    return holder


def current_csrf_token() -> str | None:
    """The token for the page that is being made; None where nobody is signed in by a cookie."""
    token = g.get("session_token")
    return token and csrf_token(token)


def give_session(response: Response, holder: Identity) -> None:
    """Begin a session, and give its cookie with the answer; what the browser brought ends."""
    assert holder.key_prefix is not None, "a session is of a key"
    runtime = current_runtime()
    hours = runtime.settings.session_hours
    token = begin_session(
        runtime.database,
        holder.key_prefix,
        clock=runtime.clock,
        hours=hours,
        instead_of=_token_brought(),
    )
    response.set_cookie(
        _cookie_name(),
        token,
        max_age=int(hours * 3600),
        path=_cookie_path(),
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )
    response.headers["Cache-Control"] = "no-store"


def end_session_of(response: Response) -> None:
    """End the session that the request's cookie names, if any, and take the cookie away.

    Also where it was an API key that said who makes the request.
    """
    token = _token_brought()
    if token:
        end_session(current_runtime().database, token)
    response.delete_cookie(
        _cookie_name(),
        path=_cookie_path(),
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def _is_of_this_session(token: str) -> bool:
    sent = _csrf_token_sent()
    if is_csrf_token(sent or "", token):
        return True
    if request.method not in SAFE_METHODS:
        raise Forbidden(
            "This came without the token of your session, or with that of an earlier one: reload"
            " the page. Programs send an API key in Authorization instead of a cookie."
        )
    # A page that is still open from an earlier session may not show what this one sees.
    return sent is None


def _csrf_token_sent() -> str | None:
    # A form without JavaScript can send no header.
    if CSRF_HEADER not in request.headers and request.mimetype == _FORM_TYPE:
        return sent_form().get(CSRF_FIELD)
    return request.headers.get(CSRF_HEADER)


def _token_brought() -> str | None:
    # To parse what most clients do not send takes longer than to see that it is not there.
    return request.cookies.get(_cookie_name()) if "Cookie" in request.headers else None


def _cookie_name() -> str:
    """Unlike that of another service under this host: cookies know no ports.

    The prefixes keep other hosts of the domain from planting one, where TLS lets browsers heed them
    (https://datatracker.ietf.org/doc/draft-ietf-httpbis-rfc6265bis/, section 4.1.3).
    """
    name = "ingest-session" + _port()
    if not request.is_secure:
        return name
    return f"__Secure-{name}" if request.root_path else f"__Host-{name}"


def _port() -> str:
    port = request.host.rpartition(":")[2]
    return f"-{port}" if port.isdecimal() else ""


def _cookie_path() -> str:
    return request.root_path or "/"
