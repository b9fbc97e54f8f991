"""Our worker with little patience, for tests that would wait for it."""

from __future__ import annotations

from ingest_app.gunicorn_worker import Worker


class ImpatientWorker(Worker):
    head_seconds = 1.0
