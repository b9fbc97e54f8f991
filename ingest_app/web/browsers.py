"""What a browser may be made to do: not to change anything here on behalf of another site."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import Forbidden

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110 section 9.2.1


def refuse_other_sites() -> None:
    """Stop a request that changes something and that a page of another site has sent (Forbidden).

    Browsers say so in Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/); other clients say
    nothing, and are let through.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if request.method not in _SAFE_METHODS and site not in ("same-origin", "none"):
        raise Forbidden("A page of another site may not do this.")
