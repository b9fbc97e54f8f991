"""The page for people: what is going on, when it will be done, and the daily work."""

from __future__ import annotations

from flask import Flask

from ingest_app.dashboard import pages, signing_in  # noqa: F401 (they add their routes)
from ingest_app.dashboard.shell import blueprint


def register_dashboard(app: Flask) -> None:
    """Add the pages and their static files; the runtime must be attached."""
    app.register_blueprint(blueprint)
