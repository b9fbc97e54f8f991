"""What a browser may be made to do with this service by other sites: nothing."""

from __future__ import annotations

from flask import Response, request
from werkzeug.exceptions import Forbidden

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

_ONLY_TLS = "max-age=31536000"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110 section 9.2.1


def refuse_other_sites() -> None:
    """Stop a request that changes something and that a page of another site has sent (Forbidden).

    Browsers say so in Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/); other clients say
    nothing, and are let through.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if request.method not in _SAFE_METHODS and site not in ("same-origin", "none"):
        raise Forbidden("A page of another site may not do this.")


def secure(response: Response) -> Response:
    """Give an answer the headers that keep browsers from misusing it."""
    headers = response.headers
    present = {name for name, _ in headers}
    for name, value in _HEADERS.items():
        if name not in present:
            headers.add(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", _ONLY_TLS)
    return response
