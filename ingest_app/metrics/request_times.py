"""Gather in memory how long requests take, and add it to the database every few seconds.

A process that is killed takes the last seconds of this with it, and of nothing else.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from typing import cast

from flask import Flask

from ingest_app.database import Database
from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.metrics.request_totals import Bucket, Kind, Sums, add_request_totals, bucket_of

FLUSH_SECONDS = 5.0
"""How long what was gathered waits in memory."""

_KEY = "ingest_request_times"

_log = logging.getLogger(__name__)


class RequestTimes:
    """Those of one process; a thread runs only while there is something to be written."""

    def __init__(self, database: Database) -> None:
        """Write to this database."""
        self._database = database
        self._lock = threading.Lock()
        self._gathered: dict[Bucket, Sums] = {}
        self._timer: threading.Timer | None = None
        self._pid = 0

    def attach(self, app: Flask) -> None:
        """Make these the request times of `app`."""
        app.extensions[_KEY] = self

    def add(self, kind: Kind, seconds: float) -> None:
        """Note a request that took so long."""
        bucket = Bucket(kind, bucket_of(seconds))
        with self._lock:
            if self._pid != os.getpid():
                self._begin_in_this_process()
            sums = self._gathered.get(bucket) or self._gathered.setdefault(bucket, Sums())
            sums.count += 1
            sums.seconds += seconds
            if self._timer is None:
                self._timer = self._started_timer()

    def flush(self) -> bool:
        """Write what was gathered; False, and it is kept, when the database cannot take it now."""
        with self._lock:
            gathered, self._gathered = self._gathered, {}
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if not gathered or self._pid != os.getpid():
            return True
        try:
            with self._database.write() as connection:
                add_request_totals(connection, gathered)
        except DatabaseError as error:
            emit(_log, "request_times_postponed", level=logging.WARNING, reason=error)
            self._keep(gathered)
            return False
        return True

    def _begin_in_this_process(self) -> None:
        # After a fork: neither the thread nor what the parent has gathered is ours.
        self._pid = os.getpid()
        self._gathered, self._timer = {}, None
        atexit.register(_flush_if_there, weakref.ref(self))

    def _started_timer(self) -> threading.Timer | None:
        timer = threading.Timer(FLUSH_SECONDS, self.flush)
        timer.daemon = True
        timer.name = "request-times"
        try:
            timer.start()
        except RuntimeError:  # no more threads: the next request tries again
            return None
        return timer

    def _keep(self, gathered: dict[Bucket, Sums]) -> None:
        with self._lock:
            for bucket, sums in gathered.items():
                kept = self._gathered.setdefault(bucket, Sums())
                kept.count += sums.count
                kept.seconds += sums.seconds


def _flush_if_there(times: weakref.ref[RequestTimes]) -> None:
    there = times()
    if there is not None:
        there.flush()


def request_times_of(app: Flask) -> RequestTimes:
    """Those attached to `app`."""
    return cast(RequestTimes, app.extensions[_KEY])
