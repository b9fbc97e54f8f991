"""Where somebody who signs in goes on: to what they had asked for, and never to another site."""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import quote

from flask import redirect, request, url_for
from werkzeug import Response

SIGN_IN = "dashboard.sign_in"
_HOME = "dashboard.overview"

_LONGEST = 2_000
_PATH = re.compile(r"/(?!/)[!-\[\]-~]*", re.ASCII)
"""No host: browsers take \\ for /, and leave tabs and line ends out."""


def ask_to_sign_in() -> Response:
    """Send a visitor to the page where one signs in, and from there on to what was asked for."""
    wanted = _address_asked_for() if request.method in ("GET", "HEAD") else ""
    known = landing(wanted) == wanted != url_for(_HOME)
    address = url_for(SIGN_IN, next=wanted) if known else url_for(SIGN_IN)
    return redirect(address, HTTPStatus.SEE_OTHER)


def landing(wanted: str) -> str:
    """The address to go on to: the one wanted when it is of this service, else the overview's."""
    if len(wanted) > _LONGEST or not _PATH.fullmatch(wanted):
        return url_for(_HOME)
    return wanted if wanted.startswith(f"{request.root_path}/") else url_for(_HOME)


def _address_asked_for() -> str:
    query = request.query_string.decode("latin-1")
    return quote(request.root_path + request.path) + (f"?{query}" if query else "")
