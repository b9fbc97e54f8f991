"""The application with two more routes: what it knows of who asks, and a broken stream."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response, request

from ingest_app import create_app
from ingest_app.web.access import public

app = create_app()


@app.get("/seen")
@public
def seen() -> dict[str, str | None]:
    return {
        "address": request.remote_addr,
        "scheme": request.scheme,
        "host": request.host,
        "prefix": request.script_root,
    }


@app.get("/broken")
@public
def broken() -> Response:
    return Response(_break_off())


def _break_off() -> Iterator[bytes]:
    yield b"x" * 100_000
    raise ConnectionError("This stream breaks off on purpose.")
