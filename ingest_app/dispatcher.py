"""Run the queue in this process: one APScheduler interval job per source.

Any number of processes may do this on one database: slot and claim are one transaction there, so
the ticks of the others are harmless.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import cast

from flask import Flask

from ingest_app.deadline import Deadline
from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.forgotten_ends import ForgottenEnds
from ingest_app.queue.reading import abandoned_sources
from ingest_app.queue.submit import work_arrived
from ingest_app.retention import Retention
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler
from ingest_app.source_loop import SourceLoop
from ingest_app.webhooks import Webhooks
from ingest_app.worker import worker_name

_EXIT_GRACE_SECONDS = 5.0
"""For batches in flight when a server ends without calling `stop`."""

_KEY = "ingest_dispatcher"

_log = logging.getLogger(__name__)


class Dispatcher:
    """All sources of one application in this process; nothing runs before `start`."""

    def __init__(self, runtime: Runtime, webhooks: Webhooks | None = None) -> None:
        """Dispatch for this runtime, and tell of the ends; None to leave that to others."""
        self._runtime = runtime
        self._webhooks = webhooks
        self._lock = threading.Lock()
        self._started_by: int | None = None
        self._scheduler: SteadyScheduler | None = None
        self._loops: dict[str, SourceLoop] = {}
        self._retention: Retention | None = None
        self._deadline: Deadline | None = None

    def attach(self, app: Flask) -> None:
        """Make this the dispatcher of `app`; its first request starts it if nothing else has."""
        app.extensions[_KEY] = self
        app.before_request(self.start)

    def start(self) -> None:
        """Begin to dispatch; once in each process, since threads do not survive a fork."""
        if self._started_by == os.getpid():
            return
        with self._lock:
            if self._started_by != os.getpid():
                self._start()
                self._started_by = os.getpid()

    def stop_claiming(self) -> None:
        """Claim nothing from now on; may be called by a signal handler."""
        for loop in self._loops.values():
            loop.stopping = True
        if self._webhooks is not None:
            self._webhooks.stop_claiming()

    @property
    def is_stopping(self) -> bool:
        """True once `stop` was called."""
        return self._deadline is not None

    def hurry(self) -> None:
        """Cut the stop short that is under way; may be called by a signal handler."""
        if self._deadline is not None:
            self._deadline.bring_forward()

    def stop(self, grace_seconds: float) -> None:
        """Claim nothing more, let batches in flight finish for so long, then hand back the rest."""
        if self._scheduler is None or self._started_by != os.getpid():
            return
        self._deadline = Deadline(grace_seconds)
        self.stop_claiming()
        atexit.unregister(self.stop)
        work_arrived.disconnect(self._wake, sender=self._runtime.database)
        if self._retention is not None:
            self._retention.stop()
        for loop in self._loops.values():
            loop.stop(self._deadline)
        if self._webhooks is not None:
            self._webhooks.stop(self._deadline)
        self._scheduler.shutdown(wait=False)
        self._scheduler = None
        self._runtime.database.engine.dispose()
        emit(_log, "dispatcher_stopped", worker=worker_name())

    def _start(self) -> None:
        self._warn_of_abandoned_sources()
        sources = self._runtime.settings.sources.values()
        self._scheduler = SteadyScheduler(self._runtime.clock, thread_count=4 + 2 * len(sources))
        self._loops = {
            source.name: SourceLoop(self._runtime, source, self._scheduler) for source in sources
        }
        ForgottenEnds(self._runtime, self._scheduler)
        days = self._runtime.settings.retention_days
        if days is not None:
            self._retention = Retention(self._runtime, days, self._scheduler)
        if self._webhooks is not None:  # before anything can end
            self._webhooks.prepare(self._scheduler)
        work_arrived.connect(self._wake, sender=self._runtime.database)
        self._scheduler.start()
        atexit.register(self.stop, _EXIT_GRACE_SECONDS)
        emit(_log, "dispatcher_started", worker=worker_name(), sources=",".join(self._loops))

    def _warn_of_abandoned_sources(self) -> None:
        try:
            names = abandoned_sources(self._runtime.database, self._runtime.settings.sources)
        except DatabaseError as error:  # it is only a warning
            emit(_log, "sources_not_checked", level=logging.WARNING, reason=error)
            return
        for name in names:
            emit(_log, "source_not_configured", level=logging.WARNING, source=name)

    def _wake(self, _database: object, *, source: str) -> None:
        if source in self._loops:
            self._loops[source].wake()


def dispatcher_of(app: Flask) -> Dispatcher | None:
    """The dispatcher attached to `app`; None when its settings say not to dispatch."""
    return cast("Dispatcher | None", app.extensions.get(_KEY))
