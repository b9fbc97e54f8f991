"""What a browser may be made to do with this service by other sites: nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

from flask import Response, g, request
from werkzeug.exceptions import BadRequest, Forbidden

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110 section 9.2.1

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Where an answer does not say otherwise (https://owasp.org/www-project-secure-headers/)."""

_HEADERS_BY_TLS = {**_HEADERS, "Strict-Transport-Security": "max-age=31536000"}

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~%@:+=-]+)*/?", re.ASCII)
_ORIGIN = re.compile(r"https?://[^/?#]+", re.IGNORECASE)


def refuse_odd_prefixes() -> None:
    """Stop a request whose path prefix would lead a browser to another site (BadRequest).

    A proxy that is trusted and does not set X-Forwarded-Prefix passes on what the client wrote.
    """
    if not _PREFIX.fullmatch(request.environ.get("SCRIPT_NAME", "")):
        raise BadRequest("X-Forwarded-Prefix has to be a path, such as /queue.")


def refuse_other_sites() -> None:
    """Stop a request that changes something and that a page of another site has sent (Forbidden).

    Browsers say so in Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/), or where they do not
    send that, without TLS but to their own machine, in Origin; other clients say nothing, and are
    let through.
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    is_fine = site in ("same-origin", "none") if site else origin is None or _is_ours(origin)
    if not is_fine:
        raise Forbidden("A page of another site may not do this.")


def refuse_other_origins() -> None:
    """Stop a request that no page of this service has sent (Forbidden); one has to say so.

    For where there is no session yet: another site could sign its visitor in as somebody else, who
    then sees what is handed over.
    """
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        return
    if not _is_ours(request.headers.get("Origin") or request.headers.get("Referer", "")):
        raise Forbidden("Only the service's own page may do this.")


def _is_ours(address: str) -> bool:
    origin = _ORIGIN.match(address)
    # A proxy that is not trusted may have taken the TLS away.
    ours = {f"{scheme}://{request.host}" for scheme in (request.scheme, "https")}
    return origin is not None and origin[0].lower() in ours


def security_headers(*, is_secure: bool) -> Mapping[str, str]:
    """What every answer has; is_secure: that the client speaks TLS."""
    return _HEADERS_BY_TLS if is_secure else _HEADERS


def secure(response: Response) -> Response:
    """Give an answer the headers that keep browsers from misusing it."""
    if "session_token" in g:
        # Whoever uses the browser after a sign-out may not go back to it.
        response.headers["Cache-Control"] = "no-store"
    headers = response.headers
    present = {name for name, _ in headers}
    for name, value in security_headers(is_secure=request.is_secure).items():
        if name not in present:
            headers.add(name, value)
    return response
