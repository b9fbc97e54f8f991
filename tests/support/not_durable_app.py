"""The service with commits that do not wait for the disk: what a power test has to find."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from ingest_app import create_app
from ingest_app.extensions import db


def _do_not_wait_for_the_disk(connection: Any, _entry: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


app = create_app()
with app.app_context():
    event.listen(db.engine, "connect", _do_not_wait_for_the_disk)
